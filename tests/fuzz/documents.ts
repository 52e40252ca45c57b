/** Good documents to change: what engines write, and one with everything that can be planned. */
import full from "../../packages/spec/samples/full-config.json";
import podman from "../../packages/spec/samples/podman-create.json";
import runc from "../../packages/spec/samples/runc-spec.json";
import rootless from "../../packages/spec/samples/runc-spec-rootless.json";
import { type Node, Raw } from "./mutate.ts";
import type { Machine } from "./plan.ts";

const INT64_MAX = 2 ** 63;
const UINT64_MAX = 2 ** 64;

/** The limits of 64-bit numbers, which an import of JSON has rounded, as they were. */
function exact(value: unknown): Node {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    if (value >= UINT64_MAX) return new Raw("18446744073709551615");
    return new Raw(value >= INT64_MAX ? "9223372036854775807" : String(value));
  }
  if (Array.isArray(value)) return value.map(exact);
  if (typeof value !== "object" || value === null) return value as Node;
  const entries = Object.entries(value).map(([key, inner]) => [key, exact(inner)] as const);
  return Object.fromEntries(entries);
}

/** With everything that can be planned on a machine: not what only some kernels have, or other cgroups. */
function planned(machine: Machine): Node {
  const { linux, process, ...rest } = full;
  const namespaces = linux.namespaces.map(({ type }) => ({ type }));
  const { intelRdt: _resctrl, mountLabel: _label, netDevices: _devices, ...kept } = linux;
  const { selinuxLabel: _selinux, ...labelled } = process;
  const program = { ...labelled, scheduler: { policy: "SCHED_BATCH", nice: 5 } };
  const { unified, memory, blockIO, cpu, network, ...limits } = linux.resources;
  const { kernel: _kernel, kernelTCP: _tcp, swappiness: _swappiness, ...common } = memory;
  const { realtimeRuntime: _runtime, realtimePeriod: _period, ...shares } = cpu;
  const resources =
    machine === "v2"
      ? { ...limits, unified, memory: common, cpu: shares }
      : { ...limits, memory, blockIO: throttles(blockIO), cpu: shares, network };
  const [first, ...others] = full.mounts;
  const more = [
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] },
    { destination: "/opt", type: "overlay", source: "o", options: ["lowerdir=/a:/b"] },
  ];
  const mounts = [first, ...others, ...more];
  return exact({ ...rest, mounts, process: program, linux: { ...kept, namespaces, resources } });
}

/** Without the leaf weights that no kernel has any more. */
function throttles(blockIO: (typeof full)["linux"]["resources"]["blockIO"]) {
  const { leafWeight: _leaf, weightDevice, ...rest } = blockIO;
  return { ...rest, weightDevice: weightDevice.map(({ leafWeight: _, ...device }) => device) };
}

/** A configuration, and the machine on which it can be planned; without one it is only read. */
export type Document = { readonly node: Node; readonly machine: Machine | undefined };

export const CONFIGS: readonly Document[] = [
  { node: exact(full), machine: undefined },
  { node: planned("v1"), machine: "v1" },
  { node: planned("v2"), machine: "v2" },
  { node: exact(runc), machine: "v1" },
  { node: exact(podman), machine: "v2" },
  { node: exact(rootless), machine: "v2" },
];

/** Of `exec --process` and `update --resources`. */
export const PROCESS: Node = exact(full.process);
export const RESOURCES: Node = exact(full.linux.resources);

/** The record of a container, a line each, as the state directory has it. */
export const RECORD: readonly Node[] = [
  {
    ociVersion: "1.3.0",
    id: "x",
    bundle: "/bundle",
    rootfs: "/bundle/rootfs",
    created: "2026-01-01T00:00:00.000Z",
    owner: "root",
    annotations: { a: "b" },
    hooks: {
      poststart: [{ path: "/bin/true", args: ["true"], env: ["A=b"], timeout: 5 }],
      poststop: [],
    },
    cgroup: {
      mode: "v2",
      planned: true,
      dirs: [{ version: 2, controllers: [], mountpoint: "/sys/fs/cgroup", path: "x", made: true }],
    },
    ready: false,
  },
  {
    cgroup: {
      mode: "v2",
      dirs: [{ version: 2, controllers: [], mountpoint: "/sys/fs/cgroup", path: "x", made: true }],
    },
  },
  { pid: 4_000_000, startTime: "123" },
  { ready: true },
];
