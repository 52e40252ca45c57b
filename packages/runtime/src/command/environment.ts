/**
 * What the runtime's environment says: listening descriptors that are passed on (sd_listen_fds(3))
 * and a service manager that waits for a word (sd_notify(3)).
 */

import type { Sys } from "../sys/types.ts";

const LISTENING_MAX = 1000;

/** The value of a variable of ours; undefined where it is not set, or empty. */
export function variable(sys: Sys, name: string): string | undefined {
  return sys.variable(name) || undefined;
}

/** How many descriptors from 3 on are passed as LISTEN_FDS; 0 where they are meant for another process. */
export function listeningCount(sys: Sys): number {
  const text = variable(sys, "LISTEN_FDS");
  if (text === undefined) return 0;
  const pid = variable(sys, "LISTEN_PID");
  if (pid !== undefined && pid !== String(sys.getpid())) return 0;
  const count = Number(text);
  return Number.isInteger(count) && count > 0 && count <= LISTENING_MAX ? count : 0;
}

/** An environment with the variables of sd_listen_fds(3) in place of others of their names; as runc, for process 1. */
export function withListening(
  env: readonly string[],
  count: number,
  names: string | undefined,
): readonly string[] {
  if (count === 0) return env;
  const added = [`LISTEN_FDS=${count}`, "LISTEN_PID=1"];
  if (names !== undefined) added.push(`LISTEN_FDNAMES=${names}`);
  const kept = env.filter((each) => {
    return !added.some((other) => each.startsWith(other.slice(0, other.indexOf("=") + 1)));
  });
  return [...kept, ...added];
}
