/**
 * JSON text to values, exact for 64-bit integers, with limits. Native parsing does the work: on
 * QuickJS a scan in script costs ten times what JSON.parse does, so what is asked of the text are
 * native searches, and the reviver (which sees each number's literal) runs only where it is needed.
 */
import { TareError } from "./error.ts";

/** In UTF-16 units; the largest of the formats read here allow 4 MiB. */
export const JSON_LENGTH_MAX = 4 * 1024 * 1024;

/** Levels of nesting that `parseJson` lets through, for consumers that recurse. */
export const JSON_DEPTH_MAX = 256;

/** -2^63 and 2^64-1 have 20 characters; what is longer fits no field, and BigInt() is quadratic. */
const INTEGER_LENGTH_MAX = 20;

/** Of a value quoted in an error. */
const QUOTE_LENGTH_MAX = 60;

type LiteralContext = { readonly source?: string };

/**
 * The value of a JSON text. An integer literal of up to 20 characters whose value is beyond 2^53 is
 * a `bigint`, every other number a `number`. Keys such as `__proto__` are ordinary properties; of
 * equal keys the last wins. Throws `bad_input`, naming `what`, for bad syntax, more than 4 MiB or
 * more than 256 levels.
 */
export function parseJson(text: string, what: string): unknown {
  const value = /\d{16}/.test(text) ? parseExactly(text, what) : parseRounded(text, what);
  if (mayExceedDepth(text) && depthExceeds(value, JSON_DEPTH_MAX)) failDepth(what);
  return value;
}

/**
 * As `parseJson`, with all numbers rounded to doubles, and nesting limited by the native parser
 * alone. For readers that ask for known fields and notice an integer that is not safe.
 */
export function parseRounded(text: string, what: string): unknown {
  return parseNative(text, what, undefined);
}

/** As `parseJson` for a text that is known to have long integers; nesting as in `parseRounded`. */
export function parseExactly(text: string, what: string): unknown {
  return parseNative(text, what, keepBigIntegers);
}

/**
 * Refuses NUL, which would cut a string short in the kernel, and lone surrogates, which have no
 * UTF-8. `value` is what `text` was parsed to. Both can come only from `\u` escapes (a decoder of
 * bytes lets no surrogate through), so a text without them, the usual one, is not walked.
 */
export function checkJsonStrings(text: string, value: unknown, what: string): void {
  // On QuickJS split() searches three times as fast as includes().
  if (text.split("\\u").length === 1 || !/\\u(?:0000|[dD][89a-fA-F])/.test(text)) return;
  const pending: Item[] = [{ value, path: "" }];
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    const { value, path } = item;
    if (typeof value === "string") checkString(value, path, what);
    if (!isContainer(value)) continue;
    for (const [key, inner] of Object.entries(value)) {
      if (!Array.isArray(value)) checkString(key, path, what);
      pending.push({ value: inner, path: pathTo(value, key, path) });
    }
  }
}

type Item = { readonly value: unknown; readonly path: string };

function pathTo(container: object, key: string, path: string): string {
  if (path.length > PATH_LENGTH_MAX) return path;
  if (Array.isArray(container)) return `${path}[${key}]`;
  return path === "" ? key : `${path}.${key}`;
}

/** Deep nesting must not make every path as long as the text. */
const PATH_LENGTH_MAX = 200;

function checkString(text: string, path: string, what: string): void {
  const isFit = !text.includes("\0") && text.isWellFormed();
  if (isFit) return;
  const fault = text.includes("\0") ? "a NUL" : "half a surrogate pair";
  const where = path === "" ? "" : `${path}: `;
  const why = `${quoteJson(text)} has ${fault} in it`;
  throw new TareError("bad_input", `Cannot read ${what}: ${where}${why}`);
}

/** A value for an error message: JSON on one line, shortened. */
export function quoteJson(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "an array";
  if (isContainer(value)) return "an object";
  if (typeof value !== "string") return String(value);
  const text = JSON.stringify(value.slice(0, QUOTE_LENGTH_MAX));
  return value.length > QUOTE_LENGTH_MAX ? `${text}...` : text;
}

function parseNative(
  text: string,
  what: string,
  reviver: ((key: string, value: unknown, context?: LiteralContext) => unknown) | undefined,
): unknown {
  if (text.length > JSON_LENGTH_MAX) {
    throw new TareError(
      "bad_input",
      `Cannot read ${what}: ${text.length} characters, the limit is ${JSON_LENGTH_MAX}`,
    );
  }
  try {
    return reviver === undefined ? JSON.parse(text) : JSON.parse(text, reviver);
  } catch (cause) {
    // The native parsers recurse, and answer a RangeError at the end of the stack.
    if (cause instanceof RangeError) failDepth(what, cause);
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new TareError("bad_input", `Cannot read ${what}: not valid JSON: ${cause.message}`, {
      cause,
    });
  }
}

function failDepth(what: string, cause?: unknown): never {
  throw new TareError("bad_input", `Cannot read ${what}: nested too deeply`, { cause });
}

function keepBigIntegers(_key: string, value: unknown, context?: LiteralContext): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const literal = context?.source;
  // QuickJS has none for a key that comes twice: then the rounded value is left for readers to refuse.
  if (literal === undefined) return value;
  return literal.length <= INTEGER_LENGTH_MAX && isInteger(literal) ? BigInt(literal) : value;
}

/** Of a literal that JSON.parse took for a number. */
function isInteger(literal: string): boolean {
  return !literal.includes(".") && !literal.includes("e") && !literal.includes("E");
}

/** A level needs a bracket, so few brackets prove that no walk is needed. */
function mayExceedDepth(text: string): boolean {
  return text.split("[").length + text.split("{").length - 2 > JSON_DEPTH_MAX;
}

/** Level by level: the stack of the caller must not decide what is too deep. */
function depthExceeds(value: unknown, depthMax: number): boolean {
  let level: object[] = isContainer(value) ? [value] : [];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > depthMax) return true;
    const next: object[] = [];
    for (const container of level) {
      for (const inner of Object.values(container)) if (isContainer(inner)) next.push(inner);
    }
    level = next;
  }
  return false;
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
