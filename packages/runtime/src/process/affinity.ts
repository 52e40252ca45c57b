/** Processors of a further process, before and after it joins the container's cgroup. Pure. */

import { TareError } from "@tare/spec/error.ts";
import { idMask } from "@tare/spec/id-list.ts";
import type { Process } from "@tare/spec/oci-runtime.ts";

/** A mask of sched_setaffinity(2): more than any kernel is built for (NR_CPUS is at most 8192). */
export const ALL_PROCESSORS = new Uint8Array(1024).fill(0xff);

export type Affinity = {
  /** Of the runtime, and so of the process until it has joined; undefined: as it is. */
  readonly initial: Uint8Array | undefined;
  /** Afterwards: all that the cgroup allows where nothing is asked (config.md, "execCPUAffinity"). */
  readonly final: Uint8Array;
};

export function planAffinity({ execCPUAffinity }: Process): Affinity {
  const { initial, final } = execCPUAffinity ?? {};
  return { initial: maskOf("initial", initial), final: maskOf("final", final) ?? ALL_PROCESSORS };
}

function maskOf(name: "initial" | "final", text: string | undefined): Uint8Array | undefined {
  if (text === undefined || text === "") return undefined;
  const mask = idMask(text);
  if (mask !== undefined && mask.length > 0) return mask;
  throw new TareError("bad_input", `Cannot use process.execCPUAffinity.${name} "${text}"`, {
    hint: "It is a list such as 0-3,7",
  });
}

/** As a number in hexadecimal: the form in which people compare masks. */
export function printMask(mask: Uint8Array): string {
  let number = 0n;
  for (const byte of mask.toReversed()) number = (number << 8n) | BigInt(byte);
  return `0x${number.toString(16)}`;
}
