/** protobuf's wire format against the examples of its documentation. */
import { expect, test } from "bun:test";
import { decodeMessage, encodeMessage } from "./protobuf.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test.each([
  [{ 1: 150 }, "089601"],
  [{ 2: "testing" }, "120774657374696e67"],
  [{ 3: { 1: 150 } }, "1a03089601"],
  [{ 4: "hello", 6: ["a", "b"] }, "220568656c6c6f320161320162"],
  [{ 1: -1 }, "08ffffffffffffffffff01"],
])("%j", (fields, bytes) => {
  expect(hex(encodeMessage(fields))).toBe(bytes);
});

test("is read back; what is absent is zero; fixed numbers are passed over", () => {
  const bytes = encodeMessage({ 1: -5, 2: "x", 3: { 1: 7 }, 4: ["a", "b"] });
  const fixed = Uint8Array.of(0x29, 1, 2, 3, 4, 5, 6, 7, 8, 0x35, 1, 2, 3, 4);
  const message = decodeMessage(Buffer.concat([bytes, fixed]));
  expect([message.number(1), message.text(2), message.message(3).number(1)]).toEqual([-5, "x", 7]);
  expect([message.number(9), message.text(9), message.message(9).text(1)]).toEqual([0, "", ""]);
  const repeated = encodeMessage({ 1: [""], 2: "" });
  expect(decodeMessage(Buffer.concat([repeated, repeated])).messages(1)).toHaveLength(2);
});

test.each(["0a05aa", "08ff", "0b", "3d01"])("%s is no message", (bytes) => {
  expect(() => decodeMessage(Buffer.from(bytes, "hex"))).toThrow("Cannot read a message");
});
