/**
 * What a container's record keeps for `exec`: config.json may be changed or gone by then, and has no
 * effect after create (runtime.md). Numbers of 64 bits are texts, since JSON rounds them. Pure.
 */

import type { Config, Linux, Process, Rlimit, Scheduler } from "@tare/spec/oci-runtime.ts";

/** The part of `linux` that decides how a process is started in a container that exists. */
export type LaunchLinux = Pick<
  Linux,
  "namespaces" | "gidMappings" | "personality" | "memoryPolicy"
>;

export type ExecRecord = {
  /** The container's own process: what a further one does not say, it has from there. */
  readonly process?: StoredProcess;
  readonly linux: LaunchLinux;
  /** The name of its session keyring; absent where it stayed in its caller's. */
  readonly keyring?: string;
  /** Flags of its filter, whose program is a file beside the record. */
  readonly filterFlags?: number;
};

type StoredProcess = Omit<Process, "rlimits" | "scheduler"> & {
  readonly rlimits: readonly (Omit<Rlimit, "soft" | "hard"> & {
    readonly soft: string;
    readonly hard: string;
  })[];
  readonly scheduler?: Omit<Scheduler, "runtime" | "deadline" | "period"> & {
    readonly runtime: string;
    readonly deadline: string;
    readonly period: string;
  };
};

export function toExecRecord(
  { process, linux }: Config,
  { keyring, filterFlags }: Pick<ExecRecord, "keyring" | "filterFlags">,
): ExecRecord {
  const { namespaces, gidMappings, personality, memoryPolicy } = linux;
  return {
    linux: {
      namespaces,
      gidMappings,
      ...(personality === undefined ? {} : { personality }),
      ...(memoryPolicy === undefined ? {} : { memoryPolicy }),
    },
    ...(process === undefined ? {} : { process: store(process) }),
    ...(keyring === undefined ? {} : { keyring }),
    ...(filterFlags === undefined ? {} : { filterFlags }),
  };
}

function store({ rlimits, scheduler, ...rest }: Process): StoredProcess {
  const stored = {
    ...rest,
    rlimits: rlimits.map(({ type, soft, hard }) => ({ type, soft: `${soft}`, hard: `${hard}` })),
  };
  if (scheduler === undefined) return stored;
  const { runtime, deadline, period, ...named } = scheduler;
  const times = { runtime: `${runtime}`, deadline: `${deadline}`, period: `${period}` };
  return { ...stored, scheduler: { ...named, ...times } };
}

/** The container's own process, as config.json had it; undefined where it had none. */
export function storedProcess({ process }: ExecRecord): Process | undefined {
  if (process === undefined) return undefined;
  const { rlimits, scheduler, ...rest } = process;
  const restored = {
    ...rest,
    rlimits: rlimits.map(({ type, soft, hard }) => {
      return { type, soft: BigInt(soft), hard: BigInt(hard) };
    }),
  };
  if (scheduler === undefined) return restored;
  const { runtime, deadline, period, ...named } = scheduler;
  const times = { runtime: BigInt(runtime), deadline: BigInt(deadline), period: BigInt(period) };
  return { ...restored, scheduler: { ...named, ...times } };
}
