/**
 * Sizes as words of the command line, with the units of runc, docker and podman: `200M`, `1.5GiB`,
 * `512 kb`, each a power of 1024; without a unit they are bytes.
 * Source: github.com/docker/go-units, RAMInBytes.
 */

import { TareError } from "@tare/spec/error.ts";

const UNITS = "kmgtp";
const LENGTH_MAX = 40;
const INT64_MAX = (1n << 63n) - 1n;

/**
 * Bytes of `text`; `-1` and `unlimited` are -1.
 * @param name the option, for the error
 * @throws TareError `bad_input` for anything else, and for more than 63 bits.
 */
export function parseSize(text: string, name: string): bigint {
  if (text === "-1" || text === "unlimited") return -1n;
  const { number, power } = splitUnit(text);
  const dot = number.indexOf(".");
  const whole = dot < 0 ? number : number.slice(0, dot);
  const rest = dot < 0 ? "" : number.slice(dot + 1);
  const isNumber = isDigits(whole) && (dot < 0 || isDigits(rest));
  if (text.length > LENGTH_MAX || power === undefined || !isNumber) throw badSize(text, name);
  const scale = 10n ** BigInt(rest.length);
  const bytes = (BigInt(whole + rest) * 1024n ** BigInt(power)) / scale;
  if (bytes > INT64_MAX) throw badSize(text, name);
  return bytes;
}

/** `1.5 GiB` is "1.5" and the third power of 1024; an unknown unit has no power. */
function splitUnit(text: string): { readonly number: string; readonly power: number | undefined } {
  let end = text.length;
  while (end > 0 && !isDigits(text.charAt(end - 1)) && text.charAt(end - 1) !== ".") end--;
  const number = text.slice(0, end);
  const unit = text.slice(end).trimStart().toLowerCase();
  if (unit === "" || unit === "b") return { number, power: 0 };
  const power = UNITS.indexOf(unit.charAt(0)) + 1;
  const isKnown = power > 0 && ["", "b", "i", "ib"].includes(unit.slice(1));
  return { number, power: isKnown ? power : undefined };
}

function isDigits(text: string): boolean {
  return text !== "" && [...text].every((letter) => letter >= "0" && letter <= "9");
}

function badSize(text: string, name: string): TareError {
  const why = `invalid size: '${text.slice(0, LENGTH_MAX)}'`;
  return new TareError("bad_input", `Cannot use --${name}: ${why}`, {
    hint: "Give bytes, or a number with k, m, g or t, as in 200M; -1 takes the limit away",
  });
}

/**
 * A whole number of an option, within 64 bits.
 * @throws TareError `bad_input` for anything else, and below `least`.
 */
export function parseWhole(text: string, name: string, least: bigint): bigint {
  const digits = text.startsWith("-") || text.startsWith("+") ? text.slice(1) : text;
  if (isDigits(digits) && digits.length < 20) {
    const value = text.startsWith("-") ? -BigInt(digits) : BigInt(digits);
    if (value >= least && value <= INT64_MAX) return value;
  }
  const shown = text.slice(0, LENGTH_MAX);
  throw new TareError("bad_input", `Cannot use --${name}: invalid value "${shown}"`, {
    hint: `Give a whole number, ${least} or more`,
  });
}
