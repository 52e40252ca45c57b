/**
 * Statistics of a container in the shape of runc's `events`: what v1 and v2 have in common. What Go
 * leaves out (`omitempty`) is left out here too. Numbers of the kernel have 64 bits.
 * Sources: runc, types/events.go and events.go; opencontainers/cgroups, stats.go.
 */

/** JSON with exact numbers; undefined is left out. */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

export type JsonObject = { readonly [key: string]: Json | undefined };

/** The content of a file in one of the container's cgroups; undefined where there is none. */
export type ReadFile = (file: string) => string | undefined;

/** What one hierarchy knows; those of other hierarchies are laid over it. */
export type Stats = {
  readonly cpuUsage?: JsonObject;
  readonly throttling?: JsonObject;
  readonly cpuset?: JsonObject;
  readonly memory?: JsonObject;
  readonly pids?: JsonObject;
  readonly blkio?: JsonObject;
  readonly hugetlb?: JsonObject;
  /** Pressure of cpu, memory and io: v2 alone. */
  readonly psi?: { readonly [name in "cpu" | "memory" | "io"]?: JsonObject };
};

const UINT64_MAX = (1n << 64n) - 1n;

/** The `data` of an event of type "stats". */
export function eventData(stats: Stats, intelRdt: JsonObject): JsonObject {
  return {
    cpu: {
      usage: unlessEmpty(stats.cpuUsage),
      throttling: unlessEmpty(stats.throttling),
      psi: stats.psi?.cpu,
    },
    cpuset: stats.cpuset ?? cpusetStats(() => undefined),
    memory: { ...stats.memory, psi: stats.psi?.memory },
    pids: stats.pids ?? {},
    blkio: { ...stats.blkio, psi: stats.psi?.io },
    hugetlb: stats.hugetlb ?? {},
    intel_rdt: intelRdt,
    network_interfaces: null,
  };
}

/** A number at the begin of a file; "max" is the largest; 0 where there is none. */
export function numberIn(text: string | undefined): bigint {
  const word = (text ?? "").trim();
  if (word === "max") return UINT64_MAX;
  return isDigits(word) ? BigInt(word) : 0n;
}

/** Left out where it is 0. */
export function unlessZero(number: bigint | undefined): bigint | undefined {
  return number === 0n ? undefined : number;
}

/** Left out where all its numbers are 0. */
function unlessEmpty(object: JsonObject | undefined): JsonObject | undefined {
  const isEmpty = Object.values(object ?? {}).every((value) => value === undefined || value === 0n);
  return isEmpty ? undefined : object;
}

/** Lines of a name and a number, by name. */
export function keyValues(text: string | undefined): ReadonlyMap<string, bigint> {
  const found = new Map<string, bigint>();
  for (const line of (text ?? "").split("\n")) {
    const [name = "", value = ""] = line.split(" ");
    if (isDigits(value)) found.set(name, BigInt(value));
  }
  return found;
}

/** One of runc's `MemoryEntry`. */
export function memoryEntry(
  limit: bigint,
  usage: bigint,
  max: bigint,
  failcnt: bigint,
): JsonObject | undefined {
  if (limit === 0n && usage === 0n && max === 0n && failcnt === 0n) return undefined;
  return { limit, usage: unlessZero(usage), max: unlessZero(max), failcnt };
}

/** Keys in the order that Go gives them. */
export function sorted(map: ReadonlyMap<string, bigint>): JsonObject | undefined {
  if (map.size === 0) return undefined;
  return Object.fromEntries([...map].sort(([one], [other]) => (one < other ? -1 : 1)));
}

export function pidsStats(read: ReadFile): JsonObject {
  const max = read("pids.max");
  const limit = max?.trim() === "max" ? 0n : numberIn(max);
  return { current: unlessZero(numberIn(read("pids.current"))), limit: unlessZero(limit) };
}

const CPUSET_FLAGS = [
  "mem_hardwall",
  "mem_exclusive",
  "memory_migrate",
  "memory_spread_page",
].concat(["memory_spread_slab", "memory_pressure", "sched_load_balance"]);

/** The files of v1; on v2 runc says 0 of all of them. */
export function cpusetStats(read: ReadFile): JsonObject {
  const flag = (name: string): bigint => numberIn(read(`cpuset.${name}`));
  const level = (read("cpuset.sched_relax_domain_level") ?? "0").trim();
  return {
    cpus: listOf(read("cpuset.cpus")),
    cpu_exclusive: flag("cpu_exclusive"),
    mems: listOf(read("cpuset.mems")),
    ...Object.fromEntries(CPUSET_FLAGS.map((name) => [name, flag(name)])),
    sched_relax_domain_level: level === "-1" ? -1n : numberIn(level),
  };
}

const CPUS_MAX = 65_536;

/** "0-2,7" as numbers; undefined where it is empty. */
function listOf(text: string | undefined): readonly number[] | undefined {
  const numbers: number[] = [];
  for (const part of (text ?? "").trim().split(",")) {
    const [from, to = from] = part.split("-").map(Number);
    if (part === "" || from === undefined || to === undefined) continue;
    for (let number = from; number <= to && numbers.length < CPUS_MAX; number++)
      numbers.push(number);
  }
  return numbers.length === 0 ? undefined : numbers;
}

function isDigits(text: string): boolean {
  return (
    text !== "" && text.length <= 20 && [...text].every((letter) => letter >= "0" && letter <= "9")
  );
}

/** As JSON.stringify, with numbers of any length. */
export function toJson(value: Json): string {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return `[${value.map(toJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value as JsonObject).flatMap(([key, field]) =>
    field === undefined ? [] : [`${JSON.stringify(key)}:${toJson(field)}`],
  );
  return `{${fields.join(",")}}`;
}
