import { describe, expect, test } from "bun:test";
import { decodeLatin1, encodeUtf8 } from "./bytes.ts";
import { TarReader } from "./tar.ts";

type Fields = {
  name?: string;
  mode?: string;
  uid?: string;
  size?: string;
  mtime?: string;
  type?: string;
  link?: string;
  magic?: string;
  prefix?: string;
  major?: string;
  minor?: string;
};

function put(block: Uint8Array, offset: number, text: string): void {
  for (let at = 0; at < text.length; at++) block[offset + at] = text.charCodeAt(at);
}

/** A header with a right check sum; `edit` may spoil it before the sum is made. */
function header(fields: Fields, edit: (block: Uint8Array) => void = () => {}): Uint8Array {
  const block = new Uint8Array(512);
  put(block, 0, fields.name ?? "f");
  put(block, 100, fields.mode ?? "0000644\0");
  put(block, 108, fields.uid ?? "0001750\0");
  put(block, 116, "0000144\0");
  put(block, 124, fields.size ?? "00000000000\0");
  put(block, 136, fields.mtime ?? "00000000012\0");
  put(block, 156, fields.type ?? "0");
  put(block, 157, fields.link ?? "");
  put(block, 257, fields.magic ?? "ustar\x0000");
  put(block, 329, fields.major ?? "0000000\0");
  put(block, 337, fields.minor ?? "0000000\0");
  put(block, 345, fields.prefix ?? "");
  edit(block);
  put(block, 148, "        ");
  let sum = 0;
  for (const byte of block) sum += byte;
  put(block, 148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return block;
}

function body(bytes: Uint8Array): Uint8Array {
  const padded = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  padded.set(bytes);
  return padded;
}

const octal = (size: number) => `${size.toString(8).padStart(11, "0")}\0`;

function extension(type: string, bytes: Uint8Array): Uint8Array[] {
  return [header({ name: "x", type, size: octal(bytes.length) }), body(bytes)];
}

/** PAX records; a value is given as Latin-1, so that it can hold any byte. */
function pax(...records: [key: string, value: string][]): Uint8Array[] {
  let text = "";
  for (const [key, value] of records) {
    let length = key.length + value.length + 3;
    length += String(length + String(length).length).length;
    text += `${length} ${key}=${value}\n`;
  }
  return extension(
    "x",
    Uint8Array.from(text, (char) => char.charCodeAt(0)),
  );
}

const END = [new Uint8Array(1024)];

/** Gives at most `step` bytes a read, as a pipe does. */
function open(blocks: readonly Uint8Array[], step = 1 << 20): TarReader {
  const parts = blocks.flatMap((block) => [...block]);
  const bytes = Uint8Array.from(parts);
  let at = 0;
  return new TarReader({
    read: (into) => {
      const piece = bytes.subarray(at, at + Math.min(step, into.length));
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
  });
}

function first(...blocks: Uint8Array[][]) {
  const entry = open(blocks.flat()).next();
  if (entry === undefined) throw new Error("no entry");
  return entry;
}

function contentOf(reader: TarReader): string {
  let text = "";
  for (let piece = reader.chunk(); piece !== undefined; piece = reader.chunk()) {
    text += decodeLatin1(piece);
  }
  return text;
}

describe("TarReader", () => {
  test("reads a plain entry", () => {
    const entry = first([header({ name: "a/b" })], END);
    expect({ ...entry, path: decodeLatin1(entry.path) }).toEqual({
      kind: "file",
      path: "a/b",
      link: new Uint8Array(0),
      mode: 0o644,
      uid: 1000,
      gid: 100,
      size: 0,
      mtime: 10,
      mtimeNs: 0,
      major: 0,
      minor: 0,
      xattrs: [],
      segments: undefined,
    });
  });

  test.each([1, 7, 511, 512, 513, 4096])("reads content in pieces of %d bytes", (step) => {
    const text = "x".repeat(700);
    const blocks = [
      header({ name: "a", size: octal(700) }),
      body(encodeUtf8(text)),
      header({ name: "b", size: octal(3) }),
      body(encodeUtf8("end")),
    ];
    const reader = open([...blocks, ...END], step);
    expect(decodeLatin1(reader.next()?.path ?? new Uint8Array(0))).toBe("a");
    expect(contentOf(reader)).toBe(text);
    expect(decodeLatin1(reader.next()?.path ?? new Uint8Array(0))).toBe("b");
    expect(contentOf(reader)).toBe("end");
    expect(reader.next()).toBeUndefined();
  });

  test("passes over content that nobody read", () => {
    const blocks = [header({ size: octal(2000) }), new Uint8Array(2048), header({ name: "b" })];
    const reader = open([...blocks, ...END], 100);
    reader.next();
    reader.chunk();
    expect(decodeLatin1(reader.next()?.path ?? new Uint8Array(0))).toBe("b");
  });

  const kinds: [type: string, kind: string][] = [
    ["0", "file"],
    ["\0", "file"],
    ["7", "file"],
    ["1", "hardlink"],
    ["2", "symlink"],
    ["3", "char"],
    ["4", "block"],
    ["5", "directory"],
    ["6", "fifo"],
  ];
  test.each(kinds)("type %j is a %s", (type, kind) => {
    const entry = first([header({ type, link: "l", major: "0000010\0", minor: "0000003\0" })], END);
    expect(entry.kind as string).toBe(kind);
    const isDevice = kind === "char" || kind === "block";
    expect([entry.major, entry.minor]).toEqual(isDevice ? [8, 3] : [0, 0]);
    expect(decodeLatin1(entry.link)).toBe(kind === "hardlink" || kind === "symlink" ? "l" : "");
  });

  test("an old directory is a file whose name ends in a slash", () => {
    expect(first([header({ name: "d/", type: "\0", magic: "\0\0\0\0\0\0" })], END).kind).toBe(
      "directory",
    );
  });

  test("long names: prefix, GNU, PAX, the last one wins", () => {
    const path = (...blocks: Uint8Array[][]) => decodeLatin1(first(...blocks, END).path);
    const long = "d/".repeat(120);
    expect(path([header({ name: "n", prefix: "p/q" })])).toBe("p/q/n");
    expect(path([header({ name: "n", prefix: "p/q", magic: "ustar  \0" })])).toBe("n");
    expect(path(extension("L", encodeUtf8(`${long}\0`)), [header({})])).toBe(long);
    expect(path(pax(["path", long]), [header({})])).toBe(long);
    expect(path(extension("L", encodeUtf8("gnu\0")), pax(["path", "pax"]), [header({})])).toBe(
      "pax",
    );
    expect(path(pax(["path", "a\xff\xfe"]), [header({})])).toBe("a\xff\xfe");
  });

  test("numbers: base 256, PAX, spaces", () => {
    const size = 2 ** 33 + 5;
    const wide = header({}, (block) => {
      block.fill(0, 124, 136);
      block[124] = 0x80;
      new DataView(block.buffer).setBigUint64(128, BigInt(size));
    });
    expect(first([wide], END).size).toBe(size);
    expect(first(pax(["uid", "4294967294"]), [header({})], END).uid).toBe(4294967294);
    expect(first([header({ uid: "   750 \0" })], END).uid).toBe(0o750);
  });

  const times: [value: string, seconds: number, ns: number][] = [
    ["12.5", 12, 500_000_000],
    ["12.000000001", 12, 1],
    ["12.1234567899", 12, 123_456_789],
    ["-1.25", -2, 750_000_000],
    ["-3", -3, 0],
  ];
  test.each(times)("time %s", (value, seconds, ns) => {
    const entry = first(pax(["mtime", value]), [header({})], END);
    expect([entry.mtime, entry.mtimeNs]).toEqual([seconds, ns]);
  });

  test("attributes keep every byte", () => {
    const value = "\x01\0\n=\xff";
    const entry = first(
      pax(["SCHILY.xattr.security.capability", value], ["SCHILY.xattr.user.a=b", ""]),
      [header({})],
      END,
    );
    expect(entry.xattrs.map((x) => [decodeLatin1(x.name), decodeLatin1(x.value)])).toEqual([
      ["security.capability", value],
      ["user.a", "b="],
    ]);
  });

  test("a global header counts until an entry says otherwise", () => {
    const global = extension("g", encodeUtf8("12 uid=1234\n"));
    const reader = open([...global, header({}), ...pax(["uid", "5"]), header({}), ...END].flat());
    expect([reader.next()?.uid, reader.next()?.uid]).toEqual([1234, 5]);
  });

  test("an archive may end without zero blocks, between entries", () => {
    const reader = open([header({})]);
    reader.next();
    expect(reader.next()).toBeUndefined();
  });

  test("PAX size beats the header's for content too", () => {
    const blocks = [...pax(["size", "3"]), header({ size: octal(0) }), body(encodeUtf8("abc"))];
    const reader = open([...blocks, header({ name: "b" }), ...END]);
    expect(reader.next()?.size).toBe(3);
    expect(contentOf(reader)).toBe("abc");
    expect(decodeLatin1(reader.next()?.path ?? new Uint8Array(0))).toBe("b");
  });

  const hostile: [name: string, blocks: Uint8Array[]][] = [
    ["a wrong check sum", [header({}).fill(0x31, 0, 1)]],
    ["a truncated header", [header({}).subarray(0, 100)]],
    ["an unknown type", [header({ type: "Z" })]],
    ["a multi-volume entry", [header({ type: "M" })]],
    ["a size that is no octal number", [header({ size: "0000000009x\0" })]],
    ["a negative size", [header({}, (block) => block.fill(0xff, 124, 136))]],
    [
      "a size of more than 53 bits",
      [header({}, (block) => block.fill(0x7f, 125, 136).fill(0x80, 124, 125))],
    ],
    ["an empty name", [header({ name: "\0" })]],
    ["an empty link target", [header({ type: "2" })]],
    ["a NUL in a PAX name", [...pax(["path", "a\0b"]), header({})]],
    ["a name of 5000 bytes", [...pax(["path", "a".repeat(5000)]), header({})]],
    ["a PAX header of 2 MiB", [header({ type: "x", size: octal(2 << 20) })]],
    ["a PAX record without a length", [...extension("x", encodeUtf8("path=x\n")), header({})]],
    [
      "a PAX record that is longer than the header",
      [...extension("x", encodeUtf8("99 path=x\n")), header({})],
    ],
    ["a PAX record that ends early", [...extension("x", encodeUtf8("8 path=x\n")), header({})]],
    ["a PAX record of length 0", [...extension("x", encodeUtf8("0 path=x\n")), header({})]],
    ["a PAX size in hexadecimal", [...pax(["size", "0x10"]), header({})]],
    ["a PAX size with a sign", [...pax(["size", "-1"]), header({})]],
    ["an owner that the kernel keeps for itself", [...pax(["uid", "4294967295"]), header({})]],
    ["an owner of 33 bits", [...pax(["uid", "4294967296"]), header({})]],
    ["a time of the far future", [...pax(["mtime", "9999999999999"]), header({})]],
    ["a sparse file without a size", [...pax(["GNU.sparse.map", "0,1"]), header({})]],
    [
      "a sparse file whose pieces overlap",
      [
        ...pax(["GNU.sparse.map", "0,5,3,5"], ["GNU.sparse.size", "99"]),
        header({ size: octal(10) }),
      ],
    ],
    [
      "a sparse file larger than it says",
      [...pax(["GNU.sparse.map", "90,10"], ["GNU.sparse.size", "95"]), header({ size: octal(10) })],
    ],
    [
      "a sparse file with other content than pieces",
      [...pax(["GNU.sparse.map", "0,5"], ["GNU.sparse.size", "99"]), header({ size: octal(10) })],
    ],
  ];
  test.each(hostile)("refuses %s", (_name, blocks) => {
    expect(() => open([...blocks, ...END]).next()).toThrow(/Cannot read the archive/);
  });

  test("refuses content that is cut off", () => {
    const reader = open([header({ size: octal(1000) }), new Uint8Array(100)]);
    reader.next();
    expect(() => contentOf(reader)).toThrow(/in the middle/);
  });

  test("an endless chain of long names is an entry that never comes", () => {
    const names = Array.from({ length: 50 }, () => extension("L", encodeUtf8("n\0"))).flat();
    expect(() => open(names).next()).toThrow(/in the middle/);
  });
});
