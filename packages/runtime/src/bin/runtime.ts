/** tare-runtime: argv in, exit status out. */

import * as sys from "tare:sys";
import { runProgram } from "../command/program.ts";

/** Called by the host; the answer is the exit status. */
export function main(): number {
  return runProgram(sys);
}
