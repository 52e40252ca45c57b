/** Runs verbs of tare-helper: what needs system calls that this process must not make. */
import { type ErrorReport, fromReport, TareError } from "@tare/spec/error.ts";
import type { Engine } from "./engine.ts";

/** The names of users and groups in a root file system. */
export type Accounts = { readonly passwd: string; readonly group: string };

/** Reads passwd and group out of layers, topmost first, or out of one directory. */
export async function readAccounts(engine: Engine, roots: readonly string[]): Promise<Accounts> {
  const child = Bun.spawn([engine.settings.helper, "accounts", "--roots", roots.join(":")], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {},
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (child.exitCode !== 0) throw helperError(stderr);
  return JSON.parse(stdout) as Accounts;
}

/** The error that a helper wrote as its last line. */
export function helperError(stderr: string): TareError {
  const line = stderr.trim().split("\n").at(-1) ?? "";
  try {
    return fromReport(JSON.parse(line) as ErrorReport);
  } catch (cause) {
    return new TareError("internal", `tare-helper failed: ${line || "it said nothing"}`, { cause });
  }
}
