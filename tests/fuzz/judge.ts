/** Whether a refusal is one that helps: ours, on one line, with a code, naming what is wrong. */
import { TareError } from "../../packages/spec/src/error.ts";

/** What a message must never show: faults of ours, and values that were printed by mistake. */
const NONSENSE = /\bundefined\b|\[object |\bNaN\b|function \(|=>|\bat \S+:\d+/;
/** Control characters would write lines, or to the terminal, of whoever reads the message. */
const isControl = (code: number): boolean => code < 0x20 || (code >= 0x7f && code < 0xa0);
const MESSAGE_LENGTH_MAX = 10_000;

/** What is wrong with a refusal. `input` is what was refused: words of it may be quoted. */
export function faultsOf(error: unknown, input: string): string[] {
  if (!(error instanceof TareError)) return [`it throws ${String(error)}`];
  const { message, hint = "" } = error;
  const faults: string[] = [];
  if (error.code === "internal") faults.push("it is taken for a fault of ours");
  for (const text of [message, hint]) {
    if (Array.from(text).some((each) => isControl(each.charCodeAt(0)))) {
      faults.push("it has control characters");
    }
    if (text.length > MESSAGE_LENGTH_MAX) faults.push(`it has ${text.length} characters`);
    const [nonsense] = NONSENSE.exec(text) ?? [];
    if (nonsense !== undefined && !input.includes(nonsense)) faults.push(`it says "${nonsense}"`);
  }
  return faults.map((fault) => `${fault}: ${message}`);
}

/** What is wrong with what a command wrote to standard error. */
export function textFaultsOf(text: string, input: string): string[] {
  const faults: string[] = [];
  const lines = text.split("\n").filter((line) => line !== "");
  for (const line of lines) {
    if (Array.from(line).some((each) => isControl(each.charCodeAt(0)))) {
      faults.push(`it has control characters: ${JSON.stringify(line)}`);
    }
    const [nonsense] = NONSENSE.exec(line) ?? OURS.exec(line) ?? [];
    if (nonsense !== undefined && !input.includes(nonsense)) faults.push(`it says ${line}`);
  }
  const errors = lines.filter((line) => !/^hint: |warning: |^\{|^time=/.test(line));
  return errors.length > 1 ? [...faults, `it says more than one error: ${text}`] : faults;
}

/** How a fault of ours looks when it is told as an error. */
const OURS = /\b\w*Error: |assertion failed|unexpected case|uncaught/;

/** A text that cannot be parsed has no fields yet. */
const WHOLE_TEXT = /not valid JSON|nested too deeply|want an object|larger than/;

/** Whether a refusal names the field that was changed: its name, or the one above it. */
export function namesField(error: unknown, path: readonly string[]): boolean {
  const { message, hint = "" } = error as TareError;
  const names = path.filter((key) => !/^\d+$/.test(key)).slice(-2);
  const text = `${message} ${hint}`;
  return names.length === 0 || WHOLE_TEXT.test(text) || names.some((name) => text.includes(name));
}
