import { expect, test } from "bun:test";
import { decodeUtf8, encodeUtf8 } from "@tare/spec/bytes.ts";
import { filterTable } from "./ps.ts";

const TABLE = [
  "UID          PID    PPID  C STIME TTY          TIME CMD",
  "root           1       0  0 05:00 ?        00:00:02 init",
  "root        4711       1  0 05:01 ?        00:00:00 sleep 4712",
  "root        4712    4711  0 05:01 ?        00:00:00 sleep 1",
  "",
].join("\n");

function filter(table: string, pids: readonly number[]): string[] {
  return filterTable(encodeUtf8(table), pids).map((line) => decodeUtf8(line, "line").trimEnd());
}

test("the head stays, and the lines of these processes", () => {
  const [head = "", , sleep = ""] = TABLE.split("\n");
  expect(filter(TABLE, [4711])).toEqual([head, sleep]);
  expect(filter(TABLE, [])).toEqual([head]);
});

test("a number in another column is not a pid", () => {
  expect(filter(TABLE, [1, 4712]).length).toBe(3);
});

test("the column may stand anywhere, and a thread is a line of its process", () => {
  const threads = "  PID   LWP COMMAND\n   10    10 a\n   10    11 a\n   20    20 b\n";
  expect(filter(threads, [10])).toEqual(["  PID   LWP COMMAND", "   10    10 a", "   10    11 a"]);
});

test("what is no text stays as it is", () => {
  const line = [0x20, 0x37, 0x20, 0xff, 0xc3, 0x0a];
  const table = Uint8Array.from([...encodeUtf8("PID CMD\n"), ...line]);
  expect(filterTable(table, [7])[1]).toEqual(Uint8Array.from(line));
});

test("without the column it cannot be known which lines are the container's", () => {
  expect(() => filter("CMD\nsleep\n", [1])).toThrow("couldn't find PID field");
  expect(() => filter("", [1])).toThrow("couldn't find PID field");
});
