/**
 * What the engine must know of the machine to plan a container, read once per command.
 * Everything comes from /proc and /sys; nothing is guessed.
 */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { capabilitiesInMask } from "../bundle/capabilities.ts";

export type HostFacts = {
  /** As `uname -m` says: x86_64, aarch64. */
  readonly architecture: string;
  /** Such as 6.1.0-18-amd64. */
  readonly kernel: string;
  readonly hostname: string;
  readonly cgroupVersion: 1 | 2;
  /** Our bounding set: nobody can be given more. */
  readonly capabilities: readonly string[];
  readonly cpus: number;
  readonly swapAccounting: boolean;
  /** Paths of sysfs that tell a neighbour's load by temperature. */
  readonly thermalPaths: readonly string[];
};

const CPU_DIR = "/sys/devices/system/cpu";

/** Reads the facts; a machine without cgroups counts as v1 and the runtime reports it. */
export function readHostFacts(): HostFacts {
  const cgroupVersion = existsSync("/sys/fs/cgroup/cgroup.controllers") ? 2 : 1;
  const cpuNames = readdirSync(CPU_DIR).filter(isCpuName);
  return {
    architecture: process.arch === "arm64" ? "aarch64" : "x86_64",
    kernel: readLine("/proc/sys/kernel/osrelease"),
    hostname: readLine("/proc/sys/kernel/hostname"),
    cgroupVersion,
    capabilities: readBoundingSet(),
    cpus: cpuNames.length,
    swapAccounting: hasSwapAccounting(cgroupVersion),
    thermalPaths: cpuNames
      .map((name) => `${CPU_DIR}/${name}/thermal_throttle`)
      .filter((path) => existsSync(path)),
  };
}

/** The line `CapBnd:` of proc_pid_status(5): 16 hexadecimal digits. */
function readBoundingSet(): string[] {
  const status = readFileSync("/proc/self/status", "latin1");
  const line = status.split("\n").find((each) => each.startsWith("CapBnd:")) ?? "CapBnd:\t0";
  return capabilitiesInMask(BigInt(`0x${line.slice("CapBnd:".length).trim()}`));
}

function hasSwapAccounting(cgroupVersion: 1 | 2): boolean {
  if (cgroupVersion === 1) return existsSync("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
  // The root group has no such file; where no other group is, nothing tells, and most kernels count.
  const groups = readdirSync("/sys/fs/cgroup", { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  const counts = groups.map(({ name }) => existsSync(`/sys/fs/cgroup/${name}/memory.swap.max`));
  return counts.length === 0 || counts.includes(true);
}

function isCpuName(name: string): boolean {
  return name.startsWith("cpu") && name.length > 3 && [...name.slice(3)].every(isDigit);
}

function isDigit(char: string): boolean {
  return char >= "0" && char <= "9";
}

function readLine(path: string): string {
  return readFileSync(path, "utf8").trimEnd();
}
