/// <reference path="../../packages/runtime/src/sys/sys.d.ts" />
/**
 * Stands in for `bun:test` on the QuickJS host: what the pure tests of spec and runtime use of it,
 * with the meaning it has there. Tests run at once, as they are declared, and must be synchronous.
 * The last line printed is the count as JSON; see tools/quickjs-test.ts.
 */

import { clock_gettime, encode_utf8, write } from "tare:sys";
import { expect as expectation, expectationCount } from "./matchers.ts";

type Body = (...row: never[]) => unknown;
type Hook = () => unknown;
type Fd = import("tare:sys").Fd;

/** One `describe`: its name, what runs around its tests. */
type Block = {
  readonly name: string;
  readonly before: Hook[];
  readonly after: Hook[];
  readonly last: Hook[];
};

const CLOCK_MONOTONIC = 1;
// Tests that bound the time of a call measure it with the clock they have on Bun.
globalThis.performance ??= {
  now: () => Number(clock_gettime(CLOCK_MONOTONIC)) / 1e6,
} as Performance;

const counts = { passed: 0, failed: 0, skipped: 0 };
const blocks: Block[] = [{ name: "", before: [], after: [], last: [] }];

function print(text: string): void {
  const bytes = encode_utf8(`${text}\n`);
  let at = 0;
  while (at < bytes.length) {
    const written = write(1 as Fd, bytes.subarray(at)) as unknown as number;
    if (written <= 0) throw new Error(`Cannot write to standard output: errno ${-written}`);
    at += written;
  }
}

function inner(): Block {
  const block = blocks.at(-1);
  if (block === undefined) throw new Error("no block is open");
  return block;
}

function nameOf(test: string): string {
  const names = blocks.map(({ name }) => name).filter((name) => name !== "");
  return [...names, test].join(" > ");
}

function runOne(name: string, body: () => unknown): void {
  try {
    for (const { before } of blocks) for (const hook of before) hook();
    let outcome: unknown;
    try {
      outcome = body();
    } finally {
      for (const { after } of blocks.toReversed()) for (const hook of after) hook();
    }
    if (outcome instanceof Promise) throw new Error("the test is asynchronous");
    counts.passed++;
  } catch (error) {
    counts.failed++;
    const text = error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error);
    print(`(fail) ${nameOf(name)}\n${text}`);
  }
}

/** The rows of a table as argument lists: a row that is no array is one argument. */
function argumentsOf(row: unknown): readonly unknown[] {
  return Array.isArray(row) ? row : [row];
}

/** `%s`, `%j` and the like take the next argument, `$name` a property of the first, `%#` the index. */
function title(name: string, row: readonly unknown[], index: number): string {
  let next = 0;
  const filled = name.replace(/%[sdifjop#%]/g, (mark) => {
    if (mark === "%%") return "%";
    return mark === "%#" ? `${index}` : textOf(row[next++]);
  });
  const [first] = row;
  if (typeof first !== "object" || first === null) return filled;
  return filled.replace(/\$(\w+)/g, (mark, key: string) =>
    key in first ? textOf((first as Record<string, unknown>)[key]) : mark,
  );
}

function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  return JSON.stringify(value, (_key, member) =>
    typeof member === "bigint" ? `${member}n` : member,
  );
}

function eachOf<T>(declare: (name: string, body: () => unknown) => T) {
  return (rows: readonly unknown[]) => (name: string, body: Body) => {
    for (const [index, row] of rows.entries()) {
      const given = argumentsOf(row);
      declare(title(name, given, index), () => body(...(given as never[])));
    }
  };
}

function skip(_name: string, _body?: Body): void {
  counts.skipped++;
}
skip.each = (rows: readonly unknown[]) => (_name: string, _body: Body) => {
  counts.skipped += rows.length;
};

/** Runs a test now. */
export function test(name: string, body: () => unknown): void {
  runOne(name, body);
}
test.each = eachOf(test);
test.skip = skip;
test.skipIf = (condition: boolean) => (condition ? skip : test);
export const expect = expectation;

/** Runs the tests of a block now; what it throws outside of them counts as a failure. */
export function describe(name: string, body: () => unknown): void {
  blocks.push({ name, before: [], after: [], last: [] });
  try {
    body();
    for (const hook of inner().last) hook();
  } catch (error) {
    counts.failed++;
    print(`(fail) ${nameOf("(outside of its tests)")}\n${String(error)}`);
  } finally {
    blocks.pop();
  }
}
describe.each = eachOf(describe);

export function beforeEach(hook: Hook): void {
  inner().before.push(hook);
}

export function afterEach(hook: Hook): void {
  inner().after.push(hook);
}

/** Tests run as they are declared, so that "before all that follow" is now. */
export function beforeAll(hook: Hook): void {
  hook();
}

export function afterAll(hook: Hook): void {
  inner().last.push(hook);
}

/** Called by the bundle after the test file: prints the count. */
export function finish(): void {
  for (const hook of inner().last) hook();
  print(JSON.stringify({ ...counts, expected: expectationCount() }));
}
