/**
 * What `create` does with a config.json before it makes anything, on a made-up machine: read, parse,
 * check, plan. Every cgroup version, so that each planner sees what comes.
 */

import { type CreateRequest, prepare } from "../../packages/runtime/src/container/create.ts";
import { compileSeccomp } from "../../packages/runtime/src/seccomp/compile.ts";
import { parseConfig } from "../../packages/spec/src/oci-runtime-parse.ts";
import { type Files, worldWith } from "./world.ts";

const V2 = {
  mountinfo: "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
  cgroup: "0::/user\n",
};

const V1_NAMES = ["cpuset", "cpu,cpuacct", "memory", "pids", "devices", "freezer", "blkio"].concat([
  "hugetlb",
  "net_cls,net_prio",
  "rdma",
]);

const V1 = {
  mountinfo: V1_NAMES.map(
    (name, at) =>
      `${30 + at} 20 0:${30 + at} / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}\n`,
  ).join(""),
  cgroup: V1_NAMES.map((name, at) => `${at + 1}:${name}:/user\n`).join(""),
};

export type Machine = "v1" | "v2";

function filesOf(machine: Machine, config: string): Files {
  const { mountinfo, cgroup } = machine === "v1" ? V1 : V2;
  return new Map([
    ["/bundle/config.json", config],
    ["/proc/self/mountinfo", mountinfo],
    ["/proc/self/cgroup", cgroup],
    ["/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n"],
    ["/sys/module/apparmor/parameters/enabled", "Y\n"],
    ["/sys/fs/selinux/enforce", "1"],
  ]);
}

const REQUEST: CreateRequest = {
  id: "x",
  bundle: "/bundle",
  configFile: "/bundle/config.json",
  rootless: undefined,
  manager: "cgroupfs",
  root: "/run/x",
  startElsewhere: true,
  preserveFds: 0,
  keyring: true,
  console: "keep",
  onConsole: () => {},
  pivot: true,
  activation: undefined,
  onPid: () => {},
  owner: "root",
  debug: () => {},
  warn: () => {},
};

/** Reads a configuration and, on a machine, plans its container and filter; throws what `create` would. */
export function planText(text: string, machine: Machine | undefined): void {
  if (machine === undefined) return void parseConfig(text);
  const { config } = prepare(worldWith(filesOf(machine, text)).sys, REQUEST);
  const { seccomp } = config.linux;
  // A filter takes longer than all the rest: the small ones have every kind of rule.
  const count = seccomp?.syscalls.reduce((sum, { names }) => sum + names.length, 0) ?? 0;
  if (seccomp !== undefined && count < 20) compileSeccomp(seccomp, { native: "SCMP_ARCH_X86_64" });
}
