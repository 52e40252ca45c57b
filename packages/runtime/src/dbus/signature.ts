/**
 * D-Bus signatures: which types a body has, as letters ("sa(sv)"), and the values they stand for.
 * Pure. Source: D-Bus Specification, "Type System" and "Valid Signatures".
 */

import { TareError } from "@tare/spec/error.ts";

/** A value with its type told beside it: what the letter `v` stands for. */
export type Variant = { readonly signature: string; readonly value: Value };

/**
 * `y n q i u d h` are numbers, `x t` bigints, `b` a boolean, `s o g` strings; `ay` is bytes, any other
 * array and a struct are lists, a dictionary entry is a list of two.
 */
export type Value = number | bigint | boolean | string | Uint8Array | Variant | readonly Value[];

/** One complete type. */
export type Type =
  | { readonly code: Basic | "v" }
  | { readonly code: "a"; readonly of: Type }
  | { readonly code: "(" | "{"; readonly fields: readonly Type[] };

export type Basic = "y" | "b" | "n" | "q" | "i" | "u" | "x" | "t" | "d" | "s" | "o" | "g" | "h";

const BASIC = "ybnqiuxtdsogh";
/** Both from the specification. */
const LENGTH_MAX = 255;
const DEPTH_MAX = 32;

/**
 * The complete types of a signature.
 * @throws TareError `corrupt` where it is too long, nested too deep, or not one.
 */
export function parseSignature(text: string): readonly Type[] {
  if (text.length > LENGTH_MAX) throw bad(`${text.slice(0, 32)}...`, `longer than ${LENGTH_MAX}`);
  const types: Type[] = [];
  for (let at = 0; at < text.length; ) {
    const { type, end } = parseOne(text, at, { arrays: 0, structs: 0 });
    types.push(type);
    at = end;
  }
  return types;
}

/** A signature of exactly one complete type, as a variant has. */
export function parseSingle(text: string): Type {
  const [type, ...others] = parseSignature(text);
  if (type === undefined || others.length > 0) throw bad(text, "not one complete type");
  return type;
}

type Depth = { readonly arrays: number; readonly structs: number };
type Parsed = { readonly type: Type; readonly end: number };

function parseOne(text: string, at: number, depth: Depth): Parsed {
  const code = text[at];
  if (depth.arrays > DEPTH_MAX || depth.structs > DEPTH_MAX) throw bad(text, "nested too deep");
  if (code === undefined) throw bad(text, "it ends too early");
  if (code === "v") return { type: { code }, end: at + 1 };
  if (isBasic(code)) return { type: { code }, end: at + 1 };
  if (code === "a") return parseArray(text, at, { ...depth, arrays: depth.arrays + 1 });
  if (code === "(") return parseStruct(text, at, { ...depth, structs: depth.structs + 1 });
  throw bad(text, `unknown type "${code}"`);
}

function parseArray(text: string, at: number, depth: Depth): Parsed {
  if (text[at + 1] !== "{") {
    const { type, end } = parseOne(text, at + 1, depth);
    return { type: { code: "a", of: type }, end };
  }
  const inside = { ...depth, structs: depth.structs + 1 };
  const key = parseOne(text, at + 2, inside);
  if (!isBasic(key.type.code)) throw bad(text, "a dictionary's key is a basic type");
  const value = parseOne(text, key.end, inside);
  if (text[value.end] !== "}") throw bad(text, "a dictionary entry has two types");
  const entry: Type = { code: "{", fields: [key.type, value.type] };
  return { type: { code: "a", of: entry }, end: value.end + 1 };
}

function parseStruct(text: string, at: number, depth: Depth): Parsed {
  const fields: Type[] = [];
  let next = at + 1;
  while (text[next] !== ")") {
    const { type, end } = parseOne(text, next, depth);
    fields.push(type);
    next = end;
  }
  if (fields.length === 0) throw bad(text, "a struct has a field");
  return { type: { code: "(", fields }, end: next + 1 };
}

function isBasic(code: string): code is Basic {
  return BASIC.includes(code);
}

/** What the place of a value is a multiple of, counted from the beginning of its message. */
export function alignmentOf({ code }: Type): number {
  switch (code) {
    case "y":
    case "g":
    case "v":
      return 1;
    case "n":
    case "q":
      return 2;
    case "x":
    case "t":
    case "d":
    case "(":
    case "{":
      return 8;
    default:
      return 4;
  }
}

/**
 * Whether a text is an object's path: "/" alone, or "/" and a name of letters, digits and "_", again
 * and again.
 */
export function isObjectPath(text: string): boolean {
  if (text === "/") return true;
  if (!text.startsWith("/")) return false;
  return text
    .slice(1)
    .split("/")
    .every((name) => name !== "" && [...name].every(isNameCharacter));
}

function isNameCharacter(character: string): boolean {
  const isLetter = (character >= "a" && character <= "z") || (character >= "A" && character <= "Z");
  return isLetter || (character >= "0" && character <= "9") || character === "_";
}

function bad(text: string, why: string): TareError {
  return new TareError("corrupt", `Cannot use D-Bus signature "${text}": ${why}`);
}
