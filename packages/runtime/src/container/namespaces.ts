/** The namespace part of a container's plan: which are new, which are joined, in which order. Pure. */

import { TareError } from "@tare/spec/error.ts";
import type { Config, NamespaceType } from "@tare/spec/oci-runtime.ts";
import {
  CLONE_NEWCGROUP,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWPID,
  CLONE_NEWTIME,
  CLONE_NEWUSER,
  CLONE_NEWUTS,
} from "../sys/abi-process.ts";
import { keyringName } from "./keyring.ts";
import type { ContainerFacts } from "./plan.ts";
import type { CloneStep, NamespaceStep } from "./step.ts";

/** Flags of clone3(2), unshare(2) and setns(2): namespaces(7). */
export const NAMESPACE_FLAGS: { readonly [type in NamespaceType]: number } = {
  user: CLONE_NEWUSER,
  pid: CLONE_NEWPID,
  network: CLONE_NEWNET,
  ipc: CLONE_NEWIPC,
  uts: CLONE_NEWUTS,
  mount: CLONE_NEWNS,
  cgroup: CLONE_NEWCGROUP,
  time: CLONE_NEWTIME,
};

/** Joined in this order: the user namespace gives the right to join the rest, the mount namespace changes every path. */
const JOIN_ORDER: readonly NamespaceType[] = [
  "user",
  "pid",
  "network",
  "ipc",
  "uts",
  "time",
  "cgroup",
  "mount",
];

export type NamespacePlan = { readonly clone: CloneStep; readonly init: readonly NamespaceStep[] };

export function hasNew(config: Config, type: NamespaceType): boolean {
  return config.linux.namespaces.some((each) => each.type === type && each.path === undefined);
}

function joins(config: Config): { type: NamespaceType; path: string }[] {
  const found = config.linux.namespaces.flatMap(({ type, path }) =>
    path === undefined ? [] : [{ type, path }],
  );
  return found.sort((one, other) => JOIN_ORDER.indexOf(one.type) - JOIN_ORDER.indexOf(other.type));
}

/**
 * A new user namespace without maps gets the only one that every caller may make: who calls is its
 * root. As crun; runc refuses it.
 */
export function withOwnMaps(
  config: Config,
  own: () => { readonly uid: number; readonly gid: number },
): Config {
  const { uidMappings, gidMappings } = config.linux;
  if (!hasNew(config, "user") || uidMappings.length + gidMappings.length > 0) return config;
  const { uid, gid } = own();
  const linux = {
    ...config.linux,
    uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
  };
  return { ...config, linux };
}

/** Refuses what the namespaces cannot carry. */
export function checkNamespaces(config: Config): void {
  const has = (type: NamespaceType) => config.linux.namespaces.some((each) => each.type === type);
  const need = (type: NamespaceType, field: string) => {
    if (has(type)) return;
    throw new TareError(
      "bad_input",
      `Cannot set ${field}: the container has no ${type} namespace`,
      {
        hint: `Add {"type": "${type}"} to linux.namespaces`,
      },
    );
  };
  need("mount", "root.path");
  if (config.hostname !== undefined) need("uts", "hostname");
  if (config.domainname !== undefined) need("uts", "domainname");
  if (config.linux.netDevices.size > 0) need("network", "linux.netDevices");
  const { timeOffsets, uidMappings, gidMappings } = config.linux;
  if (timeOffsets.boottime !== undefined || timeOffsets.monotonic !== undefined) {
    need("time", "linux.timeOffsets");
  }
  if (uidMappings.length + gidMappings.length > 0) need("user", "linux.uidMappings");
  if (hasNew(config, "user") && (uidMappings.length === 0 || gidMappings.length === 0)) {
    throw new TareError(
      "bad_input",
      "Cannot make a user namespace: linux.uidMappings or gidMappings is empty",
    );
  }
}

/**
 * New namespaces are made by one clone3(2). The cgroup namespace comes later: its root is the cgroup
 * that its maker is in, and the first process has to enter the container's first.
 */
export function planNamespaces(
  config: Config,
  facts: Pick<ContainerFacts, "id" | "keyring" | "entersCgroup">,
): NamespacePlan {
  const fresh = config.linux.namespaces
    .filter(({ type, path }) => path === undefined && type !== "cgroup")
    .map(({ type }) => type);
  const joined = joins(config);
  // A process in a user namespace cannot join what the host owns, and what it makes must belong to
  // that user namespace: then everything is joined first, by a stage between us and the container.
  const offsets = config.linux.timeOffsets;
  const timed = offsets.boottime !== undefined || offsets.monotonic !== undefined;
  const mapped = config.linux.namespaces.some(({ type }) => type === "user");
  const stage = mapped && (joined.length > 0 || timed);
  const later = stage ? [] : joined.filter(({ type }) => type !== "pid");
  const clone: CloneStep = {
    namespaces: fresh,
    flags: fresh.reduce((flags, type) => flags | NAMESPACE_FLAGS[type], 0),
    joined: stage ? joined : joined.filter(({ type }) => type === "pid"),
    stage,
    offsets: timed ? offsets : undefined,
  };
  return { clone, init: planInside(config, later, facts) };
}

function planInside(
  config: Config,
  later: readonly { type: NamespaceType; path: string }[],
  { id, keyring, entersCgroup }: Parameters<typeof planNamespaces>[1],
): NamespaceStep[] {
  const steps: NamespaceStep[] = [];
  if (!entersCgroup) {
    // As whom we were made: a user's systemd moves that user's processes only.
    const why = "limits must hold before anything is done";
    steps.push({ op: "wait-cgroup", why });
  }
  if (config.linux.namespaces.some(({ type }) => type === "user")) {
    steps.push({ op: "become-root", why: "root of the user namespace owns the others" });
  }
  if (!hasNew(config, "pid")) {
    const why = "the processes that are there already must not trace or open this one";
    steps.push({ op: "hide", why });
  }
  if (entersCgroup) {
    steps.push({ op: "enter-cgroup", why: "limits must hold from the first instruction on" });
  }
  const all = "the container's cpuset decides, not where the caller may run";
  steps.push({ op: "all-processors", why: all });
  for (const { type, path } of later) {
    steps.push({ op: "join", type, path, why: `linux.namespaces gives a path for ${type}` });
  }
  if (hasNew(config, "cgroup")) {
    steps.push({ op: "cgroup-namespace", why: "the container's cgroup is the root that it sees" });
  }
  steps.push({ op: "session", why: "no terminal of the caller may be reached (TIOCSTI)" });
  if (keyring) {
    steps.push({ op: "keyring", name: keyringName(id), why: "the caller's keys must stay unseen" });
  }
  if (hasNew(config, "network")) {
    steps.push({ op: "loopback", why: "a new network namespace starts with lo down" });
  }
  if (config.hostname !== undefined) {
    steps.push({ op: "hostname", name: config.hostname, why: "the configuration names the host" });
  }
  if (config.domainname !== undefined) {
    const name = config.domainname;
    steps.push({ op: "domainname", name, why: "the configuration names the domain" });
  }
  return steps;
}
