/** Start-up alone: the host, QuickJS and all modules of the runtime, before any work is done. */
import { statSync } from "node:fs";
import type { Bench } from "./harness/bench.ts";

const FILE_BYTES_MAX = 5 * 1000 * 1000;

export const START: Bench = {
  name: "start",
  prepare: ({ programs }) => {
    const runtime = programs.ours.get("tare-runtime");
    if (runtime === undefined) return { contests: [], missing: "dist/tare-runtime is not built" };
    const bytes = statSync(runtime).size;
    return {
      contests: [
        {
          name: "start-up: --version",
          ours: { label: "tare-runtime", words: [runtime, "--version"] },
          peer: { label: "/bin/true", words: ["/bin/true"] },
          bars: { wallAboveMs: 1.5, peakKiB: 3000 },
          pairs: 400,
        },
      ],
      facts: [
        {
          what: "file size, bytes",
          value: bytes,
          atMost: FILE_BYTES_MAX,
          met: bytes <= FILE_BYTES_MAX,
        },
      ],
    };
  },
};
