/**
 * Which field of the configuration asked for a step that failed: the kernel names a path, and people
 * look for the line that they wrote. Pure.
 */

import { TareError } from "@tare/spec/error.ts";
import { SysError } from "../sys/check.ts";
import type { Step } from "./step.ts";

const MOUNT_STEPS: ReadonlySet<string> = new Set(["mount", "bind", "mount-cgroup", "remount"]);

/** The error of one of these steps, with its field; that of a step which no field asks for as it is. */
export function ofStep(error: unknown, steps: readonly Step[], failed: Step): unknown {
  const asked = askedBy(steps, failed);
  if (asked === undefined || !(error instanceof TareError)) return error;
  const { code, message, hint } = error;
  const more = hint === undefined ? {} : { hint };
  // A sentence of ours has its verb and its object already.
  const isSentence = !(error instanceof SysError) && message.startsWith("Cannot ");
  const words = isSentence ? `${message} (${asked.field})` : `${asked.words}: ${message}`;
  return new TareError(code, words, { cause: error, ...more });
}

type Asked = { readonly field: string; readonly words: string };

function askedBy(steps: readonly Step[], failed: Step): Asked | undefined {
  switch (failed.op) {
    case "mount":
    case "bind":
    case "mount-cgroup":
    case "remount": {
      const field = `mounts[${indexOf(steps, failed)}]`;
      return { field, words: `Cannot mount on "${failed.target}" (${field})` };
    }
    case "sysctl": {
      const field = `linux.sysctl "${failed.name.split("/").join(".")}"`;
      return { field, words: `Cannot set ${field}` };
    }
    case "mask":
      return path("linux.maskedPaths", failed.path);
    case "read-only":
      return path("linux.readonlyPaths", failed.path);
    case "oom-score":
      return { field: "process.oomScoreAdj", words: "Cannot set process.oomScoreAdj" };
    default:
      return undefined;
  }
}

function path(field: string, place: string): Asked {
  return { field, words: `Cannot apply ${field} "${place}"` };
}

/** Each entry of `mounts` is one step, in its order; a bind knows its number. */
function indexOf(steps: readonly Step[], failed: Step): number {
  return steps.filter(({ op }) => MOUNT_STEPS.has(op)).indexOf(failed);
}
