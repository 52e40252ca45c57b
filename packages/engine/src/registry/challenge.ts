/**
 * The challenges of a 401: `Bearer realm="...",service="...", Basic realm="x"`. A stranger's text: read
 * once from left to right, without regular expressions. Source: RFC 9110, 11.6.1; RFC 6750, 3.
 */

export type Challenge = {
  /** Lower case, such as `bearer`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly params: ReadonlyMap<string, string>;
};

const LENGTH_MAX = 16 * 1024;
const CHALLENGES_MAX = 16;
const PARAMS_MAX = 32;

/** What can be read of the header; what cannot ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const reader = new Reader(header.slice(0, LENGTH_MAX));
  const challenges: { scheme: string; params: Map<string, string> }[] = [];
  for (;;) {
    reader.skipSeparators();
    const word = reader.token();
    if (word === "") return challenges;
    reader.skipBlanks();
    const last = challenges.at(-1);
    if (reader.eat("=")) {
      reader.skipBlanks();
      const value = reader.value();
      if (last === undefined || value === undefined || last.params.size >= PARAMS_MAX) {
        return challenges;
      }
      // The first wins, so that nothing that was appended can replace it.
      const name = word.toLowerCase();
      if (!last.params.has(name)) last.params.set(name, value);
    } else if (challenges.length >= CHALLENGES_MAX) {
      return challenges;
    } else {
      challenges.push({ scheme: word.toLowerCase(), params: new Map() });
    }
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  skipBlanks(): void {
    while (this.#is(" \t")) this.#at++;
  }

  skipSeparators(): void {
    while (this.#is(" \t,")) this.#at++;
  }

  eat(char: string): boolean {
    if (!this.#is(char)) return false;
    this.#at++;
    return true;
  }

  /** A run of token characters (RFC 9110, 5.6.2); empty where there is none. */
  token(): string {
    const from = this.#at;
    while (this.#at < this.#text.length && isTokenChar(this.#text.charCodeAt(this.#at))) this.#at++;
    return this.#text.slice(from, this.#at);
  }

  /** A token or a quoted text; undefined where neither is, or the quote does not end. */
  value(): string | undefined {
    if (!this.eat('"')) return this.token() || undefined;
    let value = "";
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at++];
      if (char === '"') return value;
      value += char === "\\" ? (this.#text[this.#at++] ?? "") : char;
    }
    return undefined;
  }

  #is(chars: string): boolean {
    return this.#at < this.#text.length && chars.includes(this.#text[this.#at] ?? "\0");
  }
}

function isTokenChar(code: number): boolean {
  return code > 0x20 && code < 0x7f && !'"(),/:;<=>?@[\\]{}'.includes(String.fromCharCode(code));
}
