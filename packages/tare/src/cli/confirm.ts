/** Asks before much is removed, as Docker does. */
import { readSync } from "node:fs";
import type { Surroundings } from "./command.ts";

const ANSWER_BYTES_MAX = 100;

/** Whether the user says yes; the end of standard input is no. */
export function confirm(around: Surroundings, warning: string): boolean {
  around.print(`WARNING! ${warning}\nAre you sure you want to continue? [y/N] `);
  const bytes = new Uint8Array(ANSWER_BYTES_MAX);
  const count = readSync(0, bytes, 0, bytes.length, null);
  const answer = new TextDecoder().decode(bytes.subarray(0, count)).trim().toLowerCase();
  return answer === "y" || answer === "yes";
}
