/** tare-runtime: argv in, exit status out. */

import * as sys from "tare:sys";
import { runProgram } from "../command/program.ts";
import { loadPart } from "../sys/part.ts";

/** Called by the host; the answer is the exit status. */
export function main(): number {
  return runProgram(sys);
}

/** Called by the host after sys.restart: the first process of a container that waits for start. */
export function resume(left: Uint8Array): number {
  return loadPart(sys, "tare-runtime~waiting").resume(sys, left);
}
