import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ReaderGone } from "@tare/engine/host/failure.ts";
import { TareError } from "@tare/spec/error.ts";
import { failureStatus, printFailure } from "./failure.ts";

function printedOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return printFailure(error);
  }
  throw new Error("nothing was thrown");
}

test("an error is its sentence, and its hint under it", () => {
  const error = new TareError("not_found", "Cannot find it", { hint: "Look elsewhere" });
  expect(printFailure(error)).toBe("tare: Cannot find it\n  hint: Look elsewhere\n");
  expect([failureStatus("run", error), failureStatus("images", error)]).toEqual([125, 1]);
});

test("what a call of the system throws is one sentence with its code", () => {
  expect(printedOf(() => mkdirSync("/proc/no/such"))).toBe(
    'tare: Cannot mkdir "/proc/no/such": no such file or directory (ENOENT)\n',
  );
});

test("what the database throws is told in words", () => {
  const path = join(mkdtempSync(join(tmpdir(), "tare-failure-")), "db");
  writeFileSync(path, "no database ".repeat(100));
  expect(printedOf(() => new Database(path).run("CREATE TABLE a (b)"))).toMatch(
    /^tare: Cannot read "tare.db" in the data root: it is damaged\n {2}hint: /,
  );
  rmSync(dirname(path), { recursive: true });
  expect(printedOf(() => new Database(":memory:").run("SELECT * FROM a"))).toMatch(
    /^tare: Cannot use "tare.db" in the data root: no such table: a \(SQLITE_ERROR\)\n$/,
  );
});

test("nobody is told that the reader of the output has gone", () => {
  const gone = new ReaderGone();
  expect([printFailure(gone), failureStatus("save", gone)]).toEqual(["", 141]);
});
