/** Runs inside the virtual machine to show that a failure there comes out as one. */
import { expect, test } from "bun:test";

test("this fails", () => {
  expect(1).toBe(2);
});

test.skip("this is skipped", () => {
  expect(1).toBe(2);
});
