/**
 * A container's limits as properties of its unit, made from the writes that the planners of v1 and v2
 * ask for. The writes are done as well: systemd logs what the kernel refuses and goes on, and for many
 * files it has no property. But what it has one for it writes again whenever it sees fit (on
 * daemon-reload), so it must know the same values. Pure.
 * Sources: systemd.resource-control(5), org.freedesktop.systemd1(5).
 */

import type { LimitWrite } from "../cgroup/limit.ts";
import type { Value } from "../dbus/signature.ts";

/** A property of a unit, by its name on D-Bus. */
export type Property = { readonly name: string; readonly signature: string; readonly value: Value };

/** What a file has, or is to have. */
export type LimitValue = Pick<LimitWrite, "file" | "value">;

/** "infinity" */
const INFINITY = 0xffff_ffff_ffff_ffffn;
const PERIOD_USEC = 100_000n;
/** A percent of a CPU: what systemd shares quotas out in. */
const PERCENT_USEC = 10_000n;
const SECOND_USEC = 1_000_000n;
/** The kernel has room for 8192 CPUs and fewer memory nodes. */
const CPU_MAX = 8191;
/** Since when `CPUWeight=idle` is known. */
const IDLE_VERSION = 252;
/** Since when a scope has `OOMPolicy`. */
const OOM_POLICY_VERSION = 253;

const NUMBERS = new Map<string, string>([
  ["memory.max", "MemoryMax"],
  ["memory.low", "MemoryLow"],
  ["memory.high", "MemoryHigh"],
  ["memory.min", "MemoryMin"],
  ["memory.swap.max", "MemorySwapMax"],
  ["memory.limit_in_bytes", "MemoryLimit"],
  ["pids.max", "TasksMax"],
  ["cpu.weight", "CPUWeight"],
  ["cpu.shares", "CPUShares"],
  ["blkio.weight", "BlockIOWeight"],
]);
const MASKS = new Map<string, string>([
  ["cpuset.cpus", "AllowedCPUs"],
  ["cpuset.mems", "AllowedMemoryNodes"],
]);

/** What a container's unit begins with, whatever its limits are. */
export function unitProperties(
  { id, slice, pid }: { readonly id: string; readonly slice: string; readonly pid: number },
  version: 1 | 2,
): readonly Property[] {
  const yes = (name: string): Property => ({ name, signature: "b", value: true });
  return [
    { name: "Description", signature: "s", value: `tare container ${id}` },
    { name: "Slice", signature: "s", value: slice },
    { name: "PIDs", signature: "au", value: [pid] },
    // The container and we make cgroups below it, and systemd leaves them alone.
    yes("Delegate"),
    yes("CPUAccounting"),
    yes("MemoryAccounting"),
    yes("TasksAccounting"),
    yes(version === 1 ? "BlockIOAccounting" : "IOAccounting"),
    // It must not wait for, or be stopped before, what the machine's own scopes are.
    { name: "DefaultDependencies", signature: "b", value: false },
    // A unit that failed is forgotten with the others: nobody has to reset it.
    { name: "CollectMode", signature: "s", value: "inactive-or-failed" },
  ];
}

/** Whether any of the limits is one that only newer versions of systemd know, so that it is asked. */
export function needsVersion(writes: readonly LimitValue[]): boolean {
  return writes.some(({ file }) => file === "cpu.idle" || file === "memory.oom.group");
}

/** The properties for limits; a value that systemd has no words for is left to the write. */
export function limitProperties(
  writes: readonly LimitValue[],
  systemdVersion: number,
): readonly Property[] {
  const isIdle = systemdVersion >= IDLE_VERSION && lastValue(writes, "cpu.idle") === "1";
  const found = writes.flatMap((write): readonly Property[] => {
    if (write.file === "cpu.weight" && isIdle) return [];
    return oneProperty(write);
  });
  const idle: readonly Property[] = isIdle ? [number64("CPUWeight", 0n)] : [];
  return [...found, ...idle, ...quotaProperties(writes)];
}

/** Properties that systemd takes only when the unit is made. */
export function creationProperties(
  writes: readonly LimitValue[],
  systemdVersion: number,
): readonly Property[] {
  const group = lastValue(writes, "memory.oom.group");
  if (systemdVersion < OOM_POLICY_VERSION || (group !== "0" && group !== "1")) return [];
  return [{ name: "OOMPolicy", signature: "s", value: group === "1" ? "kill" : "continue" }];
}

function oneProperty({ file, value }: LimitValue): readonly Property[] {
  const mask = MASKS.get(file);
  if (mask !== undefined) {
    const bits = maskOf(value);
    return bits === undefined ? [] : [{ name: mask, signature: "ay", value: bits }];
  }
  if (file === "io.bfq.weight" || file === "io.weight") return ioWeight(file, value);
  const name = NUMBERS.get(file);
  const limit = name === undefined ? undefined : limitOf(value);
  if (name === undefined || limit === undefined) return [];
  // Of no tasks at all systemd knows nothing.
  return [number64(name, name === "TasksMax" && limit === 0n ? 1n : limit)];
}

/** Weights of single devices stay with the write: systemd leaves those alone that it was not told of. */
function ioWeight(file: string, value: string): readonly Property[] {
  const bare = value.startsWith("default ") ? value.slice("default ".length) : value;
  const weight = limitOf(bare);
  if (weight === undefined || weight === INFINITY) return [];
  return [number64("IOWeight", file === "io.weight" ? weight : ioWeightOfBfq(weight))];
}

/**
 * systemd turns a weight of 1 to 10000 into BFQ's 1 to 1000, with 100 in the middle of both: backwards,
 * so that it writes the weight that was asked for.
 */
function ioWeightOfBfq(weight: bigint): bigint {
  return weight <= 100n ? weight : 100n + ((weight - 100n) * 9900n) / 900n;
}

/**
 * Quotas in whole percents, rounded up, since that is what systemd keeps: what is written is then what
 * it would write.
 */
export function withWholePercents<Write extends LimitValue>(
  writes: readonly Write[],
): readonly Write[] {
  const cfsPeriod = limitOf(lastValue(writes, "cpu.cfs_period_us") ?? "") ?? PERIOD_USEC;
  return writes.map((write) => {
    const { file, value } = write;
    if (file === "cpu.cfs_quota_us") {
      const quota = limitOf(value);
      return isNumber(quota) ? { ...write, value: `${wholeQuota(quota, cfsPeriod)}` } : write;
    }
    if (file !== "cpu.max") return write;
    const { quota, period, words } = readCpuMax(value);
    if (!isNumber(quota)) return write;
    const rest = words.slice(1).map((word) => ` ${word}`);
    return { ...write, value: `${wholeQuota(quota, period ?? PERIOD_USEC)}${rest.join("")}` };
  });
}

function isNumber(limit: bigint | undefined): limit is bigint {
  return limit !== undefined && limit !== INFINITY;
}

function wholeQuota(quota: bigint, period: bigint): bigint {
  const usec = perSecond(quota, period);
  return usec % PERCENT_USEC === 0n ? quota : (upToPercent(usec) * period) / SECOND_USEC;
}

/** Microseconds of CPU a second. */
function perSecond(quota: bigint, period: bigint): bigint {
  return period === 0n ? 0n : (quota * SECOND_USEC) / period;
}

function upToPercent(usec: bigint): bigint {
  return ((usec + PERCENT_USEC - 1n) / PERCENT_USEC) * PERCENT_USEC;
}

function quotaProperties(writes: readonly LimitValue[]): readonly Property[] {
  const max = lastValue(writes, "cpu.max");
  if (max !== undefined) {
    const { quota, period } = readCpuMax(max);
    return quota === undefined ? [] : quotaOf(quota, period);
  }
  const quota = lastValue(writes, "cpu.cfs_quota_us");
  const period = lastValue(writes, "cpu.cfs_period_us");
  if (quota === undefined && period === undefined) return [];
  return quotaOf(limitOf(quota ?? "-1") ?? INFINITY, limitOf(period ?? ""));
}

function quotaOf(quota: bigint, period: bigint | undefined): readonly Property[] {
  const usec = quota === INFINITY ? INFINITY : upToPercent(perSecond(quota, period ?? PERIOD_USEC));
  const per = number64("CPUQuotaPerSecUSec", usec);
  return period === undefined ? [per] : [number64("CPUQuotaPeriodUSec", period), per];
}

/** "QUOTA PERIOD" or "QUOTA" alone, as in cgroup-v2.rst; undefined for what is no number. */
function readCpuMax(value: string) {
  const words = value.split(" ").filter((word) => word !== "");
  const [quota = "", period] = words;
  return { quota: limitOf(quota), period: limitOf(period ?? ""), words };
}

function lastValue(writes: readonly LimitValue[], file: string): string | undefined {
  return writes.findLast((write) => write.file === file)?.value.trim();
}

function number64(name: string, value: bigint): Property {
  return { name, signature: "t", value };
}

const UNITS = "KMGTPE";

/** A number as the kernel reads one, "max" or -1 for none; undefined where it is no such thing. */
function limitOf(text: string): bigint | undefined {
  const trimmed = text.trim();
  if (trimmed === "max" || trimmed === "-1") return INFINITY;
  const unit = UNITS.indexOf(trimmed.slice(-1).toUpperCase());
  const hasUnit = trimmed !== "" && unit >= 0;
  const digits = hasUnit ? trimmed.slice(0, -1) : trimmed;
  if (digits === "" || digits.length > 20 || ![...digits].every(isDigit)) return undefined;
  const number = BigInt(digits) << (hasUnit ? BigInt(10 * (unit + 1)) : 0n);
  return number < INFINITY ? number : undefined;
}

function isDigit(character: string): boolean {
  return character >= "0" && character <= "9";
}

/**
 * A list as "0-3,7" as a mask, the lowest in the first bit of the first byte. Undefined where it is no
 * such list: the kernel has the word on that.
 */
export function maskOf(list: string): Uint8Array | undefined {
  const bits = new Uint8Array((CPU_MAX + 1) / 8);
  let length = 0;
  for (const range of list.split(",").map((each) => each.trim())) {
    if (range === "") continue;
    const [first = "", last = first, ...more] = range.split("-");
    if (more.length > 0 || !isIndex(first) || !isIndex(last)) return undefined;
    for (let at = Number(first); at <= Number(last); at++) {
      bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
      length = Math.max(length, (at >> 3) + 1);
    }
  }
  return length === 0 ? undefined : bits.slice(0, length);
}

function isIndex(text: string): boolean {
  const isShort = text !== "" && text.length <= 4;
  return isShort && [...text].every(isDigit) && Number(text) <= CPU_MAX;
}
