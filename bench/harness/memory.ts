/**
 * The memory that a command takes with all of its processes together, looked at again and again while
 * it runs: the sum of their proportional set sizes, in which pages that several have count once.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const EVERY_MS = 10;

/** Runs the command to its end; the largest sum that was seen, in KiB. */
export async function peakOfAll(words: readonly string[]): Promise<number> {
  const child = Bun.spawn([...words], { stdio: ["ignore", "ignore", "pipe"] });
  const complaint = new Response(child.stderr).text();
  let peak = 0;
  while (child.exitCode === null && child.signalCode === null) {
    const family = descendants(child.pid);
    peak = Math.max(
      peak,
      family.map(proportionalKiB).reduce((sum, each) => sum + each, 0),
    );
    await Bun.sleep(EVERY_MS);
  }
  if ((await child.exited) === 0) return peak;
  throw new Error(`Cannot measure "${words.join(" ")}": ${await complaint}`);
}

/** The process and those below it, each memory once: before execve(2) a child has its parent's (vfork(2)). */
function descendants(pid: number): number[] {
  const found = [pid];
  for (const each of found) {
    const program = programOf(each);
    found.push(...childrenOf(each).filter((child) => programOf(child) !== program));
  }
  return found;
}

function programOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8")
        .split(" ")
        .filter((text) => text !== "")
        .map(Number),
    );
  } catch {
    // It has ended meanwhile.
    return [];
  }
}

function proportionalKiB(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss: +(\d+) kB$/m.exec(text)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
