/** Times of directories come back as they were given, up to a limit. */
import { expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { DirectoryTimes } from "./times.ts";

test("what was added comes back in order, over the first block and beyond", () => {
  const times = new DirectoryTimes();
  const COUNT = 5000;
  const pathOf = (index: number) => encodeUtf8(`some/directory/${index}`);
  for (let index = 0; index < COUNT; index++) {
    times.add({ path: pathOf(index), mtime: index - 7, mtimeNs: index });
  }
  let index = 0;
  for (const { path, mtime, mtimeNs } of times.all()) {
    const given = [pathOf(index), index - 7, index];
    expect([path, mtime, mtimeNs]).toEqual(given);
    index++;
  }
  expect(index).toBe(COUNT);
});

test("too many are refused", () => {
  const times = new DirectoryTimes();
  const path = new Uint8Array(4095);
  const addAll = () => {
    for (let count = 0; count < 20_000; count++) times.add({ path, mtime: 0, mtimeNs: 0 });
  };
  expect(addAll).toThrow("too many directories");
});
