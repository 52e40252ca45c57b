import { describe, expect, test } from "bun:test";
import { decodeAnswer, encodeNotified, encodeRequest, REQUEST } from "./messages.ts";
import { encodeFields } from "./protobuf.ts";

const hex = (bytes: Uint8Array) =>
  [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
const bytes = (text: string) => Uint8Array.from(text.split(" ").map((each) => Number(`0x${each}`)));

describe("a request", () => {
  test("has numbers as varints, texts and messages by their length", () => {
    expect(hex(encodeRequest(REQUEST.DUMP, [["images_dir_fd", 300]]))).toBe("0801120308ac02");
    expect(hex(encodeRequest(REQUEST.RESTORE, [["root", "/r"]]))).toBe("080212046a022f72");
    // An empty text is not one that is left out: of cgroup_root it means v2.
    expect(hex(encodeRequest(REQUEST.RESTORE, [["cg_root", ["", "a"]]]))).toBe(
      "08021208ca01050a00120161",
    );
    expect(hex(encodeRequest(REQUEST.DUMP, [["empty_ns", 0x40000000]]))).toBe(
      "08011207b0028080808004",
    );
  });

  test("to go on says so", () => {
    expect(hex(encodeNotified(true))).toBe("08061801");
    expect(hex(encodeNotified(false))).toBe("08061800");
  });
});

describe("an answer", () => {
  test("of a notification has its name and a process", () => {
    const notify = encodeFields([
      [1, "setup-namespaces"],
      [2, 77],
    ]);
    const message = encodeFields([
      [1, REQUEST.NOTIFY],
      [2, true],
      [5, notify],
    ]);
    expect(decodeAnswer(message)).toEqual({
      type: REQUEST.NOTIFY,
      success: true,
      script: "setup-namespaces",
      pid: 77,
    });
  });

  test("of a restore that failed has a negative process and the reason", () => {
    const restore = bytes("08 ff ff ff ff ff ff ff ff ff 01");
    const message = encodeFields([
      [1, REQUEST.RESTORE],
      [2, false],
      [4, restore],
      [9, "why"],
    ]);
    expect(decodeAnswer(message)).toEqual({
      type: REQUEST.RESTORE,
      success: false,
      pid: -1,
      complaint: "why",
    });
  });

  test("passes over fields that it does not know", () => {
    const message = encodeFields([
      [1, REQUEST.DUMP],
      [2, true],
      [15, "new"],
      [1000, 1],
    ]);
    expect(decodeAnswer(message)).toEqual({ type: REQUEST.DUMP, success: true });
  });

  test.each([
    "08",
    "08 80",
    "08 80 80 80 80 80 80 80 80 80 80 01",
    "4a 05 61",
    "4a ff ff ff ff ff ff ff ff ff 01",
    "09 00 00 00 00 00 00 00 00",
    "2a 01 08",
  ])("that is damaged is refused: %s", (text) => {
    expect(() => decodeAnswer(bytes(text))).toThrow("damaged");
  });
});
