/** The configuration that `spec` writes: a shell with the usual isolation. Pure. */

import { OCI_VERSION } from "@tare/spec/oci-runtime.ts";

const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

const MASKED =
  "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats " +
  "/proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware " +
  "/sys/devices/virtual/powercap";
const READONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger";

type Ids = { readonly uid: number; readonly gid: number };

export type Example = {
  /** A caller without privileges: root of a user namespace, and nothing that would need more. */
  readonly ids: Ids | undefined;
  /** Whether cgroup v2 is all there is: as runc, with v1 no cgroup namespace is asked for. */
  readonly unified: boolean;
};

export function exampleConfig({ ids: rootless, unified }: Example): object {
  return {
    ociVersion: OCI_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "tare",
    mounts: mounts(rootless !== undefined),
    linux: {
      ...(rootless === undefined
        ? { resources: { devices: [{ allow: false, access: "rwm" }] } }
        : userMaps(rootless)),
      namespaces: namespaces(rootless !== undefined, unified).map((type) => ({ type })),
      maskedPaths: MASKED.split(" "),
      readonlyPaths: READONLY.split(" "),
    },
  };
}

function userMaps({ uid, gid }: Ids): object {
  return {
    uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
  };
}

function namespaces(rootless: boolean, unified: boolean): readonly string[] {
  const all = ["pid", "ipc", "uts", "mount", ...(unified ? ["cgroup"] : [])];
  // Without root, sysfs cannot be mounted for a network of one's own, so the host's is bound.
  return rootless ? [...all, "user"] : [...all, "network"];
}

function mounts(rootless: boolean): object[] {
  const safe = ["nosuid", "noexec", "nodev"];
  const devpts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: rootless ? devpts : [...devpts, "gid=5"],
    },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...safe, "mode=1777", "size=65536k"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: safe },
    rootless
      ? { destination: "/sys", type: "none", source: "/sys", options: ["rbind", ...safe, "ro"] }
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: [...safe, "ro"] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: [...safe, "relatime", "ro"],
    },
  ];
}
