/** What is written where write(2) takes less than it is given. */
import { expect, test } from "bun:test";
import type { writeSync } from "node:fs";
import { writeWhole } from "./write-whole.ts";

/** Takes so many bytes at each call; a text is a call that fails with it. */
function sink(turns: readonly (number | string)[]) {
  const taken: number[] = [];
  let turn = 0;
  const write = (_fd: number, bytes: Uint8Array, at: number): number => {
    const how = turns[turn++] ?? bytes.length;
    if (typeof how === "string") throw Object.assign(new Error(how), { code: how });
    const part = bytes.subarray(at, at + how);
    taken.push(...part);
    return part.length;
  };
  return { write: write as typeof writeSync, text: () => Buffer.from(taken).toString("utf8") };
}

test("a short count is followed by the rest", () => {
  const { write, text } = sink([1, 2, "EAGAIN", 1]);
  writeWhole(1, "für alle", write);
  expect(text()).toBe("für alle");
});

test("a disk that is full after a part is an error", () => {
  const { write } = sink([3, "ENOSPC"]);
  expect(() => writeWhole(1, "more than three", write)).toThrow("ENOSPC");
});
