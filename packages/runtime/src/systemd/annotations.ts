/**
 * `org.systemd.property.NAME` annotations to properties of the container's unit. An annotation comes
 * with a container's request, often from whoever may start containers and nothing else, while the unit
 * is made by the machine's root: any property at all, as with runc and crun, lets them do more
 * (CVE-2024-3154). So names are from a list, by two rules: it concerns nothing but this unit's
 * own end and its place in the order of start and stop, and it takes no limit away that the
 * configuration set. So ManagedOOMPreference is not there: a unit that "omit" hides from systemd-oomd
 * has others killed in its place (systemd.resource-control(5)). Pure.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Value } from "../dbus/signature.ts";
import type { Property } from "./properties.ts";

const PREFIX = "org.systemd.property.";
const VALUE_LENGTH_MAX = 4096;
const TEXTS_MAX = 64;
const SECOND_USEC = 1_000_000n;

/** What may be set, with its type on D-Bus: org.freedesktop.systemd1(5). */
const ALLOWED: Readonly<Record<string, "s" | "as" | "b" | "i" | "u" | "t">> = {
  After: "as",
  Before: "as",
  CollectMode: "s",
  DefaultDependencies: "b",
  Description: "s",
  FinalKillSignal: "i",
  IPAccounting: "b",
  KillMode: "s",
  KillSignal: "i",
  ManagedOOMMemoryPressure: "s",
  ManagedOOMMemoryPressureLimit: "u",
  ManagedOOMSwap: "s",
  OOMPolicy: "s",
  RuntimeMaxUSec: "t",
  RuntimeRandomizedExtraUSec: "t",
  SendSIGHUP: "b",
  SendSIGKILL: "b",
  TimeoutStopUSec: "t",
};

/**
 * The properties that a configuration's annotations ask for.
 * @throws TareError `bad_input` for a name that is not on the list or a value not of its type.
 */
export function annotationProperties(
  annotations: ReadonlyMap<string, string>,
): readonly Property[] {
  return [...annotations].flatMap(([key, value]) =>
    key.startsWith(PREFIX) ? [propertyOf(key, value)] : [],
  );
}

function propertyOf(key: string, text: string): Property {
  const given = key.slice(PREFIX.length);
  // systemd's manual pages say Sec, its interface says USec.
  const inSeconds = given.endsWith("Sec") && !given.endsWith("USec");
  const name = inSeconds ? `${given.slice(0, -"Sec".length)}USec` : given;
  const signature = Object.hasOwn(ALLOWED, name) ? ALLOWED[name] : undefined;
  if (signature === undefined) {
    throw bad(key, text, "it is not among the properties that an annotation may set", {
      hint: `These may be set: ${Object.keys(ALLOWED).join(", ")}`,
    });
  }
  if (text.length > VALUE_LENGTH_MAX) throw bad(key, text.slice(0, 64), "the value is too long");
  const value = valueOfType(signature, parseValue(text.trim()), inSeconds ? SECOND_USEC : 1n);
  if (value === undefined) throw bad(key, text, `the value is to be ${WORDS[signature]}`);
  return { name, signature, value };
}

/** The value as the property has it; undefined where it is of another type, or does not fit in. */
function valueOfType(
  signature: "s" | "as" | "b" | "i" | "u" | "t",
  value: ReturnType<typeof parseValue>,
  factor: bigint,
): Value | undefined {
  switch (signature) {
    case "s":
      return typeof value === "string" ? value : undefined;
    case "b":
      return typeof value === "boolean" ? value : undefined;
    case "as":
      return Array.isArray(value) ? value : undefined;
    default: {
      if (typeof value !== "bigint") return undefined;
      const [least, most] = BOUNDS[signature];
      const number = value * factor;
      if (number < least || number > most) return undefined;
      return signature === "t" ? number : Number(number);
    }
  }
}

const BOUNDS = {
  i: [-(2n ** 31n), 2n ** 31n - 1n],
  u: [0n, 2n ** 32n - 1n],
  t: [0n, 2n ** 64n - 1n],
} as const;

const WORDS = {
  s: "a text, as 'word'",
  as: "a list of texts, as ['a', 'b']",
  b: "true or false",
  i: "a number, as 5 or int32 5",
  u: "a number, as 5 or uint32 5",
  t: "a number, as 5 or uint64 5",
} as const;

/**
 * GVariant's text format, as far as the list above needs it:
 * docs.gtk.org/glib/gvariant-text-format.html. Undefined for what is no such text.
 */
function parseValue(text: string): string | boolean | bigint | readonly string[] | undefined {
  if (text === "true" || text === "false") return text === "true";
  if (text.startsWith("[")) return parseTexts(text);
  if (text.startsWith("'") || text.startsWith('"')) {
    const read = readText(text, 0);
    return read?.end === text.length ? read.text : undefined;
  }
  return parseNumber(text);
}

const NUMBER_TYPES = ["byte", "int16", "uint16", "int32", "uint32", "int64", "uint64"];

function parseNumber(text: string): bigint | undefined {
  const words = text.split(" ").filter((word) => word !== "");
  const [first = "", second] = words;
  const number = second === undefined ? first : second;
  if (words.length > 2 || (second !== undefined && !NUMBER_TYPES.includes(first))) return undefined;
  const digits = number.startsWith("-") ? number.slice(1) : number;
  const isDecimal = [...digits].every((digit) => digit >= "0" && digit <= "9");
  return digits === "" || digits.length > 20 || !isDecimal ? undefined : BigInt(number);
}

function parseTexts(text: string): readonly string[] | undefined {
  const texts: string[] = [];
  let at = skipBlanks(text, 1);
  while (text[at] !== "]") {
    const read = readText(text, at);
    if (read === undefined || texts.length === TEXTS_MAX) return undefined;
    texts.push(read.text);
    at = skipBlanks(text, read.end);
    if (text[at] === ",") at = skipBlanks(text, at + 1);
    else if (text[at] !== "]") return undefined;
  }
  return at + 1 === text.length ? texts : undefined;
}

/** A text in quotes of either kind, and where it ends; a backslash takes the next letter as it is. */
function readText(text: string, start: number): { text: string; end: number } | undefined {
  const quote = text[start];
  if (quote !== "'" && quote !== '"') return undefined;
  let read = "";
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === quote) return { text: read, end: at + 1 };
    if (text[at] === "\\") at++;
    read += text[at] ?? "";
  }
  return undefined;
}

function skipBlanks(text: string, start: number): number {
  let at = start;
  while (text[at] === " ") at++;
  return at;
}

function bad(key: string, value: string, why: string, options: { hint?: string } = {}): TareError {
  const shown = `${key}=${value}`.replaceAll("\n", "\\n").replaceAll("\0", "\\0");
  return new TareError("bad_input", `Cannot use annotation "${shown}": ${why}`, options);
}
