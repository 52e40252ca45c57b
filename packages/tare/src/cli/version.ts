/** `tare version`. */

import manifest from "../../package.json" with { type: "json" };
import type { Command } from "./command.ts";

/** What a build carries is the version of its package. */
export const VERSION: Command = {
  summary: { name: "version", usage: "", help: "Print versions" },
  flags: {},
  interspersed: true,
  needsRoot: false,
  run: async (_words, around) => {
    around.print(`tare ${manifest.version}\nOCI runtime specification 1.3.0\nBun ${Bun.version}\n`);
    return 0;
  },
};
