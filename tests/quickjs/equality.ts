/** Equality of values as the tests mean it: by content, classes told apart where it is strict. */

type Options = {
  /** Classes and members that are undefined count too: toStrictEqual. */
  readonly strict: boolean;
};

/** toEqual and toStrictEqual of bun:test, for the values that the tests compare. */
export function equals(left: unknown, right: unknown, options: Options): boolean {
  if (Object.is(left, right)) return true;
  if (!isObject(left) || !isObject(right)) return false;
  if (options.strict && classOf(left) !== classOf(right)) return false;
  if (kindOf(left) !== kindOf(right)) return false;
  return contentEquals(left, right, options) && membersEqual(left, right, options);
}

/** toMatchObject of bun:test: what the pattern names is alike; arrays have the same length. */
export function matches(value: unknown, pattern: unknown): boolean {
  const isNested = Array.isArray(pattern) || (isObject(pattern) && kindOf(pattern) === PLAIN);
  if (!isNested || !isObject(value)) return equals(value, pattern, { strict: false });
  if (kindOf(value) !== kindOf(pattern)) return false;
  if (Array.isArray(pattern) && pattern.length !== (value as unknown[]).length) return false;
  return Object.entries(pattern).every(([name, wanted]) => {
    return name in value && matches((value as Record<string, unknown>)[name], wanted);
  });
}

const PLAIN = "[object Object]";

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function kindOf(value: object): string {
  return Object.prototype.toString.call(value);
}

/** An object without a prototype counts as a plain one, as in bun:test. */
function classOf(value: object): unknown {
  return Object.getPrototypeOf(value) ?? Object.prototype;
}

/** What objects of some classes hold beside their members. */
function contentEquals(left: object, right: object, options: Options): boolean {
  if (left instanceof Error && right instanceof Error) return left.message === right.message;
  if (left instanceof Date && right instanceof Date) return left.getTime() === right.getTime();
  if (left instanceof RegExp && right instanceof RegExp) return String(left) === String(right);
  if (left instanceof Map && right instanceof Map) {
    return equalAsLists([...left], [...right], options);
  }
  if (left instanceof Set && right instanceof Set) {
    return equalAsLists([...left], [...right], options);
  }
  if (Array.isArray(left) && Array.isArray(right)) return left.length === right.length;
  return true;
}

/** Collections are equal where each member of one has its like in the other, in any order. */
function equalAsLists(left: unknown[], right: unknown[], options: Options): boolean {
  if (left.length !== right.length) return false;
  const rest = [...right];
  return left.every((member) => {
    const index = rest.findIndex((other) => equals(member, other, options));
    if (index >= 0) rest.splice(index, 1);
    return index >= 0;
  });
}

function membersEqual(left: object, right: object, options: Options): boolean {
  if (left instanceof Error || left instanceof Map || left instanceof Set) return true;
  const names = new Set([...namesOf(left, options), ...namesOf(right, options)]);
  for (const name of names) {
    if (options.strict && Object.hasOwn(left, name) !== Object.hasOwn(right, name)) return false;
    const mine = (left as Record<string, unknown>)[name];
    if (!equals(mine, (right as Record<string, unknown>)[name], options)) return false;
  }
  return true;
}

function namesOf(value: object, options: Options): string[] {
  const names = Object.keys(value);
  if (options.strict) return names;
  return names.filter((name) => (value as Record<string, unknown>)[name] !== undefined);
}
