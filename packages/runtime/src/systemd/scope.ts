/**
 * A container's cgroups with systemd as their manager: a transient scope around its first process. What
 * systemd does not know (v1 hierarchies of no unit, limits without a property) is done as without it, in
 * the directories that the scope has. A part: no other container reads it.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Resources } from "@tare/spec/oci-runtime.ts";
import { adoptCgroup } from "../cgroup/adopt.ts";
import { DEFAULT_DEVICES } from "../cgroup/default-devices.ts";
import { devicePolicy } from "../cgroup/device-rules.ts";
import type { CgroupHost } from "../cgroup/host.ts";
import { type CgroupLocation, splitPath } from "../cgroup/path.ts";
import type { CgroupPlan } from "../cgroup/plan.ts";
import { type CgroupState, plannedState, type UnitState } from "../cgroup/state.ts";
import { waitFor } from "../process/wait.ts";
import { NO_FD, O_CLOEXEC } from "../sys/abi-file.ts";
import { SIGCHLD } from "../sys/abi-process.ts";
import { check } from "../sys/check.ts";
import { retried, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { annotationProperties } from "./annotations.ts";
import { deviceProperties } from "./devices.ts";
import { isUserManager, Manager } from "./manager.ts";
import {
  creationProperties,
  type LimitValue,
  limitProperties,
  needsVersion,
  type Property,
  unitProperties,
  withWholePercents,
} from "./properties.ts";
import { nameScope, type ScopeName } from "./unit.ts";

export { withWholePercents };

/** crun's: the container's cgroup below its scope, for who wants the scope for systemd alone. */
const SUBGROUP = "run.oci.systemd.subgroup";

export type ScopeAsk = {
  readonly host: CgroupHost;
  readonly id: string;
  /** `linux.cgroupsPath`. */
  readonly cgroupsPath: string | undefined;
  readonly annotations: ReadonlyMap<string, string>;
  readonly resources: Resources;
};

/** A scope that can be made: everything that may be wrong with it was looked at. */
export class Scope {
  readonly #manager: Manager;
  readonly #ask: ScopeAsk;
  readonly #name: ScopeName;
  readonly #isUser: boolean;
  readonly #asked: readonly Property[];
  /** The container's cgroup, for planCgroup. */
  readonly location: CgroupLocation;

  /** See prepareScope. */
  static prepare(sys: Sys, ask: ScopeAsk): Scope {
    const isUser = isUserManager(sys);
    if (ask.host.mode === "none") {
      throw new TareError("no_cgroup", "Cannot use the systemd cgroup manager: no cgroups here");
    }
    if (isUser && ask.host.mode !== "v2") {
      const why = "a user's own may make cgroups on v2 only";
      throw new TareError("no_cgroup", `Cannot use the systemd cgroup manager: ${why}`);
    }
    const name = nameScope(ask.cgroupsPath, { id: ask.id, isUser });
    const asked = annotationProperties(ask.annotations);
    const subgroup = splitPath(ask.annotations.get(SUBGROUP) ?? "", `annotation ${SUBGROUP}`);
    const manager = Manager.open(sys, isUser);
    try {
      const root = splitPath(manager.controlGroup(), "systemd's ControlGroup");
      const components = [...root, ...name.components, ...subgroup];
      const location = { from: "mountpoint", components } as const;
      return new Scope(manager, ask, name, isUser, asked, location);
    } catch (error) {
      manager[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(
    manager: Manager,
    ask: ScopeAsk,
    name: ScopeName,
    isUser: boolean,
    asked: readonly Property[],
    location: CgroupLocation,
  ) {
    this.#manager = manager;
    this.#ask = ask;
    this.#name = name;
    this.#isUser = isUser;
    this.#asked = asked;
    this.location = location;
  }

  /** Gives the connection up, as a process must that is not to be systemd's caller. */
  [Symbol.dispose](): void {
    this.#manager[Symbol.dispose]();
  }

  /**
   * Makes the scope with a process in it, then the rest. `note` is told what to write down as soon as
   * something is there that has to be taken away again.
   */
  start(sys: Sys, pid: number, asked: CgroupPlan, note: (state: CgroupState) => void): void {
    const plan = { ...asked, writes: withWholePercents(asked.writes) };
    const version = this.#ask.host.mode === "v2" ? 2 : 1;
    const { unit, slice } = this.#name;
    const systemdVersion = needsVersion(plan.writes) ? this.#manager.version() : 0;
    const own = [
      ...unitProperties({ id: this.#ask.id, slice, pid }, version),
      ...creationProperties(plan.writes, systemdVersion),
      ...this.#devices(version),
      ...limitProperties(plan.writes, systemdVersion),
    ];
    const named = new Set(this.#asked.map(({ name }) => name));
    const properties = [...own.filter(({ name }) => !named.has(name)), ...this.#asked];
    this.#manager.startTransient(unit, properties);
    const { planned: _over, ...state } = plannedState(plan);
    note({ ...state, unit: { name: unit, isUser: this.#isUser } });
    adoptCgroup(sys, plan, pid);
  }

  /** A user's systemd has no say in devices; file permissions have. */
  #devices(version: 1 | 2): readonly Property[] {
    if (this.#isUser) return [];
    return deviceProperties(devicePolicy(this.#ask.resources.devices, DEFAULT_DEVICES), version);
  }
}

/**
 * Connects to systemd and finds the scope's place.
 * @throws TareError `no_cgroup` without systemd; `bad_input` for a path or an annotation.
 */
export function prepareScope(sys: Sys, ask: ScopeAsk): Scope {
  return Scope.prepare(sys, ask);
}

/**
 * Ends a scope whose processes and cgroups are gone. Such a scope ends by itself, also a failed one
 * (CollectMode), and so is no reason to keep the container: where systemd cannot be reached, or is
 * busy for too long, it will do it later.
 */
export function stopScope(sys: Sys, unit: UnitState): void {
  try {
    using manager = Manager.open(sys, unit.isUser);
    manager.stop(unit.name);
  } catch (error) {
    if (!(error instanceof TareError)) throw error;
  }
}

/** Tells systemd the limits that a container has from now on, so that it keeps them. */
export function updateUnit(sys: Sys, unit: UnitState, writes: readonly LimitValue[]): void {
  using manager = Manager.open(sys, unit.isUser);
  const version = needsVersion(writes) ? manager.version() : 0;
  manager.setProperties(unit.name, limitProperties(writes, version));
}

/**
 * Forks, and has systemd move the new process into a container's cgroup before it goes on: for a
 * caller that may not move it, a user whose session is another cgroup of the machine's. `path` is that
 * cgroup, the unit's or one below it. Answers as fork(2) does.
 */
export function cloneIntoScope(sys: Sys, unit: UnitState, path: string): number {
  using manager = Manager.open(sys, unit.isUser);
  const fds = new Int32Array(2);
  check(sys.pipe2(fds, O_CLOEXEC), "pipe2");
  using reading = new OwnedFd(sys, fds[0] as Fd);
  using writing = new OwnedFd(sys, fds[1] as Fd);
  const pid = check(sys.clone3(0, SIGCHLD, NO_FD), "clone3");
  if (pid === 0) {
    writing.close();
    const word = retried(() => sys.read(reading.fd, new Uint8Array(1)));
    if (check(word, "read") === 0) sys.exit_group(1);
    return 0;
  }
  try {
    const components = path.split("/");
    const below = components.slice(components.indexOf(unit.name) + 1);
    manager.attach(unit.name, `/${below.join("/")}`, [pid]);
    writeAll(sys, writing.fd, Uint8Array.of(1), "pipe");
    return pid;
  } catch (error) {
    writing.close();
    waitFor(sys, pid);
    throw error;
  }
}
