/** `--ulimit` to the OCI's rlimits. Source: getrlimit(2) for the names. */
import { TareError } from "@tare/spec/error.ts";
import type { Rlimit } from "@tare/spec/oci-runtime.ts";
import type { UlimitRequest } from "../container/request.ts";

/** Names as `--ulimit` takes them. */
export const ULIMIT_NAMES: readonly string[] =
  "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  );

/** RLIM_INFINITY, which `--ulimit` spells -1. */
const UNLIMITED = 2n ** 64n - 1n;

/** The last of a name wins. */
export function planRlimits(requests: readonly UlimitRequest[]): Rlimit[] {
  const limits = new Map<string, Rlimit>();
  for (const request of requests) limits.set(request.name, toRlimit(request));
  return [...limits.values()];
}

function toRlimit(request: UlimitRequest): Rlimit {
  const text = `${request.name}=${request.soft}:${request.hard}`;
  if (!ULIMIT_NAMES.includes(request.name)) {
    throw new TareError("bad_input", `Cannot use --ulimit "${text}": no such limit`, {
      hint: `One of: ${ULIMIT_NAMES.join(" ")}`,
    });
  }
  const soft = toKernel(request.soft);
  const hard = toKernel(request.hard);
  if (soft > hard) {
    throw new TareError("bad_input", `Cannot use --ulimit "${text}": soft is above hard`);
  }
  return { type: `RLIMIT_${request.name.toUpperCase()}`, soft, hard };
}

function toKernel(value: bigint): bigint {
  return value < 0n ? UNLIMITED : value;
}
