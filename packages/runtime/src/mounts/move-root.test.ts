import { expect, test } from "bun:test";
import { parseEntry } from "./move-root.ts";

test.each([
  ["30 1 0:5 / /proc rw,nosuid shared:3 - proc proc rw", "proc", true],
  ["30 1 0:5 / /sys ro - sysfs sysfs rw", "sys", true],
  // A part of procfs reveals no more than that part.
  ["30 1 0:5 /sys /proc/sys ro - proc proc rw", "proc/sys", false],
  ["30 1 8:1 / /a\\040b\\134040\\011 rw - ext4 /dev/x rw", "a b\\040\t", false],
  ["30 1 8:1 / /proc rw master:1 propagate_from:2 - tmpfs proc rw", "proc", false],
])("%s", (line, path, revealing) => {
  expect(parseEntry(line)).toEqual([{ id: 30, parent: 1, path, revealing }]);
});

test.each(["", " - ", "30 1 0:5 /", "\0"])("%j is no mount", (line) => {
  expect(parseEntry(line)).toEqual([]);
});
