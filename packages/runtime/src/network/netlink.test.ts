import { describe, expect, test } from "bun:test";
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  errnoOfMessage,
  uint32,
} from "./netlink.ts";
import {
  addAddress,
  askLink,
  IFA_F_PERMANENT,
  moveLink,
  type Payload,
  readAddress,
  readLink,
  setLinkUp,
} from "./rtnetlink.ts";

function bodyOf({ fixed, attributes }: Payload): Uint8Array {
  const bytes = encodeMessage({ type: 16, flags: 5, sequence: 7 }, fixed, attributes);
  const [message] = decodeMessages(bytes);
  if (message === undefined) throw new Error("no message");
  return message.body;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

describe("messages", () => {
  test("are a header, a structure and padded attributes", () => {
    const bytes = encodeMessage(
      { type: 0x10, flags: 0x05, sequence: 9 },
      Uint8Array.of(1, 2, 3, 4),
      [
        [3, Uint8Array.of(0x61, 0)],
        [28, uint32(0x01020304)],
      ],
    );
    expect(hex(bytes)).toBe(
      "24000000" +
        "1000" +
        "0500" +
        "09000000" +
        "00000000" + // header
        "01020304" +
        "0600" +
        "0300" +
        "61000000" +
        "0800" +
        "1c00" +
        "04030201",
    );
  });

  test("come back as they were, several in a datagram", () => {
    const one = encodeMessage({ type: 1, flags: 2, sequence: 3 }, new Uint8Array(5), []);
    const two = encodeMessage({ type: 4, flags: 5, sequence: 6 }, new Uint8Array(4), [
      [9, uint32(1)],
    ]);
    const padded = new Uint8Array(one.length + two.length);
    padded.set(one);
    padded.set(two, one.length);
    const read = decodeMessages(padded);
    expect(read.map(({ type, flags, sequence }) => [type, flags, sequence])).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(decodeAttributes(read[1]?.body ?? new Uint8Array(0), 4)).toEqual(
      new Map([[9, uint32(1)]]),
    );
  });

  test("the upper bits of an attribute's type are not part of it", () => {
    const body = Uint8Array.of(5, 0, 0x07, 0x80, 0xff, 0, 0, 0);
    expect([...decodeAttributes(body, 0)]).toEqual([[7, Uint8Array.of(0xff)]]);
  });

  test("an errno is negative in the message", () => {
    expect(errnoOfMessage(Uint8Array.of(0xef, 0xff, 0xff, 0xff, 0))).toBe(17);
    expect(errnoOfMessage(new Uint8Array(20))).toBe(0);
  });

  const hostile: [string, () => unknown][] = [
    ["a header that is cut", () => decodeMessages(new Uint8Array(8))],
    ["a length of 0", () => decodeMessages(new Uint8Array(16))],
    ["a length beyond the datagram", () => decodeMessages(Uint8Array.of(17, ...Array(15).fill(0)))],
    ["a length of 4 GiB", () => decodeMessages(new Uint8Array(16).fill(0xff))],
    ["an attribute of length 0", () => decodeAttributes(new Uint8Array(4), 0)],
    ["an attribute beyond the message", () => decodeAttributes(Uint8Array.of(9, 0, 1, 0), 0)],
    ["an attribute that is cut", () => decodeAttributes(Uint8Array.of(4, 0), 0)],
    ["a structure that is cut", () => decodeAttributes(new Uint8Array(3), 16)],
    ["an error that is cut", () => errnoOfMessage(new Uint8Array(2))],
  ];
  test.each(hostile)("%s is an error", (_name, read) => {
    expect(read).toThrow("wrong length");
  });
});

describe("links and addresses", () => {
  test("a link is asked for by its name, which ends with a NUL", () => {
    expect(readLink(bodyOf(askLink("eth0")))).toEqual({ index: 0, name: "eth0", flags: 0 });
    expect(askLink(undefined).attributes).toEqual([]);
  });

  test("up and down change one flag only", () => {
    expect(hex(setLinkUp(5, true).fixed)).toBe(`${"00000000"}05000000${"01000000"}01000000`);
    expect(hex(setLinkUp(5, false).fixed)).toBe(`${"00000000"}05000000${"00000000"}01000000`);
  });

  test("a move names the place and the new name at once", () => {
    const attributes = decodeAttributes(bodyOf(moveLink(5, "in%d", 9)), 16);
    expect(attributes.get(28)).toEqual(uint32(9));
    expect(hex(attributes.get(3) ?? new Uint8Array(0))).toBe("696e256400");
  });

  test("an address keeps what it says, flags above the first eight bits too", () => {
    const address = {
      family: 2,
      prefixLength: 24,
      scope: 0,
      index: 9,
      flags: 0x200 | IFA_F_PERMANENT,
      address: Uint8Array.of(10, 0, 0, 2),
      local: Uint8Array.of(10, 0, 0, 1),
      broadcast: Uint8Array.of(10, 0, 0, 255),
    };
    expect(readAddress(bodyOf(addAddress(9, address)))).toEqual(address);
    const { local: _local, broadcast: _broadcast, ...bare } = address;
    expect(readAddress(bodyOf(addAddress(9, bare)))).toEqual(bare);
  });
});
