/** Holds a container still while its files are read. */

import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { starting } from "../host/failure.ts";
import { findContainer, isRunning, type StoredContainer } from "./find.ts";
import { RUNTIME_ENVIRONMENT, runtimeRoot } from "./records.ts";

/**
 * Does the work while the container is paused, and lets it run on whatever comes of it. One that has
 * ended needs no pause.
 * @throws TareError `system` where the runtime cannot pause it
 */
export async function whilePaused<T>(
  engine: Engine,
  container: StoredContainer,
  work: () => Promise<T>,
): Promise<T> {
  const paused = isRunning(container) && (await pause(engine, container));
  try {
    return await work();
  } finally {
    if (paused) await callRuntime(engine, container, "resume");
  }
}

/** False where it ended meanwhile. */
async function pause(engine: Engine, container: StoredContainer): Promise<boolean> {
  const failure = await callRuntime(engine, container, "pause");
  if (failure === undefined) return true;
  if (!isRunning(findContainer(engine, container.id))) return false;
  throw new TareError(
    "system",
    `Cannot pause container "${container.id.slice(0, 12)}": ${failure}`,
    {
      hint: "--pause=false reads its files while it writes",
    },
  );
}

/** What the runtime complained of; undefined where it did as told. */
async function callRuntime(
  engine: Engine,
  { id, runtime }: StoredContainer,
  verb: "pause" | "resume",
): Promise<string | undefined> {
  const words = [runtime, "--root", runtimeRoot(engine, runtime), verb, id];
  const child = starting(runtime, () =>
    Bun.spawn(words, { stdio: ["ignore", "ignore", "pipe"], env: RUNTIME_ENVIRONMENT }),
  );
  const [stderr] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  return child.exitCode === 0 ? undefined : (stderr.trim().split("\n").at(-1) ?? "");
}
