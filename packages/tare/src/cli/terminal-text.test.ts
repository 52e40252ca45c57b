import { expect, test } from "bun:test";
import { escapeControls, hasControls } from "./terminal-text.ts";

test("what a terminal obeys is escaped, and is the same JSON", () => {
  const value = { title: "a\u009b31m\u202eb\u2066c\u007f\u0085\u2028" };
  const text = `${JSON.stringify(value, null, "\t")}\n`;
  const escaped = escapeControls(text);
  expect([hasControls(text), hasControls(escaped)]).toEqual([true, false]);
  expect(escaped).toBe('{\n\t"title": "a\\u009b31m\\u202eb\\u2066c\\u007f\\u0085\\u2028"\n}\n');
  expect(JSON.parse(escaped)).toEqual(value);
  expect(escapeControls("\u001b[2J\r\u0000")).toBe("\\u001b[2J\\u000d\\u0000");
});

test("other text stays", () => {
  const text = "tab\tline\n\u00e4\u00a0\u05d0\u{1f433}";
  expect([hasControls(text), escapeControls(text)]).toEqual([false, text]);
});
