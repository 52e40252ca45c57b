/**
 * What a container's record keeps for `exec`: config.json may be changed or gone by then, and has no
 * effect after create (runtime.md). Numbers of 64 bits are texts, since JSON rounds them. Pure.
 */

import { TareError } from "@tare/spec/error.ts";
import {
  failAt,
  type Place,
  readObject,
  readOptionalInteger,
  readOptionalString,
  UINT32_MAX,
} from "@tare/spec/json-read.ts";
import type { Config, Linux, Process } from "@tare/spec/oci-runtime.ts";
import { readLinux } from "@tare/spec/oci-runtime-parse-linux.ts";
import { readProcess } from "@tare/spec/oci-runtime-parse-process.ts";
import { damaged, isObject } from "./record.ts";

/** The part of `linux` that decides how a process is started in a container that exists. */
export type LaunchLinux = Pick<
  Linux,
  "namespaces" | "gidMappings" | "personality" | "memoryPolicy"
>;

export type ExecRecord = {
  /** The container's own process: what a further one does not say, it has from there. */
  readonly process?: Process;
  readonly linux: LaunchLinux;
  /** The name of its session keyring; absent where it stayed in its caller's. */
  readonly keyring?: string;
  /** Flags of its filter, whose program is a file beside the record. */
  readonly filterFlags?: number;
};

/** Of a number of 64 bits. */
const DIGITS_MAX = 20;

/** As JSON.stringify takes it; parseExecRecord reads it back. */
export function toExecRecord(
  { process, linux }: Config,
  { keyring, filterFlags }: Pick<ExecRecord, "keyring" | "filterFlags">,
): unknown {
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

function store({ rlimits, scheduler, ...rest }: Process): object {
  const stored = {
    ...rest,
    rlimits: rlimits.map(({ type, soft, hard }) => ({ type, soft: `${soft}`, hard: `${hard}` })),
  };
  if (scheduler === undefined) return stored;
  const { runtime, deadline, period, ...named } = scheduler;
  const times = {
    ...(runtime === undefined ? {} : { runtime: `${runtime}` }),
    ...(deadline === undefined ? {} : { deadline: `${deadline}` }),
    period: `${period}`,
  };
  return { ...stored, scheduler: { ...named, ...times } };
}

/**
 * The part of record `id` that `exec` goes by, from what JSON.parse gave; read as config.json is, with
 * the same checks.
 * @throws TareError `corrupt`
 */
export function parseExecRecord(value: unknown, id: string): ExecRecord {
  const place: Place = { fields: { exec: value }, key: "it", index: -1, parent: undefined };
  try {
    return readExecRecord(readObject(place, "exec"));
  } catch (error) {
    if (!(error instanceof TareError)) throw error;
    throw damaged(id, error.message.replace("Cannot read it: ", ""), error);
  }
}

function readExecRecord(place: Place): ExecRecord {
  const { process } = place.fields;
  const keyring = readOptionalString(place, "keyring");
  if (keyring?.includes("\0") === true) failAt(place, "keyring", "want no NUL");
  const filterFlags = readOptionalInteger(place, "filterFlags", 0, UINT32_MAX);
  const exact = { ...place, fields: { process: withNumbers(process) } };
  return {
    linux: readLinux(readObject(place, "linux")),
    ...(process === undefined ? {} : { process: readProcess(readObject(exact, "process")) }),
    ...(keyring === undefined ? {} : { keyring }),
    ...(filterFlags === undefined ? {} : { filterFlags }),
  };
}

/** The texts that `store` made are numbers again. */
function withNumbers(process: unknown): unknown {
  if (!isObject(process)) return process;
  const { rlimits, scheduler } = process;
  return {
    ...process,
    rlimits: Array.isArray(rlimits)
      ? rlimits.map((each) => inNumbers(each, ["soft", "hard"]))
      : rlimits,
    scheduler: inNumbers(scheduler, ["runtime", "deadline", "period"]),
  };
}

function inNumbers(value: unknown, names: readonly string[]): unknown {
  if (!isObject(value)) return value;
  const numbers = names.map((name) => [name, toNumber(value[name])] as const);
  return { ...value, ...Object.fromEntries(numbers) };
}

/** What is no number stays what it is, which the reader then refuses. */
function toNumber(value: unknown): unknown {
  const isWhole = typeof value === "string" && value !== "" && value.length <= DIGITS_MAX;
  return isWhole && [...value].every((digit) => digit >= "0" && digit <= "9")
    ? BigInt(value)
    : value;
}
