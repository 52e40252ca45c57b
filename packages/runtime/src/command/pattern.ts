/**
 * Extended regular expressions (POSIX.1-2017, chapter 9.4, "ERE") over container ids, for
 * `delete --regex` and `kill --regex`. A pattern becomes a graph that is walked for all of its paths
 * at once: the time is the product of both lengths, whatever the pattern is. Not here: collating
 * elements ([.x.], [=x=]) and back-references.
 */

import { TareError } from "@tare/spec/error.ts";

const PATTERN_LENGTH_MAX = 1024;
/** What counts in braces multiply to: (a{255}){255} would be 65025. */
const NODES_MAX = 20_000;
/** Parts that are looked at to make them: what is empty makes none, however often it is repeated. */
const PARTS_MAX = 5 * NODES_MAX;
const DEPTH_MAX = 100;
/** Repeats, of all of a pattern: each may stand on the one before it, as in a??, and make the tree deeper. */
const STACKED_MAX = 200;
/** RE_DUP_MAX of limits.h is 255 at least. */
const REPEAT_MAX = 255;

type Letters = (code: number) => boolean;

/** What a pattern says, before it is a graph. */
type Tree =
  | { readonly kind: "letter"; readonly holds: Letters }
  | { readonly kind: "start" | "end" | "empty" }
  | { readonly kind: "all" | "any"; readonly parts: readonly Tree[] }
  | { readonly kind: "repeat"; readonly of: Tree; readonly least: number; readonly most: number };

/** A place in the graph: on a letter, at an edge of the text, or free ways on. */
type Node = {
  readonly test: Letters | "start" | "end" | "free" | "match";
  readonly next: number[];
};

/** Whether a text has a part that the pattern describes. */
export type Pattern = (text: string) => boolean;

/** @throws TareError `bad_input` for a pattern that is none, or is too large. */
export function compilePattern(text: string): Pattern {
  if (text.length > PATTERN_LENGTH_MAX) {
    throw badPattern(text.slice(0, 40), `it is longer than ${PATTERN_LENGTH_MAX}`);
  }
  const nodes: Node[] = [{ test: "match", next: [] }];
  const start = new Builder(text, nodes).add(new Reader(text).whole(), 0);
  return (subject) => matches(nodes, start, subject);
}

function badPattern(text: string, why: string): TareError {
  return new TareError("bad_input", `Cannot use regular expression "${text}": ${why}`);
}

/** All places that can be reached, letter by letter. */
function matches(nodes: readonly Node[], start: number, subject: string): boolean {
  // Of each place the round that reached it last: a new Set for each letter took QuickJS half a minute.
  const seen = new Uint32Array(nodes.length);
  let places: number[] = [];
  for (let at = 0; at <= subject.length; at++) {
    const code = subject.charCodeAt(at);
    const reached = follow(nodes, [start, ...places], { at, length: subject.length }, seen);
    if (seen[0] === at + 1) return true;
    places = reached.flatMap(({ test, next }) =>
      typeof test === "function" && test(code) ? next : [],
    );
  }
  return false;
}

/** The places of `pending`, and what can be reached from them without a letter, each once. */
function follow(
  nodes: readonly Node[],
  pending: number[],
  { at, length }: { readonly at: number; readonly length: number },
  seen: Uint32Array,
): readonly Node[] {
  const reached: Node[] = [];
  for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
    const node = nodes[place];
    if (node === undefined || seen[place] === at + 1) continue;
    seen[place] = at + 1;
    reached.push(node);
    if (isOpen(node.test, at, length)) pending.push(...node.next);
  }
  return reached;
}

function isOpen(test: Node["test"], at: number, length: number): boolean {
  return test === "free" || (test === "start" && at === 0) || (test === "end" && at === length);
}

/** Trees to nodes, from the end to the start: `add` answers the node that a tree begins with. */
class Builder {
  readonly #text: string;
  readonly #nodes: Node[];
  #parts = 0;

  constructor(text: string, nodes: Node[]) {
    this.#text = text;
    this.#nodes = nodes;
  }

  add(tree: Tree, next: number): number {
    if (++this.#parts > PARTS_MAX) throw this.#tooMany();
    switch (tree.kind) {
      case "empty":
        return next;
      case "letter":
        return this.#node(tree.holds, [next]);
      case "start":
      case "end":
        return this.#node(tree.kind, [next]);
      case "all":
        return tree.parts.reduceRight((after, part) => this.add(part, after), next);
      case "any":
        return this.#node(
          "free",
          tree.parts.map((part) => this.add(part, next)),
        );
      default:
        return this.#repeat(tree, next);
    }
  }

  #repeat({ of, least, most }: Extract<Tree, { kind: "repeat" }>, next: number): number {
    let first = next;
    if (most === Number.POSITIVE_INFINITY) {
      const ways = [next];
      first = this.#node("free", ways);
      ways.push(this.add(of, first));
    } else {
      for (let count = least; count < most; count++) {
        first = this.#node("free", [next, this.add(of, first)]);
      }
    }
    for (let count = 0; count < least; count++) first = this.add(of, first);
    return first;
  }

  #node(test: Node["test"], next: number[]): number {
    if (this.#nodes.length >= NODES_MAX) throw this.#tooMany();
    return this.#nodes.push({ test, next }) - 1;
  }

  #tooMany(): TareError {
    return badPattern(this.#text, "its counts are too high");
  }
}

/** Reads the text of a pattern. */
class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  #stacked = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Tree {
    const tree = this.#alternatives();
    if (this.#at < this.#text.length) throw this.#bad('a ")" without "("');
    return tree;
  }

  #alternatives(): Tree {
    if (++this.#depth > DEPTH_MAX) throw this.#bad("its brackets are nested too deep");
    const parts = [this.#branch()];
    while (this.#take("|")) parts.push(this.#branch());
    this.#depth--;
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: "any", parts };
  }

  #branch(): Tree {
    const parts: Tree[] = [];
    while (this.#at < this.#text.length && !"|)".includes(this.#peek())) {
      parts.push(this.#repeated(this.#atom()));
    }
    return { kind: "all", parts };
  }

  #repeated(atom: Tree): Tree {
    let tree = atom;
    for (; ; this.#stacked++) {
      if (this.#stacked > STACKED_MAX) throw this.#bad("too many repeats of repeats");
      if (this.#take("*")) tree = repeat(tree, 0, Number.POSITIVE_INFINITY);
      else if (this.#take("+")) tree = repeat(tree, 1, Number.POSITIVE_INFINITY);
      else if (this.#take("?")) tree = repeat(tree, 0, 1);
      else if (this.#take("{")) tree = this.#counted(tree);
      else return tree;
    }
  }

  #counted(of: Tree): Tree {
    const least = this.#number();
    let most = least;
    if (this.#take(",")) most = this.#peek() === "}" ? Number.POSITIVE_INFINITY : this.#number();
    if (!this.#take("}") || most < least) throw this.#bad("want {2}, {2,} or {2,5}");
    return repeat(of, least, most);
  }

  #number(): number {
    const start = this.#at;
    while (isDigit(this.#peek())) this.#at++;
    const number = Number(this.#text.slice(start, this.#at));
    if (start === this.#at || number > REPEAT_MAX) throw this.#bad(`a count is 0 to ${REPEAT_MAX}`);
    return number;
  }

  #atom(): Tree {
    const letter = this.#peek();
    this.#at++;
    if (letter === "(") {
      const tree = this.#alternatives();
      if (!this.#take(")")) throw this.#bad('a "(" without ")"');
      return tree;
    }
    if (letter === "[") return { kind: "letter", holds: this.#bracket() };
    if (letter === ".") return { kind: "letter", holds: (code) => !Number.isNaN(code) };
    if (letter === "^") return { kind: "start" };
    if (letter === "$") return { kind: "end" };
    if (letter === "\\") return literal(this.#escaped());
    if ("*+?{".includes(letter)) throw this.#bad(`nothing before "${letter}"`);
    return literal(letter);
  }

  #escaped(): string {
    const letter = this.#peek();
    this.#at++;
    if (letter === "") throw this.#bad('nothing after "\\"');
    return letter;
  }

  /** After "[": letters, ranges and classes; a "]" in the first place is a letter. */
  #bracket(): Letters {
    const isNegated = this.#take("^");
    const tests: Letters[] = [];
    do tests.push(this.#member());
    while (this.#peek() !== "]" && this.#peek() !== "");
    if (!this.#take("]")) throw this.#bad('a "[" without "]"');
    return (code) => !Number.isNaN(code) && tests.some((holds) => holds(code)) !== isNegated;
  }

  #member(): Letters {
    if (this.#text.startsWith("[:", this.#at)) return this.#class();
    const from = this.#escaped().charCodeAt(0);
    const isRange = this.#peek() === "-" && !["]", ""].includes(this.#text.charAt(this.#at + 1));
    if (!isRange) return (code) => code === from;
    this.#at++;
    const to = this.#escaped().charCodeAt(0);
    if (to < from) throw this.#bad("a range runs backwards");
    return (code) => code >= from && code <= to;
  }

  #class(): Letters {
    const end = this.#text.indexOf(":]", this.#at);
    const name = this.#text.slice(this.#at + 2, end < 0 ? undefined : end);
    const letters = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
    if (end < 0 || letters === undefined) throw this.#bad("an unknown class of letters");
    this.#at = end + 2;
    return (code) => letters.includes(String.fromCharCode(code));
  }

  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #take(letter: string): boolean {
    if (this.#peek() !== letter) return false;
    this.#at++;
    return true;
  }

  #bad(why: string): TareError {
    return badPattern(this.#text, why);
  }
}

function repeat(of: Tree, least: number, most: number): Tree {
  return { kind: "repeat", of, least, most };
}

function literal(letter: string): Tree {
  const wanted = letter.charCodeAt(0);
  return { kind: "letter", holds: (code) => code === wanted };
}

function isDigit(letter: string): boolean {
  return letter >= "0" && letter <= "9";
}

const DIGITS = "0123456789";
const LOWER = "abcdefghijklmnopqrstuvwxyz";
const UPPER = LOWER.toUpperCase();

/** As far as ids have such letters. */
const CLASSES: { readonly [name: string]: string } = {
  digit: DIGITS,
  lower: LOWER,
  upper: UPPER,
  alpha: LOWER + UPPER,
  alnum: DIGITS + LOWER + UPPER,
  xdigit: `${DIGITS}abcdefABCDEF`,
  punct: "_.+-",
};
