/**
 * Typed reading of parsed JSON. A reader takes an object of the document and a key, and answers the
 * value or throws `bad_input` with the path: `linux.resources.memory.limit: want an integer, got "x"`.
 * The path is put together only then: a place knows its parent, the good path builds no strings.
 * `null` is an absent field, as Go's decoder has it. Fields that nobody asks for are not looked at.
 */
import { TareError } from "./error.ts";
import { checkJsonStrings, parseExactly, parseRounded, quoteJson } from "./json.ts";

/** An object of a document and where it stands there. */
export type Place = {
  readonly fields: Readonly<Record<string, unknown>>;
  /** The field of `parent` that holds it; of the outermost place the document's name. */
  readonly key: string;
  /** Its place in that field's array; -1 where the field is the object itself. */
  readonly index: number;
  readonly parent: Place | undefined;
};

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

/** The largest value of a 32-bit field. */
export const UINT32_MAX = 0xffffffff;

/** The largest user or group id: the kernel keeps 2^32-1 for "no change". */
export const ID_MAX = 0xfffffffe;

/** A field has an integer that a double cannot hold: worth a second, exact look at the text. */
class RoundedInteger extends TareError {}

/**
 * What `read` makes of the outermost object of a JSON text. `what` names the text in errors. No
 * string has a NUL or a lone surrogate; integers of 64 bits are exact. Numbers are read rounded
 * first, since a search for long ones would cost more than the parsing: a reader of integers
 * notices, and then the text is parsed again, exactly.
 */
export function readJson<T>(text: string, what: string, read: (place: Place) => T): T {
  return readExactly(text, what, (value) => read(openDocument(value, what)));
}

/** As `readJson`, of a text that is an array of objects, each read by `read`. */
export function readJsonArray<T>(
  text: string,
  what: string,
  read: (place: Place) => T,
): readonly T[] {
  return readExactly(text, what, (value) => {
    if (!Array.isArray(value)) {
      const got = quoteJson(value);
      throw new TareError("bad_input", `Cannot read ${what}: want an array, got ${got}`);
    }
    return readObjects(
      { fields: { "": value }, key: what, index: -1, parent: undefined },
      "",
      read,
    );
  });
}

function readExactly<T>(text: string, what: string, read: (value: unknown) => T): T {
  const value = parseRounded(text, what);
  checkJsonStrings(text, value, what);
  try {
    return read(value);
  } catch (error) {
    if (!(error instanceof RoundedInteger)) throw error;
    return read(parseExactly(text, what));
  }
}

/** The outermost object of a parsed document; `what` names the document in errors. */
function openDocument(value: unknown, what: string): Place {
  if (isObject(value)) return { fields: value, key: what, index: -1, parent: undefined };
  throw new TareError("bad_input", `Cannot read ${what}: want an object, got ${quoteJson(value)}`);
}

/** Throws `bad_input` for the field `key` (the object itself where absent): `why` says what is wrong. */
export function failAt(place: Place, key: string | undefined, why: string, index = -1): never {
  throw new TareError("bad_input", describeFault(place, key, why, index));
}

function describeFault(place: Place, key: string | undefined, why: string, index: number): string {
  let path = key === undefined ? "" : key + indexText(index);
  let at = place;
  for (; at.parent !== undefined; at = at.parent) {
    path = at.key + indexText(at.index) + (path === "" ? "" : `.${path}`);
  }
  return path === "" ? `Cannot read ${at.key}: ${why}` : `Cannot read ${at.key}: ${path}: ${why}`;
}

function indexText(index: number): string {
  return index < 0 ? "" : `[${index}]`;
}

function failType(place: Place, key: string, want: string, index = -1): never {
  const value = place.fields[key];
  const got = index < 0 ? value : (value as unknown[])[index];
  failAt(place, key, `want ${want}, got ${quoteJson(got)}`, index);
}

function failNone(
  place: Place,
  key: string,
  allowed: ReadonlySet<string>,
  fault: string,
  index = -1,
): never {
  const value = place.fields[key];
  const got = quoteJson(index < 0 ? value : (value as unknown[])[index]);
  failAt(place, key, `${fault}want one of ${[...allowed].join(", ")}, got ${got}`, index);
}

/** Whether the field is there and not null. */
export function hasField(place: Place, key: string): boolean {
  const value = place.fields[key];
  return value !== undefined && value !== null;
}

/** A string that must be there; an empty one counts as missing. */
export function readString(place: Place, key: string): string {
  const value = place.fields[key];
  if (typeof value !== "string") failType(place, key, "a string");
  if (value === "") failAt(place, key, "must not be empty");
  return value;
}

/** A string, or undefined where it is absent or empty: Go's types cannot tell those apart. */
export function readOptionalString(place: Place, key: string): string | undefined {
  const value = place.fields[key];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") failType(place, key, "a string");
  return value;
}

/** A string that must be there and start with a slash. */
export function readAbsolutePath(place: Place, key: string): string {
  const path = readString(place, key);
  if (path.charCodeAt(0) !== 0x2f) failAbsolute(place, key, path);
  return path;
}

function failAbsolute(place: Place, key: string, path: string, index = -1): never {
  failAt(place, key, `want an absolute path, got ${quoteJson(path)}`, index);
}

/** One of the strings in `allowed`. */
export function readOneOf<T extends string>(
  place: Place,
  key: string,
  allowed: ReadonlySet<T>,
  fault = "",
): T {
  const value = place.fields[key];
  if (allowed.has(value as T)) return value as T;
  failNone(place, key, allowed, fault);
}

/** The array of strings of a field; empty where it is absent. */
export function readStrings(place: Place, key: string): readonly string[] {
  const value = place.fields[key];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) failType(place, key, "an array of strings");
  const { length } = value;
  for (let i = 0; i < length; i++) {
    if (typeof value[i] !== "string") failType(place, key, "a string", i);
  }
  return value;
}

/** As `readStrings`, each of them one of `allowed`. */
export function readAllOf(place: Place, key: string, allowed: ReadonlySet<string>, fault = "") {
  const values = readStrings(place, key);
  const wrong = values.findIndex((value) => !allowed.has(value));
  if (wrong >= 0) failNone(place, key, allowed, fault, wrong);
  return values;
}

/** As `readStrings`, each of them an absolute path. */
export function readAbsolutePaths(place: Place, key: string): readonly string[] {
  const paths = readStrings(place, key);
  for (let i = 0; i < paths.length; i++) {
    const path = paths[i] as string;
    if (path.charCodeAt(0) !== 0x2f) failAbsolute(place, key, path, i);
  }
  return paths;
}

/** The object of a field with strings for values; empty where it is absent. A Map: keys are foreign. */
export function readStringMap(place: Place, key: string): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return map;
  for (const [name, value] of Object.entries(inner.fields)) {
    if (typeof value !== "string") failType(inner, name, "a string");
    map.set(name, value);
  }
  return map;
}

/** The object of a field with objects for values, each read by `read`; empty where it is absent. */
export function readObjectMap<T>(
  place: Place,
  key: string,
  read: (place: Place) => T,
): ReadonlyMap<string, T> {
  const map = new Map<string, T>();
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return map;
  for (const name of Object.keys(inner.fields)) map.set(name, read(readObject(inner, name)));
  return map;
}

/** False where it is absent. */
export function readBoolean(place: Place, key: string): boolean {
  return readOptionalBoolean(place, key) ?? false;
}

/** A boolean, or undefined where it is absent. */
export function readOptionalBoolean(place: Place, key: string): boolean | undefined {
  const value = place.fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "boolean") failType(place, key, "true or false");
  return value;
}

/** A boolean that must be there. */
export function readRequiredBoolean(place: Place, key: string): boolean {
  return readOptionalBoolean(place, key) ?? failType(place, key, "true or false");
}

/** An integer from `min` to `max`, both of at most 53 bits, that must be there. */
export function readInteger(place: Place, key: string, min: number, max: number): number {
  return checkInteger(place, key, place.fields[key], min, max, -1);
}

/** An integer from `min` to `max`, or undefined where it is absent. */
export function readOptionalInteger(
  place: Place,
  key: string,
  min: number,
  max: number,
): number | undefined {
  const value = place.fields[key];
  if (value === undefined || value === null) return undefined;
  return checkInteger(place, key, value, min, max, -1);
}

/** The array of integers of a field; empty where it is absent. */
export function readIntegers(
  place: Place,
  key: string,
  min: number,
  max: number,
): readonly number[] {
  const value = place.fields[key];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) failType(place, key, "an array of integers");
  for (let i = 0; i < value.length; i++) checkInteger(place, key, value[i], min, max, i);
  return value;
}

function checkInteger(
  place: Place,
  key: string,
  value: unknown,
  min: number,
  max: number,
  index: number,
): number {
  const isFit = typeof value === "number" && value >= min && value <= max;
  if (isFit && Number.isSafeInteger(value)) return value;
  failInteger(place, key, value, `an integer from ${min} to ${max}`, index);
}

function failInteger(
  place: Place,
  key: string,
  value: unknown,
  want: string,
  index: number,
): never {
  const isSmall = typeof value !== "number" || Math.abs(value) <= Number.MAX_SAFE_INTEGER;
  if (isSmall) failAt(place, key, `want ${want}, got ${quoteJson(value)}`, index);
  const why = `want ${want}, got about ${value}`;
  throw new RoundedInteger("bad_input", describeFault(place, key, why, index));
}

/** An integer of 32 bits without sign, or undefined where it is absent. */
export function readOptionalUint32(place: Place, key: string): number | undefined {
  return readOptionalInteger(place, key, 0, UINT32_MAX);
}

/** An integer of 16 bits without sign, or undefined where it is absent. */
export function readOptionalUint16(place: Place, key: string): number | undefined {
  return readOptionalInteger(place, key, 0, 0xffff);
}

/** An integer of 64 bits with sign, or undefined where it is absent. */
export function readOptionalInt64(place: Place, key: string): bigint | undefined {
  return readWide(place, key, INT64_MIN, INT64_MAX);
}

/** An integer of 64 bits without sign, or undefined where it is absent. */
export function readOptionalUint64(place: Place, key: string): bigint | undefined {
  return readWide(place, key, 0n, UINT64_MAX);
}

/** An integer of 64 bits without sign that must be there. */
export function readUint64(place: Place, key: string): bigint {
  return readOptionalUint64(place, key) ?? failType(place, key, "an integer");
}

function readWide(place: Place, key: string, min: bigint, max: bigint): bigint | undefined {
  const value = place.fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    const wide = BigInt(value as number | bigint);
    if (wide >= min && wide <= max) return wide;
  }
  failInteger(place, key, value, `an integer from ${min} to ${max}`, -1);
}

/** An object that must be there. */
export function readObject(place: Place, key: string): Place {
  const value = place.fields[key];
  if (!isObject(value)) failType(place, key, "an object");
  return { fields: value, key, index: -1, parent: place };
}

/** An object, or undefined where it is absent. */
export function readOptionalObject(place: Place, key: string): Place | undefined {
  const value = place.fields[key];
  if (value === undefined || value === null) return undefined;
  return readObject(place, key);
}

/** The array of objects of a field, each read by `read`; empty where it is absent. */
export function readObjects<T>(place: Place, key: string, read: (place: Place) => T): readonly T[] {
  const value = place.fields[key];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) failType(place, key, "an array of objects");
  const items: T[] = [];
  for (let index = 0; index < value.length; index++) {
    const fields = value[index];
    if (!isObject(fields)) failType(place, key, "an object", index);
    items.push(read({ fields, key, index, parent: place }));
  }
  return items;
}

type OptionalReader<T> = (place: Place, key: string) => T | undefined;

/** The readers of a type whose fields are all optional, by name; made by `fieldTable`. */
export type FieldTable<T> = readonly (readonly [keyof T & string, OptionalReader<T[keyof T]>])[];

/** A table for `readFields`, made once. */
export function fieldTable<T extends object>(
  readers: { readonly [K in keyof T]-?: OptionalReader<T[K]> },
): FieldTable<T> {
  return Object.entries(readers) as unknown as FieldTable<T>;
}

/** The fields that are there, read by the readers of their names; the others stay absent. */
export function readFields<T extends object>(place: Place, table: FieldTable<T>): T {
  const out: Partial<T> = {};
  for (let i = 0; i < table.length; i++) {
    const [key, read] = table[i] as FieldTable<T>[number];
    const value = read(place, key);
    if (value !== undefined) out[key] = value as T[typeof key];
  }
  return out as T;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
