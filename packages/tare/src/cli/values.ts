/** Parsers of single flag values: Docker's spellings to bytes, numbers and pairs. Pure. */
import type { DeviceRequest, UlimitRequest } from "@tare/engine/container/request.ts";
import { BadValue } from "./flag.ts";

const TRUE_WORDS = ["1", "t", "T", "true", "TRUE", "True"];
const FALSE_WORDS = ["0", "f", "F", "false", "FALSE", "False"];

/** The words a switch takes after `=`. */
export function parseSwitch(text: string): boolean {
  if (TRUE_WORDS.includes(text)) return true;
  if (FALSE_WORDS.includes(text)) return false;
  throw new BadValue("want true or false");
}

/** Any text but one with a NUL byte, which the kernel would cut. */
export function parseText(text: string): string {
  if (text.includes("\0")) throw new BadValue("it has a NUL byte");
  return text;
}

/** The path of a file or a directory: an unset variable of the shell must not mean the current one. */
export function parsePath(text: string): string {
  if (text === "") throw new BadValue("it is empty");
  return parseText(text);
}

/** A whole number, perhaps negative, of at most 63 bits. */
export function parseInteger(text: string): bigint {
  const digits = text.startsWith("-") ? text.slice(1) : text;
  if (!isDigits(digits) || digits.length > 18) throw new BadValue("want a whole number");
  return BigInt(text);
}

const UNITS = new Map([
  ["b", 1n],
  ["k", 1n << 10n],
  ["m", 1n << 20n],
  ["g", 1n << 30n],
  ["t", 1n << 40n],
  ["p", 1n << 50n],
]);

/** What a file's size and the kernel's limits can be. */
const SIZE_MAX = 2n ** 63n - 1n;

/** Bytes: digits, perhaps a fraction, then one of b k m g t p, perhaps "b" or "ib" after it. */
export function parseSize(text: string): bigint {
  const lower = text.toLowerCase().trim();
  const end = [...lower].findIndex((char) => !isDigits(char) && char !== ".");
  const number = end < 0 ? lower : lower.slice(0, end);
  const unit = unitOf(end < 0 ? "" : lower.slice(end).trim());
  const [whole = "", fraction, more] = number.split(".");
  const wrong = !isDigits(whole) || whole.length > 15 || more !== undefined;
  if (unit === undefined || wrong || (fraction !== undefined && !isDigits(fraction))) {
    throw new BadValue("want a size such as 512m or 1.5g (units b, k, m, g, t)");
  }
  const digits = (fraction ?? "").slice(0, 9);
  const size = BigInt(whole) * unit + (BigInt(`0${digits}`) * unit) / 10n ** BigInt(digits.length);
  if (size <= SIZE_MAX) return size;
  throw new BadValue("want less than 8 EiB");
}

function unitOf(suffix: string): bigint | undefined {
  if (suffix === "") return 1n;
  const rest = suffix.slice(1);
  return rest === "" || rest === "b" || rest === "ib" ? UNITS.get(suffix.slice(0, 1)) : undefined;
}

/** As `parseSize`, with -1 for "no limit". */
export function parseSizeOrUnlimited(text: string): bigint {
  return text === "-1" ? -1n : parseSize(text);
}

/** A number of processors such as 1.5, in billionths. */
export function parseCpus(text: string): bigint {
  const [whole = "", fraction = "", more] = text.split(".");
  const wrong = !isDigits(whole === "" ? "0" : whole) || whole.length > 6 || more !== undefined;
  if (
    wrong ||
    (fraction !== "" && !isDigits(fraction)) ||
    fraction.length > 9 ||
    whole + fraction === ""
  ) {
    throw new BadValue("want a number of processors such as 1.5");
  }
  return BigInt(whole === "" ? "0" : whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** A list of processors such as 0-2,7. */
export function parseCpuset(text: string): string {
  for (const part of text.split(",")) {
    const [first = "", last, more] = part.split("-");
    const wrong = !isDigits(first) || (last !== undefined && !isDigits(last));
    if (wrong || more !== undefined || Number(last ?? first) < Number(first)) {
      throw new BadValue("want a list such as 0-2,7");
    }
  }
  return text;
}

/** `NAME=SOFT[:HARD]`; -1 is no limit. */
export function parseUlimit(text: string): UlimitRequest {
  const [name, limits] = splitPair(text, "want NAME=SOFT[:HARD]");
  const [soft = "", hard, more] = limits.split(":");
  if (more !== undefined) throw new BadValue("want NAME=SOFT[:HARD]");
  return { name, soft: parseInteger(soft), hard: parseInteger(hard ?? soft) };
}

/** `HOST[:INSIDE[:rwm]]`. */
export function parseDevice(text: string): DeviceRequest {
  const parts = text.split(":");
  const [source = "", second, third] = parts;
  if (parts.length > 3 || !source.startsWith("/")) throw new BadValue("want HOST[:INSIDE[:rwm]]");
  if (parts.length === 2 && second !== undefined && isAccess(second)) {
    return { source, target: source, access: second };
  }
  const target = second ?? source;
  if (!target.startsWith("/")) throw new BadValue(`"${target}" is not an absolute path`);
  const access = third ?? "rwm";
  if (!isAccess(access)) throw new BadValue("the access is made of the letters r, w and m");
  return { source, target, access };
}

function isAccess(text: string): boolean {
  const letters = [...text];
  return (
    letters.length > 0 &&
    letters.every((c) => "rwm".includes(c)) &&
    new Set(letters).size === letters.length
  );
}

/** `KEY=VALUE`, split at the first "=". */
export function parsePair(text: string): readonly [string, string] {
  return splitPair(parseText(text), "want KEY=VALUE");
}

/** The name of a container: what Docker takes. */
export function parseName(text: string): string {
  const chars = [...text];
  const first = chars[0] ?? "";
  const fine = isWordChar(first) && chars.length >= 2 && chars.length <= 128;
  if (fine && chars.every((c) => isWordChar(c) || c === "_" || c === "." || c === "-")) return text;
  throw new BadValue("want 2 to 128 letters, digits, '_', '.', '-', the first a letter or digit");
}

/** A host name as the kernel takes it, without what would break a line of /etc/hosts. */
export function parseHostname(text: string): string {
  const fine = text.length > 0 && text.length <= 63;
  const chars = [...text];
  if (fine && chars.every((c) => isWordChar(c) || c === "." || c === "-" || c === "_")) return text;
  throw new BadValue("want 1 to 63 letters, digits, '.', '-' and '_'");
}

function isWordChar(char: string): boolean {
  return (char >= "a" && char <= "z") || (char >= "A" && char <= "Z") || isDigits(char);
}

/** Whether the text is one or more of the ten digits. */
export function isDigits(text: string): boolean {
  for (const char of text) if (char < "0" || char > "9") return false;
  return text !== "";
}

function splitPair(text: string, want: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at <= 0) throw new BadValue(want);
  return [text.slice(0, at), text.slice(at + 1)];
}
