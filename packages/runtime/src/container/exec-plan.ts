/**
 * The plan of a further process in a container, for `exec`. Two processes apply it: a stage, which no
 * process of the container can see, goes in and gives up what the program must not have; then it
 * forks the process, which is in the container's pid namespace from its first instruction. Pure.
 */

import type { NamespaceType, Process } from "@tare/spec/oci-runtime.ts";
import { type LaunchFacts, planLaunch, planProcessSetup } from "../process/plan.ts";
import type { ExecRecord } from "./exec-record.ts";
import { NAMESPACE_FLAGS } from "./namespaces.ts";
import type { ExecStep, ProcessStep } from "./step.ts";

export type ExecFacts = LaunchFacts & {
  /** Whether the caller is in the container's user namespace already: it cannot be joined again. */
  readonly isInUserNamespace: boolean;
  /** Processors after the cgroup is joined, as a mask. */
  readonly processors: Uint8Array;
  /**
   * Late: what the container can see of the process has no more rights than its program will have.
   * Early: where its filter, which binds from then on, would refuse the fork, or its scheduling end there.
   */
  readonly fork: "late" | "early";
};

export function planExec(process: Process, record: ExecRecord, facts: ExecFacts): ExecStep[] {
  const types = record.linux.namespaces.map(({ type }) => type);
  const setup = planProcessSetup({ process });
  const steps: ExecStep[] = [
    { op: "enter-cgroup", why: "limits must hold from the first instruction on" },
    { op: "affinity", mask: facts.processors, why: "those of the caller are its own matter" },
    ...setup.filter(({ op }) => op !== "find-program"),
    { op: "leave-host", why: "what is open leads out of the container" },
    ...planEntry(types, facts, record.keyring),
  ];
  if (process.terminal) {
    const { width = 0, height = 0 } = process.consoleSize ?? {};
    const why = "the terminal is one of the container's devpts";
    steps.push({ op: "terminal", width, height, why });
  }
  steps.push(...setup.filter(({ op }) => op === "find-program"));
  const launch = planLaunch(record, process, facts);
  const birth = planBirth(process);
  if (facts.fork === "early") return [...steps, ...birth, ...launch];
  // With no_new_privs the filter needs no right: then the new process loads it.
  const last = process.noNewPrivileges ? "seccomp" : "execute";
  const at = launch.findIndex(({ op }) => op === last);
  return [...steps, ...launch.slice(0, at), ...birth, ...launch.slice(at)];
}

/** From outside to inside: all namespaces by one call, since each step between has half of both. */
function planEntry(
  types: readonly NamespaceType[],
  { isInUserNamespace }: ExecFacts,
  keyring: string | undefined,
): ExecStep[] {
  const joined = types.filter((type) => type !== "user" || !isInUserNamespace);
  const namespaces = joined.reduce((flags, type) => flags | NAMESPACE_FLAGS[type], 0);
  const steps: ExecStep[] = [
    { op: "enter", namespaces, why: "the process lives where the container does" },
  ];
  if (types.includes("user")) {
    steps.push({ op: "become-root", why: "root of the user namespace owns the others" });
  }
  if (keyring !== undefined) {
    steps.push({ op: "keyring", name: keyring, why: "the caller's keys must stay unseen" });
  }
  return steps;
}

function planBirth(process: Process): (ExecStep | ProcessStep)[] {
  const steps: ExecStep[] = [
    { op: "hide", why: "a change of user may have undone it" },
    { op: "fork", why: "only a new process is in the pid namespace that was joined" },
    { op: "session", why: "no terminal of the caller may be reached (TIOCSTI)" },
  ];
  if (process.terminal) {
    steps.push({ op: "control-terminal", why: "keys such as ^C are for this process" });
  }
  return steps;
}
