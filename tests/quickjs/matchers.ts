/** `expect` for the QuickJS host: the matchers that the pure tests use, as bun:test has them. */

import { equals, matches } from "./equality.ts";

type Thrown = string | RegExp | Error | (new (...args: never[]) => unknown) | undefined;

let expectations = 0;

/** How often `expect` was called: a file whose tests expect nothing proves nothing. */
export function expectationCount(): number {
  return expectations;
}

/** A value for a message: bigints and maps readable, long ones cut. */
function show(value: unknown): string {
  const shown = new Set<unknown>();
  const text = JSON.stringify(value, (_key, member) => {
    if (typeof member === "bigint") return `${member}n`;
    if (member instanceof Map || member instanceof Set) return [member.constructor.name, ...member];
    if (ArrayBuffer.isView(member)) return `${member.constructor.name} ${String(member)}`;
    if (typeof member === "object" && member !== null) {
      if (shown.has(member)) return "(seen before)";
      shown.add(member);
    }
    return member;
  });
  const whole = text ?? String(value);
  return whole.length > 2000 ? `${whole.slice(0, 2000)} and more` : whole;
}

function fits(error: unknown, wanted: Thrown): boolean {
  if (wanted === undefined) return true;
  if (typeof wanted === "function") return error instanceof wanted;
  const message = error instanceof Error ? error.message : String(error);
  if (typeof wanted === "string") return message.includes(wanted);
  return wanted instanceof RegExp ? wanted.test(message) : message === wanted.message;
}

function contains(value: unknown, wanted: unknown): boolean {
  if (typeof value === "string") return value.includes(String(wanted));
  return [...(value as Iterable<unknown>)].includes(wanted);
}

function thrownBy(action: unknown): { readonly error: unknown } | undefined {
  try {
    (action as () => unknown)();
    return undefined;
  } catch (error) {
    return { error };
  }
}

class Expectation {
  readonly #value: unknown;
  readonly #wanted: boolean;

  constructor(value: unknown, wanted: boolean) {
    this.#value = value;
    this.#wanted = wanted;
  }

  get not(): Expectation {
    return new Expectation(this.#value, !this.#wanted);
  }

  #hold(outcome: boolean, what: string, wanted?: unknown): void {
    if (outcome === this.#wanted) return;
    const negation = this.#wanted ? "" : "not ";
    throw new Error(`expected ${negation}${what} ${show(wanted)}, got ${show(this.#value)}`);
  }

  toBe(wanted: unknown): void {
    this.#hold(Object.is(this.#value, wanted), "to be", wanted);
  }
  toEqual(wanted: unknown): void {
    this.#hold(equals(this.#value, wanted, { strict: false }), "to equal", wanted);
  }
  toStrictEqual(wanted: unknown): void {
    this.#hold(equals(this.#value, wanted, { strict: true }), "to equal strictly", wanted);
  }
  toMatchObject(wanted: object): void {
    this.#hold(matches(this.#value, wanted), "to match", wanted);
  }
  toBeUndefined(): void {
    this.#hold(this.#value === undefined, "to be undefined");
  }
  toBeDefined(): void {
    this.#hold(this.#value !== undefined, "to be defined");
  }
  toBeNull(): void {
    this.#hold(this.#value === null, "to be null");
  }
  toBeTrue(): void {
    this.#hold(this.#value === true, "to be true");
  }
  toBeFalse(): void {
    this.#hold(this.#value === false, "to be false");
  }
  toBeInstanceOf(wanted: new (...args: never[]) => unknown): void {
    this.#hold(this.#value instanceof wanted, `to be a ${wanted.name}`);
  }
  toContain(wanted: unknown): void {
    this.#hold(contains(this.#value, wanted), "to contain", wanted);
  }
  toStartWith(wanted: string): void {
    this.#hold(String(this.#value).startsWith(wanted), "to start with", wanted);
  }
  toEndWith(wanted: string): void {
    this.#hold(String(this.#value).endsWith(wanted), "to end with", wanted);
  }
  toHaveLength(wanted: number): void {
    this.#hold((this.#value as { length: number }).length === wanted, "to have length", wanted);
  }
  toMatch(wanted: string | RegExp): void {
    const text = String(this.#value);
    const outcome = typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
    this.#hold(outcome, `to match ${String(wanted)}`);
  }
  toBeGreaterThan(wanted: number | bigint): void {
    this.#hold((this.#value as number) > wanted, "to be greater than", wanted);
  }
  toBeGreaterThanOrEqual(wanted: number | bigint): void {
    this.#hold((this.#value as number) >= wanted, "to be at least", wanted);
  }
  toBeLessThan(wanted: number | bigint): void {
    this.#hold((this.#value as number) < wanted, "to be less than", wanted);
  }
  toBeLessThanOrEqual(wanted: number | bigint): void {
    this.#hold((this.#value as number) <= wanted, "to be at most", wanted);
  }
  toThrow(wanted?: Thrown): void {
    const thrown = thrownBy(this.#value);
    const outcome = thrown !== undefined && fits(thrown.error, wanted);
    this.#hold(outcome, `to throw ${String(wanted ?? "anything")}, not ${String(thrown?.error)};`);
  }
}

/** The beginning of an expectation about a value. */
export function expect(value?: unknown): Expectation {
  expectations++;
  return new Expectation(value, true);
}
