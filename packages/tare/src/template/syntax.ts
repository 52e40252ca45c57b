/**
 * Reads templates of `--format` in the notation of Go's text/template, as far as people use it: fields,
 * variables, pipelines, if, else, with, range, literals, comments, trimmed blanks. Pure.
 * Source: Go's documentation of text/template.
 */
import { TareError } from "@tare/spec/error.ts";

export type Expression =
  /** `.A.B` of what the dot is. */
  | { readonly kind: "field"; readonly path: readonly string[] }
  /** `$x.A`; the root is the variable without a name. */
  | { readonly kind: "variable"; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "function"; readonly name: string }
  /** In parentheses. */
  | { readonly kind: "group"; readonly pipe: Pipe; readonly path: readonly string[] };

/** Commands, each the last argument of the next one. */
export type Pipe = {
  readonly declares: readonly string[];
  readonly commands: readonly (readonly Expression[])[];
};

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "print"; readonly pipe: Pipe }
  | {
      readonly kind: "if" | "with" | "range";
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

const OPEN = "{{";
const CLOSE = "}}";

type Piece = { readonly action: boolean; readonly text: string };

/**
 * The template of a text.
 * @throws TareError `bad_input`
 */
export function parseTemplate(text: string): readonly Node[] {
  const parser = new Parser(splitActions(text));
  const nodes = parser.nodes();
  const rest = parser.word();
  if (rest !== undefined) throw malformed(`"${rest}" stands alone`);
  return nodes;
}

/** The error for all that is wrong with a template. */
export function malformed(why: string): TareError {
  return new TareError("bad_input", `Cannot read the template of --format: ${why}`);
}

/** `{{- ` and ` -}}` take the blanks around them away. */
function splitActions(text: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trims = false;
  for (;;) {
    const open = text.indexOf(OPEN, at);
    const plain = text.slice(at, open < 0 ? text.length : open);
    const isTrimmed = open >= 0 && text[open + 2] === "-" && isBlank(text[open + 3]);
    const left = trims ? plain.trimStart() : plain;
    pieces.push({ action: false, text: isTrimmed ? left.trimEnd() : left });
    if (open < 0) break;
    const close = closeOf(text, open + 2);
    const inner = text.slice(open + (isTrimmed ? 3 : 2), close);
    trims = inner.endsWith("-") && isBlank(inner.at(-2));
    pieces.push({ action: true, text: (trims ? inner.slice(0, -1) : inner).trim() });
    at = close + 2;
  }
  return pieces.filter(({ action, text: it }) => (action ? !it.startsWith("/*") : it !== ""));
}

function isBlank(char: string | undefined): boolean {
  return char !== undefined && " \t\n\r".includes(char);
}

/** Braces in quotes do not close. */
function closeOf(text: string, start: number): number {
  let quote = "";
  for (let at = start; at < text.length; at++) {
    const char = text[at] ?? "";
    if (quote === "" && text.startsWith(CLOSE, at)) return at;
    if (quote === "" && (char === '"' || char === "`")) quote = char;
    else if (char === quote) quote = "";
    else if (char === "\\" && quote === '"') at++;
  }
  throw malformed(`"${OPEN}" is not closed`);
}

class Parser {
  readonly #pieces: readonly Piece[];
  #at = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  /** Up to an `else`, an `end`, or the template's end. */
  nodes(): Node[] {
    const nodes: Node[] = [];
    for (let piece = this.#pieces[this.#at]; piece !== undefined; piece = this.#pieces[this.#at]) {
      const word = this.word();
      if (word === "end" || word === "else") break;
      this.#at++;
      if (!piece.action) nodes.push({ kind: "text", text: piece.text });
      else if (word === "if" || word === "with" || word === "range") {
        nodes.push(this.#block(word, piece.text.slice(word.length)));
      } else nodes.push({ kind: "print", pipe: parsePipe(piece.text) });
    }
    return nodes;
  }

  /** The keyword that comes next, if the next piece is an action. */
  word(): string | undefined {
    const piece = this.#pieces[this.#at];
    return piece?.action === true ? piece.text.split(/[ \t\n(]/, 1)[0] : undefined;
  }

  #block(kind: "if" | "with" | "range", condition: string): Node {
    const body = this.nodes();
    const piece = this.#pieces[this.#at++];
    if (piece === undefined) throw malformed(`"${kind}" has no end`);
    const rest = piece.text.slice("else".length).trim();
    const pipe = parsePipe(condition);
    if (piece.text === "end") return { kind, pipe, body, otherwise: [] };
    if (rest.startsWith("if ")) {
      return { kind, pipe, body, otherwise: [this.#block("if", rest.slice("if".length))] };
    }
    const otherwise = this.nodes();
    if (this.#pieces[this.#at++]?.text !== "end") throw malformed(`"${kind}" has no end`);
    return { kind, pipe, body, otherwise };
  }
}

/** The pipeline of an action. */
function parsePipe(text: string): Pipe {
  const tokens = tokenize(text);
  const reader = new PipeReader(tokens);
  const pipe = reader.pipe();
  if (!reader.atEnd()) throw malformed(`"${reader.peek()}" is not expected in "${text.trim()}"`);
  return pipe;
}

/** Blanks separate; quotes, parentheses, commas, bars and `:=` are tokens by themselves. */
function tokenize(text: string): string[] {
  const tokens: string[] = [];
  for (let at = 0; at < text.length; ) {
    const char = text[at] ?? "";
    const end = tokenEnd(text, at);
    if (!" \t\n\r".includes(char)) tokens.push(text.slice(at, end));
    // What follows a group or a word at once belongs to it: `(x).Field`.
    at = end;
  }
  return tokens;
}

function tokenEnd(text: string, start: number): number {
  const char = text[start] ?? "";
  if (char === '"' || char === "`" || char === "'") return quoteEnd(text, start, char);
  if (text.startsWith(":=", start)) return start + 2;
  if ("()|,= \t\n\r".includes(char)) return start + 1;
  let end = start + 1;
  while (end < text.length && !"()|,= \t\n\r\"`':".includes(text[end] ?? "")) end++;
  return end;
}

function quoteEnd(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === quote) return at + 1;
    if (text[at] === "\\" && quote !== "`") at++;
  }
  throw malformed(`${quote} is not closed`);
}

class PipeReader {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  atEnd(): boolean {
    return this.#at >= this.#tokens.length;
  }

  peek(): string {
    return this.#tokens[this.#at] ?? "";
  }

  pipe(): Pipe {
    const declares = this.#declarations();
    const commands = [this.#command()];
    while (this.peek() === "|") {
      this.#at++;
      commands.push(this.#command());
    }
    return { declares, commands };
  }

  /** `$x :=`, `$i, $x :=`; assignments to what is there are written alike. */
  #declarations(): string[] {
    const end = this.#tokens.findIndex(
      (token, at) => at >= this.#at && (token === ":=" || token === "="),
    );
    if (end < 0) return [];
    const names = this.#tokens.slice(this.#at, end).filter((token) => token !== ",");
    if (names.length === 0 || names.length > 2 || !names.every((name) => name.startsWith("$"))) {
      throw malformed("want variables before :=");
    }
    this.#at = end + 1;
    return names.map((name) => name.slice(1));
  }

  #command(): Expression[] {
    const operands: Expression[] = [];
    while (!this.atEnd() && this.peek() !== "|" && this.peek() !== ")") {
      operands.push(this.#operand());
    }
    if (operands.length === 0) throw malformed("a command is missing");
    return operands;
  }

  #operand(): Expression {
    const token = this.peek();
    this.#at++;
    if (token !== "(") return operandOf(token);
    const pipe = this.pipe();
    if (this.peek() !== ")") throw malformed("( is not closed");
    this.#at++;
    const isField = this.peek().startsWith(".") && this.peek().length > 1;
    const path = isField ? pathOf(this.peek()) : [];
    if (isField) this.#at++;
    return { kind: "group", pipe, path };
  }
}

const WORDS: ReadonlyMap<string, boolean | null> = new Map([
  ["true", true],
  ["false", false],
  ["nil", null],
]);

function operandOf(token: string): Expression {
  const first = token[0] ?? "";
  if (first === ".") return { kind: "field", path: pathOf(token) };
  if (first === "$") {
    const [name = "", ...path] = token.slice(1).split(".");
    return { kind: "variable", name, path };
  }
  if (first === "`") return { kind: "literal", value: token.slice(1, -1) };
  if (first === '"') return { kind: "literal", value: unquote(token) };
  const word = WORDS.get(token);
  if (word !== undefined) return { kind: "literal", value: word };
  if (/^-?[0-9]+(\.[0-9]+)?$/.test(token)) return { kind: "literal", value: Number(token) };
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(token)) return { kind: "function", name: token };
  throw malformed(`"${token}" is not understood`);
}

function pathOf(token: string): readonly string[] {
  const path = token === "." ? [] : token.slice(1).split(".");
  if (path.includes("")) throw malformed(`"${token}" has an empty name in it`);
  return path;
}

/** Go's escapes that JSON has too are nearly all that are used. */
function unquote(token: string): string {
  try {
    return JSON.parse(token) as string;
  } catch {
    throw malformed(`${token} is no string`);
  }
}
