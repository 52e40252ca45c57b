/**
 * Documents that nobody would write: a good JSON document with one or a few changes that keep most of
 * its structure, so that what reads it gets far. Pure; the same seed gives the same documents.
 */
import type { Random } from "./random.ts";

/** A literal as it shall stand in the text: numbers beyond a double, keys that come twice. */
export class Raw {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Node =
  | null
  | boolean
  | number
  | string
  | Raw
  | readonly Node[]
  | { readonly [key: string]: Node };

/** A changed document: its text, and the path of each place that was changed. */
export type Mutant = { readonly text: string; readonly paths: readonly (readonly string[])[] };

const NUMBERS = [
  "0 -0 1 -1 2 127 128 255 256 4095 65535 65536 1000000 2147483647 2147483648 -2147483648 4294967294",
  "4294967295 4294967296 9007199254740991 9007199254740993 9223372036854775807 9223372036854775808",
  "-9223372036854775808 -9223372036854775809 18446744073709551615 18446744073709551616 1e308 1e400 -1e400",
  "0.1 1.5 -0.5 1e3 1E+2 1e-400 123456789012345678901234567890 1.0 100000000000000000000e-2",
].flatMap((line) => line.split(" "));

const STRINGS = [
  "",
  " ",
  "x",
  "/",
  "//",
  ".",
  "..",
  "../../../../etc",
  "/../../../x",
  "/proc",
  "/proc/self/exe",
  "/proc/self/fd/0",
  "/dev/null",
  "/dev/../../x",
  "/a/./b//c/",
  "a/b",
  "a b\tc",
  "line\nbreak",
  "\r\n\u001b[31mred",
  "nul\u0000inside",
  "\ud800",
  "half \udfff pair",
  "\u{1f4a9} \u202e \u00e9 e\u0301 \ufeff",
  "%s%n%x",
  "$(id) `id` ; id",
  '"quoted" \\ back',
  "__proto__",
  "constructor",
  "hasOwnProperty",
  "toString",
  "-1",
  "0",
  "99999999999999999999",
  "0-3,7",
  "3-1",
  "0-99999999999",
  "ro",
  "rbind",
  "size=-1",
  "mode=99999",
  "SIGKILL",
  "CAP_SYS_ADMIN",
  "SCMP_ACT_ALLOW",
  "RLIMIT_NOFILE",
  "max",
];

const LONG = [200, 5000, 70_000];
const DEEP = [10, 300, 20_000];
const MANY = [2, 100, 3000];

export type Edit = (node: Node, random: Random) => Node;

/** Another value in the place of one, whatever it was. */
const REPLACEMENTS: readonly Edit[] = [
  () => null,
  () => true,
  () => false,
  (_node, random) => new Raw(random.pick(NUMBERS)),
  (_node, random) => new Raw(random.pick(NUMBERS)),
  (_node, random) => random.pick(STRINGS),
  (_node, random) => random.pick(STRINGS),
  (_node, random) => random.pick(["a", "/", "é", "../"]).repeat(random.pick(LONG)),
  () => [],
  () => ({}),
  (node) => [node],
  (node) => ({ value: node }),
  (_node, random) => nested(random.pick(DEEP), random.chance(0.5)),
];

function nested(depth: number, arrays: boolean): Raw {
  const [open, close] = arrays ? ["[", "]"] : ['{"a":', "}"];
  return new Raw(`${open.repeat(depth)}1${close.repeat(depth)}`);
}

/** Changes that keep the type. */
function within(node: Node, random: Random): Node {
  if (typeof node === "string") return withinString(node, random);
  if (typeof node === "number" || node instanceof Raw) return new Raw(random.pick(NUMBERS));
  if (typeof node === "boolean") return !node;
  if (Array.isArray(node)) return withinArray(node, random);
  if (node !== null) return withinObject(node as { [key: string]: Node }, random);
  return random.pick(STRINGS);
}

function withinString(text: string, random: Random): Node {
  const at = random.below(text.length + 1);
  const piece = random.pick(STRINGS);
  return random.pick([
    () => text.slice(0, at) + piece + text.slice(at),
    () => text.slice(0, at),
    () => text.slice(at),
    () => text.toUpperCase(),
    () => text.toLowerCase(),
    () => `${text}${text}`,
    () => piece,
    () => `/${text}`,
    () => `${text}/`,
  ])();
}

function withinArray(items: readonly Node[], random: Random): Node {
  const one = items.length === 0 ? random.pick(STRINGS) : random.pick(items);
  const at = random.below(items.length + 1);
  return random.pick<() => Node>([
    () => items.toSpliced(at, 0, one),
    () => items.toSpliced(at, 1),
    () => [],
    () => items.toReversed(),
    () => Array.from({ length: random.pick(MANY) }, () => one),
    () => items.toSpliced(at, 0, random.pick(REPLACEMENTS)(one, random)),
  ])();
}

function withinObject(object: { readonly [key: string]: Node }, random: Random): Node {
  const keys = Object.keys(object);
  const key = keys.length === 0 ? "x" : random.pick(keys);
  const { [key]: value = null, ...rest } = object;
  const foreign = random.pick([
    "__proto__",
    "constructor",
    "unknown",
    "",
    "toString",
    "\u0000",
    key,
  ]);
  return random.pick<() => Node>([
    () => rest,
    () => ({ ...rest, [key.toUpperCase()]: value }),
    () => ({ ...object, [random.pick(STRINGS)]: value }),
    // An object literal would take __proto__ for the prototype, and keeps no key twice.
    () => new Raw(withKey(object, foreign, random.pick(REPLACEMENTS)(value, random))),
    () => new Raw(withKey(object, foreign, value)),
    () => ({}),
    () => many(value, random.pick(MANY)),
  ])();
}

function withKey(object: { readonly [key: string]: Node }, key: string, value: Node): string {
  const text = toText(object);
  const comma = text === "{}" ? "" : ",";
  return `${text.slice(0, -1)}${comma}${JSON.stringify(key)}:${toText(value)}}`;
}

function many(value: Node, count: number): Node {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`key${index}`, value]));
}

/** JSON text of a document. */
export function toText(node: Node): string {
  if (node instanceof Raw) return node.text;
  if (Array.isArray(node)) return `[${node.map(toText).join(",")}]`;
  if (typeof node !== "object" || node === null) return JSON.stringify(node);
  const entries = Object.entries(node as { [key: string]: Node });
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${toText(value)}`).join(",")}}`;
}

function placesOf(node: Node, path: readonly string[], into: (readonly string[])[]): void {
  into.push(path);
  if (typeof node !== "object" || node === null || node instanceof Raw) return;
  for (const [key, value] of Object.entries(node)) placesOf(value, [...path, key], into);
}

function edited(node: Node, path: readonly string[], edit: (node: Node) => Node): Node {
  const [key, ...rest] = path;
  if (key === undefined) return edit(node);
  if (Array.isArray(node)) {
    const index = Number(key);
    return node.with(index, edited(node[index] as Node, rest, edit));
  }
  const object = node as { [key: string]: Node };
  return { ...object, [key]: edited(object[key] as Node, rest, edit) };
}

/** A change of a random place. */
function mutateOnce(node: Node, random: Random): { node: Node; path: readonly string[] } {
  const places: (readonly string[])[] = [];
  placesOf(node, [], places);
  // The outermost object is one place of hundreds, and changes of it leave little.
  const path = random.pick(places.slice(1));
  const edit = (old: Node) =>
    random.chance(0.4) ? random.pick(REPLACEMENTS)(old, random) : within(old, random);
  return { node: edited(node, path, edit), path };
}

/** A document with one change, sometimes a few. */
export function mutate(document: Node, random: Random): Mutant {
  let node = document;
  const paths: (readonly string[])[] = [];
  do {
    const changed = mutateOnce(node, random);
    node = changed.node;
    paths.push(changed.path);
  } while (paths.length < 4 && random.chance(0.2));
  return { text: toText(node), paths };
}

/** A text that need not be JSON any more. */
export function damage(text: string, random: Random): string {
  const at = random.below(text.length);
  const piece = random.pick([
    "",
    "\0",
    "{",
    "}",
    "]",
    ",",
    '"',
    "\\",
    "\ud800",
    "\ufeff",
    "//x\n",
    "1e",
  ]);
  return random.pick([
    () => text.slice(0, at),
    () => text.slice(0, at) + piece + text.slice(at + 1),
    () => text.slice(0, at) + piece + text.slice(at),
    () => text.slice(at),
    () => `${text}${text}`,
    () => piece + text,
  ])();
}

/** A document with a change, now and then a text that need not be JSON any more. */
export function changed(document: Node, random: Random): Mutant {
  if (random.chance(0.05)) return { text: damage(toText(document), random), paths: [] };
  return mutate(document, random);
}
