import { describe, expect, test } from "bun:test";
import { concatBytes, encodeUtf8 } from "./bytes.ts";
import { TarReader } from "./tar.ts";
import { paddingOf } from "./tar-fields.ts";
import {
  compareBytes,
  END_OF_ARCHIVE,
  plainEntry,
  type WritableEntry,
  writeHeader,
} from "./tar-write.ts";

const BASE = plainEntry("etc/hosts", 0);
const LONG = encodeUtf8("d/".repeat(90));

/** Entries that the reader must give back as they are. */
const ENTRIES: readonly (readonly [what: string, entry: WritableEntry])[] = [
  ["a plain file", BASE],
  ["a name of 100 bytes", { ...BASE, path: encodeUtf8("n".repeat(100)) }],
  ["a name of 101 bytes", { ...BASE, path: encodeUtf8("n".repeat(101)) }],
  ["a name that is not UTF-8", { ...BASE, path: new Uint8Array([0x66, 0xff, 0xfe]) }],
  ["a long name with any byte", { ...BASE, path: concatBytes([LONG, new Uint8Array([10, 0xff])]) }],
  ["a directory", { ...BASE, kind: "directory", path: encodeUtf8("etc/"), mode: 0o1777 }],
  ["a link", { ...BASE, kind: "symlink", link: encodeUtf8("../x") }],
  ["a link to a long name", { ...BASE, kind: "hardlink", link: LONG }],
  ["a device", { ...BASE, kind: "char", major: 4095, minor: 1_048_575 }],
  ["a block device", { ...BASE, kind: "block", major: 8, minor: 1 }],
  ["a pipe", { ...BASE, kind: "fifo" }],
  ["the largest ids of ustar", { ...BASE, uid: 0o7777777, gid: 0o7777777 }],
  ["larger ids", { ...BASE, uid: 0o10000000, gid: 2 ** 32 - 2 }],
  ["setuid and all", { ...BASE, mode: 0o7777 }],
  ["nanoseconds", { ...BASE, mtime: 1_700_000_000, mtimeNs: 1 }],
  ["nanoseconds with zeros at the end", { ...BASE, mtime: 5, mtimeNs: 500_000_000 }],
  ["a time before 1970", { ...BASE, mtime: -7, mtimeNs: 0 }],
  ["a time shortly before 1970", { ...BASE, mtime: -1, mtimeNs: 999_999_999 }],
  ["a time long after", { ...BASE, mtime: 2 ** 39, mtimeNs: 3 }],
  [
    "attributes in order, with any byte",
    {
      ...BASE,
      xattrs: [
        { name: encodeUtf8("security.capability"), value: new Uint8Array([1, 0, 10, 61, 255]) },
        { name: encodeUtf8("user.a"), value: encodeUtf8("x".repeat(986)) },
      ],
    },
  ],
];

function readerOf(bytes: Uint8Array): TarReader {
  let at = 0;
  return new TarReader({
    read: (into) => {
      const piece = bytes.subarray(at, at + into.length);
      into.set(piece);
      at += piece.length;
      return piece.length;
    },
  });
}

function read(bytes: Uint8Array): WritableEntry[] {
  const reader = readerOf(bytes);
  const entries: WritableEntry[] = [];
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
    const { segments, ...rest } = entry;
    expect(segments).toBeUndefined();
    entries.push(rest);
  }
  return entries;
}

describe("what is written is read back as it was", () => {
  for (const [what, entry] of ENTRIES) {
    test(what, () => {
      const header = writeHeader(entry);
      expect(header.length % 512).toBe(0);
      expect(read(concatBytes([header, END_OF_ARCHIVE]))).toEqual([entry]);
    });
  }
  test("one behind the other, with content", () => {
    const entry = plainEntry("a", 700);
    const body = new Uint8Array(700 + paddingOf(700)).fill(7);
    const two = concatBytes([writeHeader(entry), body, writeHeader(BASE), END_OF_ARCHIVE]);
    expect(read(two)).toEqual([entry, BASE]);
  });
  test("a size that ustar has no room for", () => {
    const entry = plainEntry("large", 2 ** 40);
    expect(readerOf(writeHeader(entry)).next()).toMatchObject({ size: 2 ** 40 });
  });
});

test("a record's length counts its own digits", () => {
  for (let length = 80; length < 120; length++) {
    const xattrs = [{ name: encodeUtf8("user.n"), value: new Uint8Array(length).fill(65) }];
    const entry = { ...BASE, xattrs };
    expect(read(concatBytes([writeHeader(entry), END_OF_ARCHIVE]))).toEqual([entry]);
  }
});

test("the same entry gives the same bytes, in whatever order its attributes came", () => {
  const a = { name: encodeUtf8("user.a"), value: encodeUtf8("1") };
  const b = { name: encodeUtf8("user.b"), value: encodeUtf8("2") };
  expect(writeHeader({ ...BASE, xattrs: [b, a] })).toEqual(
    writeHeader({ ...BASE, xattrs: [a, b] }),
  );
});

test("a device number that tar cannot hold is refused", () => {
  expect(() => writeHeader({ ...BASE, kind: "char", major: 0o10000000, minor: 0 })).toThrow(
    "too large",
  );
});

test("names are ordered byte by byte", () => {
  const names = ["b", "a", "ab", "a-", "\u00e9"].map(encodeUtf8).sort(compareBytes);
  expect(names.map((name) => String.fromCharCode(...name.subarray(0, 2)))).toEqual([
    "a",
    "a-",
    "ab",
    "b",
    "\u00c3\u00a9",
  ]);
});
