/** Lines for a file or a pipe: one for each change of a part, none for bytes. */
import type { Progress } from "./progress.ts";

/** What passes too often, or too fast, to be worth a line. */
const UNSAID: ReadonlySet<string> = new Set(["Downloading", "Pushing", "Extracting"]);

/** Writes to `write`, whole lines at a time. */
export function plainProgress(write: (text: string) => void): Progress {
  const last = new Map<string, string>();
  return {
    line: (text) => write(`${text}\n`),
    part: ({ id, status }) => {
      if (UNSAID.has(status) || last.get(id) === status) return;
      last.set(id, status);
      write(`${id}: ${status}\n`);
    },
    end: () => {},
  };
}
