/**
 * The functions of templates: Go's own that are used in `--format`, and Docker's additions. Pure.
 * Sources: Go's documentation of text/template, "Functions"; Docker's "Format command and log output".
 */
import { malformed } from "./syntax.ts";

export type TemplateFunction = (...values: readonly unknown[]) => unknown;

export const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map<string, TemplateFunction>([
  ["json", (value) => printJson(value)],
  ["join", (list, between) => listOf(list).map(printValue).join(printValue(between))],
  ["split", (text, between) => printValue(text).split(printValue(between))],
  ["lower", (text) => printValue(text).toLowerCase()],
  ["upper", (text) => printValue(text).toUpperCase()],
  ["title", (text) => titleOf(printValue(text))],
  ["truncate", (text, length) => printValue(text).slice(0, Number(length))],
  ["pad", (text, left, right) => padOf(printValue(text), Number(left), Number(right))],
  ["print", (...values) => values.map(printValue).join("")],
  ["println", (...values) => `${values.map(printValue).join(" ")}\n`],
  ["printf", (format, ...values) => printFormat(printValue(format), values)],
  ["len", lengthOf],
  ["index", (from, ...keys) => keys.reduce(indexOf, from)],
  ["slice", (from, start, end) => sliceOf(from, Number(start), end)],
  ["not", (value) => !isTrue(value)],
  ["and", (...values) => values.find((value) => !isTrue(value)) ?? values.at(-1)],
  ["or", (...values) => values.find(isTrue) ?? values.at(-1)],
  ["eq", (left, ...others) => others.some((other) => isEqual(left, other))],
  ["ne", (left, right) => !isEqual(left, right)],
  ["lt", (left, right) => compare(left, right) < 0],
  ["le", (left, right) => compare(left, right) <= 0],
  ["gt", (left, right) => compare(left, right) > 0],
  ["ge", (left, right) => compare(left, right) >= 0],
]);

/** Whether `if` takes its first way: not for what is empty, zero or absent. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** As Go prints it: `[a b]`, `map[k:v]`. */
export function printValue(value: unknown): string {
  if (value === undefined) return "<no value>";
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(printValue).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  const pairs = Object.entries(value)
    .filter(([, each]) => typeof each !== "function")
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${pairs.map(([key, each]) => `${key}:${printValue(each)}`).join(" ")}]`;
}

function printJson(value: unknown): string {
  return value === undefined ? "null" : JSON.stringify(value);
}

/** The value of a key of a map, or of a place in a list. */
export function indexOf(from: unknown, key: unknown): unknown {
  if (Array.isArray(from)) {
    const value = from[Number(key)];
    if (value !== undefined) return value;
    throw malformed(`index ${printValue(key)} is out of a list of ${from.length}`);
  }
  if (typeof from !== "object" || from === null) return undefined;
  return Object.hasOwn(from, String(key))
    ? (from as Readonly<Record<string, unknown>>)[String(key)]
    : undefined;
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (value === undefined || value === null) return [];
  throw malformed(`${printValue(value)} is no list`);
}

function lengthOf(value: unknown): number {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  if (typeof value === "object") return value === null ? 0 : Object.keys(value).length;
  throw malformed(`${printValue(value)} has no length`);
}

function sliceOf(from: unknown, start: number, end: unknown): unknown {
  const stop = end === undefined ? undefined : Number(end);
  return Array.isArray(from) ? from.slice(start, stop) : printValue(from).slice(start, stop);
}

function titleOf(text: string): string {
  return text.replaceAll(/(^|[^A-Za-z0-9])([a-z])/g, (all) => all.toUpperCase());
}

function padOf(text: string, left: number, right: number): string {
  return text === "" ? text : " ".repeat(left) + text + " ".repeat(right);
}

function isEqual(left: unknown, right: unknown): boolean {
  return left === right || (typeof left !== typeof right && printValue(left) === printValue(right));
}

function compare(left: unknown, right: unknown): number {
  if (typeof left === "number" && typeof right === "number") return left - right;
  const [a, b] = [printValue(left), printValue(right)];
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The verbs that are used: %s %v %d %q %t %f %x %%, with a width, a `-`, a precision. */
function printFormat(format: string, values: readonly unknown[]): string {
  let next = 0;
  return format.replaceAll(
    /%(-?)(0?)([0-9]*)(?:\.([0-9]+))?([a-zA-Z%])/g,
    (
      _all,
      minus: string,
      zero: string,
      width: string,
      precision: string | undefined,
      verb: string,
    ) => {
      if (verb === "%") return "%";
      const text = printVerb(verb, values[next++], precision);
      const wide = Math.min(Number(width), 1000);
      if (minus !== "") return text.padEnd(wide);
      return text.padStart(wide, zero === "" ? " " : "0");
    },
  );
}

function printVerb(verb: string, value: unknown, precision: string | undefined): string {
  switch (verb) {
    case "q":
      return JSON.stringify(printValue(value));
    case "x":
      return typeof value === "number"
        ? value.toString(16)
        : Buffer.from(printValue(value)).toString("hex");
    case "f":
      return Number(value).toFixed(Math.min(Number(precision ?? 6), 100));
    default: {
      const text = printValue(value);
      return precision === undefined ? text : text.slice(0, Number(precision));
    }
  }
}
