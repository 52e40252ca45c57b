/** Chooses the style of progress by what the output is, and opens it. */
import type { Surroundings } from "../cli/command.ts";
import { BadValue } from "../cli/flag.ts";
import { type Progress, type ProgressStyle, SILENT } from "./progress.ts";

/** The flag of all commands that transfer. */
export const PROGRESS_FLAG = {
  name: "progress",
  arg: "auto|plain|tty|json",
  help: "How to show progress: bars on a terminal, else lines (auto); or JSON, an object a line",
  parse: parseStyle,
} as const;

/** Progress on standard output, or on standard error where the output is a command's. */
export async function openProgress(
  around: Surroundings,
  wanted: ProgressStyle | undefined,
  stream: 1 | 2,
): Promise<Progress> {
  const write = stream === 1 ? around.print : around.complain;
  const style = wanted ?? ((await around.isTerminal(stream)) ? "tty" : "plain");
  switch (style) {
    case "quiet":
      return SILENT;
    case "json":
      return (await import("./json.ts")).jsonProgress(write, performance.now.bind(performance));
    case "plain":
      return (await import("./plain.ts")).plainProgress(write);
    case "tty": {
      const { barProgress } = await import("./bars.ts");
      const { WriteStream } = await import("node:tty");
      const tty = new WriteStream(stream);
      const size = () => ({ columns: tty.columns || 80, rows: tty.rows || 24 });
      const draw = stream === 1 ? around.draw : around.complain;
      return barProgress({ write: draw, size }, (run, ms) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      });
    }
  }
}

function parseStyle(text: string): ProgressStyle | undefined {
  if (text === "auto") return undefined;
  if (text === "plain" || text === "tty" || text === "json") return text;
  throw new BadValue("want auto, plain, tty or json");
}
