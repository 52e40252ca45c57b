/**
 * Statistics from the files of cgroup v1.
 * Sources: Documentation/admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller,hugetlb}.rst;
 * opencontainers/cgroups, fs/.
 */

import {
  cpusetStats,
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

/** Nanoseconds of a clock tick: USER_HZ is 100 on the architectures that we run on. */
const TICK_NS = 10_000_000n;

/** What the hierarchy with these controllers knows. */
export function statsV1(
  controllers: readonly string[],
  read: ReadFile,
  pageSizes: readonly string[],
): Stats {
  const has = (name: string): boolean => controllers.includes(name);
  return {
    ...(has("cpuacct") ? { cpuUsage: cpuUsage(read) } : {}),
    ...(has("cpu") ? { throttling: throttling(read) } : {}),
    ...(has("cpuset") ? { cpuset: cpusetStats(read) } : {}),
    ...(has("memory") ? { memory: memoryStats(read) } : {}),
    ...(has("pids") ? { pids: pidsStats(read) } : {}),
    ...(has("blkio") ? { blkio: blkioStats(read) } : {}),
    ...(has("hugetlb") ? { hugetlb: hugetlbStats(read, pageSizes) } : {}),
  };
}

function cpuUsage(read: ReadFile): JsonObject {
  const ticks = keyValues(read("cpuacct.stat"));
  const numbers = (text: string | undefined): bigint[] =>
    words(text ?? "").map((word) => numberIn(word));
  const modes = (read("cpuacct.usage_all") ?? "").split("\n").slice(1).map(numbers);
  const column = (index: number): bigint[] =>
    modes.filter((row) => row.length > index).map((row) => row[index] ?? 0n);
  return {
    total: unlessZero(numberIn(read("cpuacct.usage"))),
    percpu: some(numbers(read("cpuacct.usage_percpu"))),
    percpu_kernel: some(column(2)),
    percpu_user: some(column(1)),
    kernel: (ticks.get("system") ?? 0n) * TICK_NS,
    user: (ticks.get("user") ?? 0n) * TICK_NS,
  };
}

function throttling(read: ReadFile): JsonObject {
  const stat = keyValues(read("cpu.stat"));
  return {
    periods: unlessZero(stat.get("nr_periods")),
    throttledPeriods: unlessZero(stat.get("nr_throttled")),
    throttledTime: unlessZero(stat.get("throttled_time")),
  };
}

function memoryStats(read: ReadFile): JsonObject {
  const raw = keyValues(read("memory.stat"));
  const entry = (name: string): JsonObject | undefined => {
    const number = (ending: string): bigint => numberIn(read(`memory.${name}${ending}`));
    return memoryEntry(
      number("limit_in_bytes"),
      number("usage_in_bytes"),
      number("max_usage_in_bytes"),
      number("failcnt"),
    );
  };
  return {
    cache: unlessZero(raw.get("cache")),
    usage: entry(""),
    swap: entry("memsw."),
    kernel: entry("kmem."),
    kernelTCP: entry("kmem.tcp."),
    raw: sorted(raw),
  };
}

/** Each list of runc by the file of BFQ that fills it. */
const BFQ_FILES = [
  ["ioServiceBytesRecursive", "io_service_bytes_recursive"],
  ["ioServicedRecursive", "io_serviced_recursive"],
  ["ioQueueRecursive", "io_queued_recursive"],
  ["ioServiceTimeRecursive", "io_service_time_recursive"],
  ["ioWaitTimeRecursive", "io_wait_time_recursive"],
  ["ioMergedRecursive", "io_merged_recursive"],
  ["ioTimeRecursive", "time_recursive"],
  ["sectorsRecursive", "sectors_recursive"],
] as const;

/** BFQ counts most; without it the throttling layer counts bytes and operations. */
function blkioStats(read: ReadFile): JsonObject {
  const bfq = BFQ_FILES.map(([name, file]) => [name, entries(read(`blkio.bfq.${file}`))] as const);
  const counted = Object.fromEntries(bfq.filter(([, list]) => list !== undefined));
  if (bfq[0]?.[1] !== undefined) return counted;
  const throttle = (file: string) =>
    entries(read(`blkio.throttle.${file}_recursive`)) ?? entries(read(`blkio.throttle.${file}`));
  return {
    ioServiceBytesRecursive: throttle("io_service_bytes"),
    ioServicedRecursive: throttle("io_serviced"),
  };
}

/** Lines as `8:0 Read 4096` or `8:0 4096`; the line of the total is left out. */
function entries(text: string | undefined): readonly JsonObject[] | undefined {
  return some(
    (text ?? "").split("\n").flatMap((line): JsonObject[] => {
      const [device = "", ...rest] = words(line);
      const [major, minor] = device.split(":");
      const value = rest.at(-1);
      if (minor === undefined || value === undefined) return [];
      return [
        {
          major: unlessZero(numberIn(major)),
          minor: unlessZero(numberIn(minor)),
          op: rest.length > 1 ? rest[0] : undefined,
          value: unlessZero(numberIn(value)),
        },
      ];
    }),
  );
}

function hugetlbStats(read: ReadFile, pageSizes: readonly string[]): JsonObject {
  const sizes = pageSizes.map((size) => {
    const reserved = `hugetlb.${size}.rsvd.`;
    const prefix = read(`${reserved}usage_in_bytes`) === undefined ? `hugetlb.${size}.` : reserved;
    const number = (ending: string): bigint => numberIn(read(prefix + ending));
    const entry = {
      usage: unlessZero(number("usage_in_bytes")),
      max: unlessZero(number("max_usage_in_bytes")),
      failcnt: number("failcnt"),
    };
    return [size, entry] as const;
  });
  return Object.fromEntries(sizes);
}

function words(line: string): string[] {
  return line
    .split(" ")
    .map((word) => word.trim())
    .filter((word) => word !== "");
}

function some<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length === 0 ? undefined : list;
}
