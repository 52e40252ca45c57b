/**
 * Words of a Dockerfile instruction as Docker's own parser reads them: quotes, backslashes, and
 * variables of the environment in front of it. Pure; every text is read in one pass.
 * Source: Docker's reference of the Dockerfile, "Environment replacement", "ENV".
 */
import { TareError } from "@tare/spec/error.ts";

export type Variables = ReadonlyMap<string, string>;

/** A word with an empty pair of quotes is one, however little is in it. */
type Open = { text: string; begun: boolean };

/**
 * Splits at blanks that are not quoted, replacing variables.
 * @throws TareError `bad_input` where a quote or a brace is not closed.
 */
export function splitWords(text: string, variables: Variables): string[] {
  const words: string[] = [];
  const open: Open = { text: "", begun: false };
  let at = 0;
  while (at < text.length) {
    const char = text[at] ?? "";
    if (isBlank(char)) {
      if (open.begun) words.push(open.text);
      open.text = "";
      open.begun = false;
      at++;
    } else {
      open.begun = true;
      at = readPart(text, at, variables, open);
    }
  }
  if (open.begun) words.push(open.text);
  return words;
}

/** The whole text as one word, blanks and all. */
export function expandText(text: string, variables: Variables): string {
  const open: Open = { text: "", begun: true };
  for (let at = 0; at < text.length; ) {
    if (isBlank(text[at] ?? "")) open.text += text[at++];
    else at = readPart(text, at, variables, open);
  }
  return open.text;
}

/** Reads one quoted part, one variable or one character; answers where to go on. */
function readPart(text: string, at: number, variables: Variables, open: Open): number {
  switch (text[at]) {
    case "'":
      return readSingle(text, at, open);
    case '"':
      return readDouble(text, at, variables, open);
    case "\\":
      open.text += text[at + 1] ?? "\\";
      return at + 2;
    case "$":
      return readVariable(text, at, variables, open);
    default:
      open.text += text[at] ?? "";
      return at + 1;
  }
}

function readSingle(text: string, at: number, open: Open): number {
  const end = text.indexOf("'", at + 1);
  if (end < 0) throw unclosed(text, "'");
  open.text += text.slice(at + 1, end);
  return end + 1;
}

/** Inside, a backslash only keeps the meaning of `"`, `$` and itself away. */
function readDouble(text: string, start: number, variables: Variables, open: Open): number {
  let at = start + 1;
  while (at < text.length) {
    const char = text[at] ?? "";
    if (char === '"') return at + 1;
    if (char === "$") {
      at = readVariable(text, at, variables, open);
    } else if (char === "\\" && '"$\\'.includes(text[at + 1] ?? " ")) {
      open.text += text[at + 1];
      at += 2;
    } else {
      open.text += char;
      at++;
    }
  }
  throw unclosed(text, '"');
}

/** `$NAME`, `${NAME}`, `${NAME:-other}`, `${NAME:+other}`; a lone dollar sign is itself. */
function readVariable(text: string, at: number, variables: Variables, open: Open): number {
  const braced = text[at + 1] === "{";
  const start = at + (braced ? 2 : 1);
  let end = start;
  while (end < text.length && isNameChar(text[end] ?? "")) end++;
  const name = text.slice(start, end);
  if (!braced) {
    open.text += name === "" ? "$" : (variables.get(name) ?? "");
    return name === "" ? at + 1 : end;
  }
  const close = text.indexOf("}", end);
  if (name === "" || close < 0) throw unclosed(text, "${");
  open.text += braceValue(variables.get(name) ?? "", text.slice(end, close), text, variables);
  return close + 1;
}

function braceValue(value: string, rest: string, text: string, variables: Variables): string {
  if (rest === "") return value;
  const other = expandText(rest.slice(2), variables);
  if (rest.startsWith(":-")) return value === "" ? other : value;
  if (rest.startsWith(":+")) return value === "" ? "" : other;
  throw new TareError(
    "bad_input",
    `Cannot read "${text}": only :- and :+ may follow a name in \${}`,
  );
}

function isNameChar(char: string): boolean {
  return (
    (char >= "a" && char <= "z") ||
    (char >= "A" && char <= "Z") ||
    (char >= "0" && char <= "9") ||
    char === "_"
  );
}

function isBlank(char: string): boolean {
  return char === " " || char === "\t" || char === "\n" || char === "\r";
}

function unclosed(text: string, what: string): TareError {
  return new TareError("bad_input", `Cannot read "${text}": ${what} is not closed`);
}
