/**
 * Statistics from the files of cgroup v2, in the names of v1 where there are such.
 * Sources: Documentation/admin-guide/cgroup-v2.rst; accounting/psi.rst; opencontainers/cgroups, fs2/.
 */

import {
  type JsonObject,
  keyValues,
  memoryEntry,
  numberIn,
  pidsStats,
  type ReadFile,
  type Stats,
  sorted,
  unlessZero,
} from "./stats.ts";

const UINT64_MAX = (1n << 64n) - 1n;
const MICROSECOND_NS = 1000n;

/**
 * What a v2 cgroup knows.
 * @param isWhole v2 has all controllers; beside v1 only those whose files are there are told
 */
export function statsV2(read: ReadFile, pageSizes: readonly string[], isWhole: boolean): Stats {
  const ifThere = (file: string): boolean => isWhole || read(file) !== undefined;
  return {
    ...(isWhole ? cpuStats(read) : {}),
    ...(ifThere("memory.current") ? { memory: memoryStats(read) } : {}),
    ...(ifThere("pids.current") ? { pids: pidsOf(read) } : {}),
    ...(ifThere("io.stat") ? { blkio: ioStats(read("io.stat") ?? "") } : {}),
    ...(isWhole ? { hugetlb: hugetlbStats(read, pageSizes) } : {}),
    psi: {
      ...pressure("cpu", read("cpu.pressure")),
      ...pressure("memory", read("memory.pressure")),
      ...pressure("io", read("io.pressure")),
    },
  };
}

function cpuStats(read: ReadFile): Pick<Stats, "cpuUsage" | "throttling"> {
  const stat = keyValues(read("cpu.stat"));
  const nanoseconds = (name: string): bigint => (stat.get(name) ?? 0n) * MICROSECOND_NS;
  return {
    cpuUsage: {
      total: unlessZero(nanoseconds("usage_usec")),
      kernel: nanoseconds("system_usec"),
      user: nanoseconds("user_usec"),
    },
    throttling: {
      periods: unlessZero(stat.get("nr_periods")),
      throttledPeriods: unlessZero(stat.get("nr_throttled")),
      throttledTime: unlessZero(nanoseconds("throttled_usec")),
    },
  };
}

/** v1 counts memory and swap together: so does runc for v2. */
function memoryStats(read: ReadFile): JsonObject {
  const raw = keyValues(read("memory.stat"));
  const usage = numberIn(read("memory.current"));
  const limit = numberIn(read("memory.max"));
  const swapMax = read("memory.swap.max");
  const swapLimit = numberIn(swapMax);
  const both = swapLimit === UINT64_MAX || limit === UINT64_MAX ? UINT64_MAX : limit + swapLimit;
  const bothUsage = usage + numberIn(read("memory.swap.current"));
  return {
    cache: unlessZero(raw.get("file")),
    usage: memoryEntry(limit, usage, numberIn(read("memory.peak")), 0n),
    swap: memoryEntry(swapMax === undefined ? limit : both, bothUsage, 0n, 0n),
    raw: sorted(raw),
  };
}

/** Without the controller the processes are counted, as far as they are not below. */
function pidsOf(read: ReadFile): JsonObject {
  if (read("pids.current") !== undefined) return pidsStats(read);
  const procs = read("cgroup.procs") ?? "";
  return { current: unlessZero(BigInt(procs.split("\n").length - 1)) };
}

/** Each list of runc, by the key of io.stat, with the word of v1 for it. */
const IO_KEYS: ReadonlyMap<string, readonly [list: string, op: string]> = new Map([
  ["rbytes", ["ioServiceBytesRecursive", "Read"]],
  ["wbytes", ["ioServiceBytesRecursive", "Write"]],
  ["rios", ["ioServicedRecursive", "Read"]],
  ["wios", ["ioServicedRecursive", "Write"]],
]);

function ioStats(text: string): JsonObject {
  const lists: { [name: string]: JsonObject[] } = {};
  for (const line of text.split("\n")) {
    const [device = "", ...pairs] = line.split(" ");
    const [major, minor] = device.split(":");
    for (const pair of minor === undefined ? [] : pairs) {
      const [key = "", value] = pair.split("=");
      const [list, op] = IO_KEYS.get(key) ?? [];
      if (list === undefined) continue;
      lists[list] ??= [];
      lists[list].push({
        major: unlessZero(numberIn(major)),
        minor: unlessZero(numberIn(minor)),
        op,
        value: unlessZero(numberIn(value)),
      });
    }
  }
  return lists;
}

function hugetlbStats(read: ReadFile, pageSizes: readonly string[]): JsonObject {
  const sizes = pageSizes.map((size) => {
    const current = read(`hugetlb.${size}.rsvd.current`) ?? read(`hugetlb.${size}.current`);
    const failcnt = keyValues(read(`hugetlb.${size}.events`)).get("max") ?? 0n;
    return [size, { usage: unlessZero(numberIn(current)), failcnt }] as const;
  });
  return Object.fromEntries(sizes);
}

/** Lines as `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. */
function pressure(name: "cpu" | "memory" | "io", text: string | undefined): Stats["psi"] {
  if (text === undefined) return {};
  const kinds: { [kind: string]: JsonObject } = {};
  for (const line of text.split("\n")) {
    const [kind = "", ...pairs] = line.split(" ");
    if (kind !== "some" && kind !== "full") continue;
    const numbers = new Map(pairs.map((pair) => pair.split("=") as [string, string]));
    kinds[kind] = {
      avg10: Number(numbers.get("avg10") ?? 0),
      avg60: Number(numbers.get("avg60") ?? 0),
      avg300: Number(numbers.get("avg300") ?? 0),
      total: numberIn(numbers.get("total")),
    };
  }
  return { [name]: kinds };
}
