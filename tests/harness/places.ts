/**
 * Where the tests find things: the checkout, its build directory and the runtime under test.
 * Non-goal: building any of them; `make build` does.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";

export const REPO = resolve(import.meta.dir, "../..");

const { TARE_RUNTIME, TARE_TEST_BUILD, TARE_TEST_PATIENCE } = process.env;

/** Caches made at test time; git ignores it. */
export const BUILD = TARE_TEST_BUILD ?? resolve(REPO, ".build");

/**
 * The OCI runtime under test: the program named by TARE_RUNTIME, else dist/tare-runtime.
 * A name without a slash is looked up in PATH, so that `TARE_RUNTIME=runc` tests runc.
 */
export function runtimeProgram(): string {
  const wanted = TARE_RUNTIME ?? resolve(REPO, "dist/tare-runtime");
  const found = wanted.includes("/") ? resolve(wanted) : Bun.which(wanted);
  if (found === null || !existsSync(found)) {
    throw new Error(`Cannot test the runtime "${wanted}": no such program; run \`make build\``);
  }
  return found;
}

/** Namespaces, mounts and cgroups of these tests need root; say so once instead of failing oddly. */
export function requireRoot(): void {
  if (process.getuid?.() !== 0) throw new Error("Cannot run end-to-end tests: they need root");
}

/** A time limit in milliseconds, longer on a machine that is known to be slow (TARE_TEST_PATIENCE). */
export function patiently(limitMs: number): number {
  return limitMs * Number(TARE_TEST_PATIENCE ?? 1);
}

/** How much longer things may take beside other work than on a machine that has nothing else to do. */
const BUSY = 6;

/** As `patiently`, for what is looked at until it holds: nobody waits longer but who waits in vain. */
export function stubbornly(limitMs: number): number {
  return patiently(limitMs) * BUSY;
}
