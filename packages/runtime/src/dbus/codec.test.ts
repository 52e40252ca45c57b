import { describe, expect, test } from "bun:test";
import { decodeUtf8, encodeUtf8 } from "@tare/spec/bytes.ts";
import { marshal } from "./marshal.ts";
import { bodyOf, decodeMessage, encodeCall, encodeMessage, messageLength } from "./message.ts";
import { parseSignature, parseSingle, type Value } from "./signature.ts";
import { unmarshal } from "./unmarshal.ts";

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(text: string): Uint8Array {
  const digits = text.replaceAll(" ", "");
  const pairs = Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(index * 2, index * 2 + 2), 16),
  );
  return Uint8Array.from(pairs);
}

/** The specification's own words in bytes: "Marshaling (Wire Format)". */
const CASES: readonly (readonly [signature: string, values: readonly Value[], bytes: string])[] = [
  ["y", [255], "ff"],
  ["b", [true], "01000000"],
  ["n", [-2], "feff"],
  ["q", [0xfffe], "feff"],
  ["i", [-1], "ffffffff"],
  ["u", [4294967295], "ffffffff"],
  ["x", [-1n], "ffffffffffffffff"],
  ["t", [0xfedcba9876543210n], "1032547698badcfe"],
  ["d", [1], "000000000000f03f"],
  ["s", ["foo"], "03000000 666f6f00"],
  ["s", ["é"], "02000000 c3a900"],
  ["o", ["/a/b_1"], "06000000 2f612f625f3100"],
  ["g", ["a{sv}"], "05 617b73767d00"],
  ["yu", [1, 2], "01 000000 02000000"],
  ["yt", [1, 2n], "01 00000000000000 0200000000000000"],
  ["v", [{ signature: "u", value: 7 }], "01 7500 00 07000000"],
  ["ay", [Uint8Array.of(1, 2)], "02000000 0102"],
  ["as", [["a", "b"]], "0e000000 01000000 6100 0000 01000000 6200"],
  ["as", [[]], "00000000"],
  // The padding before the first element does not count.
  ["at", [[5n]], "08000000 00000000 0500000000000000"],
  ["at", [[]], "00000000 00000000"],
  ["(yi)", [[1, 2]], "01 000000 02000000"],
  [
    "a(sv)",
    [[["A", { signature: "b", value: true }]]],
    // Text to 6, the variant's signature to 9, padding to 12, the boolean to 16.
    "10000000 00000000 01000000 4100 016200 000000 01000000",
  ],
  ["a{sy}", [[["k", 9]]], "07000000 00000000 01000000 6b00 09"],
  ["aau", [[[1], []]], "0c000000 04000000 01000000 00000000"],
];

describe("values", () => {
  test.each([...CASES])("%s are these bytes, both ways", (signature, values, bytes) => {
    expect(hex(marshal(signature, values))).toBe(bytes.replaceAll(" ", ""));
    expect(unmarshal(signature, bytesOf(bytes))).toEqual([...values]);
  });

  test("what systemd is told of a unit comes back as it was", () => {
    const signature = "ssa(sv)a(sa(sv))";
    const values: Value[] = [
      "tare-runtime-x.scope",
      "fail",
      [
        ["PIDs", { signature: "au", value: [4711] }],
        ["Delegate", { signature: "b", value: true }],
        ["MemoryMax", { signature: "t", value: 0xffff_ffff_ffff_ffffn }],
        ["AllowedCPUs", { signature: "ay", value: Uint8Array.of(3, 1) }],
        ["DeviceAllow", { signature: "a(ss)", value: [["/dev/char/1:3", "rwm"]] }],
      ],
      [],
    ];
    expect(unmarshal(signature, marshal(signature, values))).toEqual(values);
  });

  test.each([
    ["u", (index: number) => index],
    ["d", (index: number) => index],
    ["t", (index: number) => BigInt(index)],
    ["b", (index: number) => index % 2 === 0],
    ["s", (index: number) => "x".repeat(index % 7)],
    ["v", (index: number) => ({ signature: "s", value: "x".repeat(index % 7) })],
  ] as [string, (index: number) => Value][])("many %s, which outgrow the buffer", (code, make) => {
    const values = Array.from({ length: 700 }, (_, index) => make(index));
    const shifted = `y${code.repeat(200)}`;
    expect(unmarshal(shifted, marshal(shifted, [1, ...values.slice(0, 200)]))).toHaveLength(201);
    expect(unmarshal(`a${code}`, marshal(`a${code}`, [values]))).toEqual([values]);
  });

  test("variants may hold variants, to a depth", () => {
    const nested = (depth: number): Value =>
      depth === 0 ? { signature: "y", value: 1 } : { signature: "v", value: nested(depth - 1) };
    expect(unmarshal("v", marshal("v", [nested(20)]))).toEqual([nested(20)]);
    expect(() => unmarshal("v", marshal("v", [nested(70)]))).toThrow("nested too deep");
  });

  test.each([
    ["u", [-1]],
    ["u", [2 ** 32]],
    ["y", [256]],
    ["i", [1.5]],
    ["t", [-1n]],
    ["x", [2n ** 63n]],
    ["o", ["no/path"]],
    ["o", ["/a//b"]],
    ["o", ["/a/"]],
    ["s", ["a\0b"]],
    ["b", [1]],
    ["ay", [[1]]],
    ["(ss)", [["a"]]],
    ["ss", ["a"]],
  ] as [string, Value[]][])("%s does not take %p", (signature, values) => {
    expect(() => marshal(signature, values)).toThrow();
  });

  test("what is too long is refused", () => {
    expect(() => marshal("ay", [new Uint8Array(2 ** 21)])).toThrow("more than");
  });
});

describe("signatures", () => {
  test("are lists of complete types", () => {
    expect(parseSignature("sa(sv)").map(({ code }) => code)).toEqual(["s", "a"]);
    expect(parseSignature("")).toEqual([]);
    expect(parseSingle("a{s(uv)}").code).toBe("a");
  });

  test.each([
    ["a", "too early"],
    ["(", "too early"],
    ["(s", "too early"],
    ["()", "has a field"],
    [")", "unknown type"],
    ["{sv}", "unknown type"],
    ["a{vs}", "basic type"],
    ["a{s}", "unknown type"],
    ["a{svv}", "two types"],
    ["z", "unknown type"],
    ["s\0", "unknown type"],
    [`${"a".repeat(33)}y`, "nested too deep"],
    ["(".repeat(33), "nested too deep"],
    ["y".repeat(256), "longer than"],
  ])("%p is none", (text, why) => {
    expect(() => parseSignature(text)).toThrow(why);
  });

  test("a variant has exactly one", () => {
    expect(() => parseSingle("ss")).toThrow("one complete type");
    expect(() => parseSingle("")).toThrow("one complete type");
  });
});

describe("hostile bytes", () => {
  test.each([
    ["s", "03000000 666f", "ends too early"],
    ["s", "ffffffff 666f6f00", "ends too early"],
    ["s", "03000000 666f6f01", "without its end"],
    ["s", "03000000 66006f00", "NUL"],
    ["s", "01000000 ff00", "not UTF-8"],
    ["o", "01000000 6100", "object's path"],
    ["g", "01 6100", "too early"],
    ["b", "02000000", "a boolean that is 2"],
    ["yu", "01 000001 02000000", "padding"],
    ["au", "05000000 01000000 02000000", "within an element"],
    ["au", "ffffffff", "longer than its message"],
    ["ay", "04000000 01", "longer than its message"],
    ["y", "01 02", "left over"],
    ["v", "02 737300 00000000", "one complete type"],
    ["v", "00 00", "one complete type"],
    ["t", "01020304", "ends too early"],
  ])("%s of %s", (signature, bytes, why) => {
    expect(() => unmarshal(signature, bytesOf(bytes))).toThrow(why);
  });

  test("a whole message cut or changed anywhere is refused or read, never a crash", () => {
    const bytes = encodeMessage({
      kind: "signal",
      serial: 7,
      path: "/org/freedesktop/systemd1",
      interface: "org.freedesktop.systemd1.Manager",
      member: "JobRemoved",
      sender: ":1.0",
      signature: "uoss",
      body: marshal("uoss", [1, "/org/freedesktop/systemd1/job/1", "a.scope", "done"]),
    });
    for (let at = 0; at < bytes.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const changed = bytes.slice();
        changed[at] = value;
        refusedOrRead(changed);
      }
      refusedOrRead(bytes.subarray(0, at));
    }
  });
});

function refusedOrRead(bytes: Uint8Array): void {
  try {
    const length = bytes.length < 16 ? bytes.length : messageLength(bytes);
    const message = decodeMessage(bytes.subarray(0, length));
    if (message !== undefined) bodyOf(message);
  } catch (error) {
    expect(["corrupt", "bad_input"]).toContain((error as { code?: string }).code ?? String(error));
  }
}

describe("messages", () => {
  const call = encodeCall(
    {
      destination: "org.freedesktop.DBus",
      path: "/org/freedesktop/DBus",
      interface: "org.freedesktop.DBus",
      member: "Hello",
      signature: "",
      values: [],
    },
    1,
  );

  test("say how long they are, and come back", () => {
    expect(messageLength(call.subarray(0, 16))).toBe(call.length);
    expect(decodeMessage(call)).toEqual({
      kind: "call",
      serial: 1,
      path: "/org/freedesktop/DBus",
      interface: "org.freedesktop.DBus",
      member: "Hello",
      destination: "org.freedesktop.DBus",
      signature: "",
      body: new Uint8Array(0),
    });
  });

  test("begin as the specification draws it", () => {
    expect(hex(call.subarray(0, 12))).toBe("6c01000100000000" + "01000000");
    expect(decodeUtf8(call.slice(0, 1), "the byte order")).toBe("l");
  });

  test("of an unknown kind, or with unknown fields, are passed over", () => {
    const unknown = call.slice();
    unknown[1] = 9;
    expect(decodeMessage(unknown)).toBeUndefined();
    const field = call.slice();
    // The first field is the path: by another number nobody knows it, and then the path is missing.
    field[16] = 99;
    expect(() => decodeMessage(field)).toThrow("without path");
  });

  test.each([
    ["another byte order", 0, 0x42],
    ["another version", 3, 2],
    ["no kind", 1, 0],
    ["no serial", 8, 0],
    ["a body that is not there", 4, 8],
  ])("%s is refused", (_what, at, value) => {
    const changed = call.slice();
    changed[at] = value;
    expect(() => {
      messageLength(changed);
      decodeMessage(changed);
    }).toThrow("Cannot read a D-Bus message");
  });

  test("more than four megabytes are refused before they are read", () => {
    const head = call.slice(0, 16);
    new DataView(head.buffer).setUint32(4, 2 ** 31, true);
    expect(() => messageLength(head)).toThrow("longer than");
  });

  test("texts are UTF-8", () => {
    const body = marshal("s", ["größe"]);
    expect(body.subarray(4, -1)).toEqual(encodeUtf8("größe"));
  });
});
