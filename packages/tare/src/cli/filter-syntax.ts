/** `--filter KEY=VALUE` of prune and ls to data. Pure but for the present moment, which is an argument. */
import type { Filter, LabelFilter } from "@tare/engine/store/filter.ts";
import { TareError } from "@tare/spec/error.ts";
import { BadValue, type Flag } from "./flag.ts";
import { isDigits, parseSwitch } from "./values.ts";

export type FilterWord = {
  readonly key: string;
  /** False for `KEY!=VALUE`. */
  readonly wanted: boolean;
  readonly value: string;
};

/** The flag, for every command that filters. */
export const FILTER_FLAG = {
  name: "filter",
  arg: "KEY=VALUE",
  help: "Look only at those that fit: label=KEY[=VALUE], label!=..., until=TIME",
  repeat: true,
  parse: parseFilterWord,
} as const satisfies Flag<FilterWord>;

/** Switch of every prune. */
export const FORCE_FLAG = {
  name: "force",
  short: "f",
  help: "Do not ask",
  parse: (text: string) => text !== "false",
} as const satisfies Flag<boolean>;

/** @throws BadValue */
export function parseFilterWord(text: string): FilterWord {
  const at = text.indexOf("=");
  if (at <= 0) throw new BadValue("want KEY=VALUE");
  const isNegative = text[at - 1] === "!";
  const key = text.slice(0, isNegative ? at - 1 : at);
  return { key, wanted: !isNegative, value: text.slice(at + 1) };
}

/**
 * The words that are labels and times; the keys of `known` are the command's own to read.
 * @throws TareError `bad_input`
 */
export function toFilter(
  words: readonly FilterWord[],
  nowMs: number,
  known: readonly string[] = [],
): Filter {
  const labels: LabelFilter[] = [];
  let beforeMs: number | undefined;
  for (const { key, wanted, value } of words) {
    if (key === "label") labels.push(toLabel(value, wanted));
    else if (key === "until" && wanted)
      beforeMs = parsed(key, value, (text) => parseMoment(text, nowMs));
    else if (!known.includes(key) || !wanted) {
      throw noFilter(key);
    }
  }
  return { labels, beforeMs };
}

export function noFilter(key: string): TareError {
  return new TareError("bad_input", `Cannot use --filter "${key}": there is no such filter`);
}

export function badFilter(key: string, value: string, why: string): TareError {
  return new TareError("bad_input", `Cannot use --filter "${key}=${value}": ${why}`);
}

/**
 * The value of a filter that is yes or no.
 * @throws TareError `bad_input`
 */
export function filterSwitch(key: string, value: string): boolean {
  return parsed(key, value, parseSwitch);
}

function parsed<T>(key: string, value: string, parse: (text: string) => T): T {
  try {
    return parse(value);
  } catch (cause) {
    if (!(cause instanceof BadValue)) throw cause;
    throw badFilter(key, value, cause.message);
  }
}

function toLabel(text: string, wanted: boolean): LabelFilter {
  const at = text.indexOf("=");
  if (at < 0) return { key: text, value: undefined, wanted };
  return { key: text.slice(0, at), value: text.slice(at + 1), wanted };
}

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ["ns", 1e-6],
  ["us", 1e-3],
  ["µs", 1e-3],
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/**
 * A moment as Docker takes it: `1h30m` ago (Go's durations), seconds since 1970, or a date with or
 * without a time of day and a zone.
 */
export function parseMoment(text: string, nowMs: number): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return nowMs - ago;
  if (isDigits(text.replace(".", ""))) return Number(text) * 1000;
  const moment = Date.parse(text);
  if (!Number.isNaN(moment)) return moment;
  throw new BadValue("want a duration such as 24h, a date, or seconds since 1970");
}

/** Milliseconds; undefined for what is none: a number without a unit, too. */
function parseDuration(text: string): number | undefined {
  let sum = 0;
  let rest = text;
  while (rest !== "") {
    const number = /^[0-9]+(\.[0-9]+)?/.exec(rest)?.[0];
    const unit = /^[a-zµ]+/.exec(rest.slice(number?.length ?? 0))?.[0];
    const factor = UNIT_MS.get(unit ?? "");
    if (number === undefined || unit === undefined || factor === undefined) return undefined;
    sum += Number(number) * factor;
    rest = rest.slice(number.length + unit.length);
  }
  return text === "" ? undefined : sum;
}
