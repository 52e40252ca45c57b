/**
 * The whole plan of a container: config.json and what was read of the host become a list of steps.
 * Pure: no system call, no clock. Reading `planContainer` from top to bottom tells what happens.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Config } from "@tare/spec/oci-runtime.ts";
import type { CgroupPlan } from "../cgroup/plan.ts";
import { planDevices, planTakenDevices } from "../devices/plan.ts";
import { planCgroupMount } from "../mounts/cgroup-plan.ts";
import { planLateReadonly, planMounts, planProtection, planRoot } from "../mounts/plan.ts";
import type { HostNamespace } from "../mounts/sysctl.ts";
import { type LaunchFacts, planLaunch, planProcessSetup } from "../process/plan.ts";
import { checkNamespaces, hasNew, planNamespaces } from "./namespaces.ts";
import type { Plan, Step } from "./step.ts";

export type ContainerFacts = LaunchFacts & {
  readonly id: string;
  /** Whether the container gets a session keyring of its own. */
  readonly keyring: boolean;
  /** Absolute path of the bundle. */
  readonly bundle: string;
  readonly cgroup: CgroupPlan;
  /** Whether the first process enters its cgroups by itself; else it waits until it is in them. */
  readonly entersCgroup: boolean;
  /** Whether the caller is not root of the machine: root of another user namespace is neither. */
  readonly isRootless: boolean;
  readonly isHostNamespace: HostNamespace;
  /** Whether the host's tree is left by pivot_root(2); else by a chroot(2), which is weaker. */
  readonly pivot: boolean;
};

export function planContainer(config: Config, facts: ContainerFacts): Plan {
  checkNamespaces(config);
  const namespaces = planNamespaces(config, facts);
  return {
    clone: namespaces.clone,
    init: [
      ...namespaces.init,
      { op: "procfs", why: "kernel files are written through a mount that nobody can tamper with" },
      ...(hasNew(config, "mount") || config.root.path !== "/"
        ? planTree(config, facts)
        : planJoinedTree(config)),
      ...planProcessSetup(config),
      ...planStart(config, facts),
    ],
  };
}

/** The file system: outside the new root first, then `pivot`, and everything that can wait after it. */
function planTree(config: Config, facts: ContainerFacts): Step[] {
  const { hooks } = config;
  const steps: Step[] = [
    ...planRoot(config, facts.bundle),
    ...planMounts(config, {
      bundle: facts.bundle,
      cgroupMount: (target, options) =>
        planCgroupMount(facts.cgroup, target, options, hasNew(config, "cgroup")),
    }),
  ];
  if (hooks.prestart.length + hooks.createRuntime.length > 0) {
    steps.push({ op: "parent-hooks", why: "they run outside, before the root is left" });
  }
  if (hooks.createContainer.length > 0) {
    const why = "they run in the container's namespaces, before the root is left";
    steps.push({ op: "hooks", name: "createContainer", why });
  }
  steps.push(...planTakenDevices(config, facts.isRootless));
  steps.push(planEntry(config, facts));
  steps.push(...planDevices(config));
  if (config.process !== undefined && config.process.cwd !== "/") {
    const why = "the working directory is made where it is missing";
    steps.push({ op: "working-directory", path: config.process.cwd, why });
  }
  steps.push(
    ...planLateReadonly(config, facts.bundle),
    ...planProtection(config, facts.isHostNamespace),
  );
  return steps;
}

function planEntry(config: Config, { pivot }: ContainerFacts): Step {
  if (!pivot)
    return { op: "move-root", why: "the caller says that the host's root cannot be left" };
  return {
    op: "pivot",
    shared: config.linux.rootfsPropagation?.endsWith("shared") === true,
    why: "leave the host's tree for good: a chroot could be left again",
  };
}

/**
 * A joined mount namespace has its root and its mounts already, unless root.path names another root,
 * which is then made in it; what the one that is there cannot mean is refused.
 */
function planJoinedTree(config: Config): Step[] {
  const { root, mounts, linux } = config;
  const asked: readonly (readonly [field: string, isAsked: boolean])[] = [
    ["root.readonly", root.readonly],
    ["mounts", mounts.length > 0],
    ["linux.devices", linux.devices.length > 0],
    ["linux.maskedPaths", linux.maskedPaths.length > 0],
    ["linux.readonlyPaths", linux.readonlyPaths.length > 0],
    ["linux.sysctl", linux.sysctl.size > 0],
  ];
  const found = asked.find(([, isAsked]) => isAsked);
  if (found === undefined) return [];
  throw new TareError("unsupported", `Cannot use ${found[0]} in a joined mount namespace`, {
    hint: "The namespace has its own: leave the field out, or give a root.path",
  });
}

/** The wait for the word to start, and what follows it. */
function planStart(config: Config, facts: LaunchFacts): Step[] {
  const steps: Step[] = [{ op: "wait-start", why: "the caller decides when the program starts" }];
  if (config.hooks.startContainer.length > 0) {
    const why = "they run in the container, right before its program";
    steps.push({ op: "hooks", name: "startContainer", why });
  }
  if (config.process !== undefined) steps.push(...planLaunch(config, config.process, facts));
  else steps.push({ op: "execute", why: "who starts a container without a program is told so" });
  return steps;
}
