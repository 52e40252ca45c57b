/** tare-init [--] COMMAND [ARG...]: process 1 of a container that asked for one. */

import * as sys from "tare:sys";
import { toReport } from "@tare/spec/error.ts";
import { runReaper } from "../reaper/run.ts";
import type { Fd } from "../sys/types.ts";

const EXIT_STATUS: Readonly<Record<string, number>> = {
  command_not_found: 127,
  command_not_executable: 126,
};

/** Called by the host; the answer is the exit status. */
export function main(): number {
  const [, ...words] = sys.argv();
  try {
    return runReaper(sys, words[0] === "--" ? words.slice(1) : words);
  } catch (error) {
    const { code, message } = toReport(error);
    sys.write(2 as Fd, sys.encode_utf8(`tare-init: ${message}\n`));
    return EXIT_STATUS[code] ?? 125;
  }
}
