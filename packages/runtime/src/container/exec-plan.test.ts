import { describe, expect, test } from "bun:test";
import type { NamespaceType, Process } from "@tare/spec/oci-runtime.ts";
import { CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER } from "../sys/abi-process.ts";
import { type ExecFacts, planExec } from "./exec-plan.ts";

const PROCESS: Process = {
  terminal: false,
  cwd: "/",
  env: [],
  args: ["true"],
  rlimits: [],
  capabilities: { bounding: [], permitted: [], inheritable: [], effective: [], ambient: [] },
  noNewPrivileges: false,
  user: { uid: 1, gid: 1, additionalGids: [] },
};

const FACTS: ExecFacts = {
  isInUserNamespace: false,
  processors: new Uint8Array(8),
  fork: "late",
  scheduling: [],
  groupsMayStay: false,
};

function plan(process: Partial<Process> = {}, facts: Partial<ExecFacts> = {}) {
  const types: NamespaceType[] = ["pid", "mount", "user"];
  const linux = { namespaces: types.map((type) => ({ type })), gidMappings: [] };
  const record = { linux, keyring: "_ses.x" };
  return planExec({ ...PROCESS, ...process }, record, { ...FACTS, ...facts });
}

function ops(process?: Partial<Process>, facts?: Partial<ExecFacts>): string[] {
  return plan(process, facts).map(({ op }) => op);
}

describe("the plan of a further process", () => {
  test("leaves the host before it enters, and forks when every right is given up", () => {
    const all = ops();
    const order = ["enter-cgroup", "leave-host", "enter", "identity", "seccomp", "capabilities"];
    const places = [...order, "fork", "session", "execute"].map((op) => all.indexOf(op));
    expect(places).toEqual(places.toSorted((one, other) => one - other));
    expect(places).not.toContain(-1);
  });

  test("with no_new_privs the new process loads the filter, which binds it alone", () => {
    const all = ops({ noNewPrivileges: true });
    expect(all.indexOf("capabilities")).toBeLessThan(all.indexOf("fork"));
    expect(all.indexOf("seccomp")).toBeGreaterThan(all.indexOf("fork"));
  });

  test("forks first where the filter would refuse it", () => {
    const all = ops({}, { fork: "early" });
    expect(all.indexOf("fork")).toBeLessThan(all.indexOf("bounding-set"));
    expect(all.indexOf("fork")).toBeGreaterThan(all.indexOf("enter"));
  });

  test("has a terminal from inside, which controls it after the fork", () => {
    const all = ops({ terminal: true });
    expect(all.indexOf("terminal")).toBeGreaterThan(all.indexOf("enter"));
    expect(all.indexOf("control-terminal")).toBeGreaterThan(all.indexOf("session"));
  });

  test("joins the user namespace unless the caller is in it", () => {
    const namespaces = (facts: Partial<ExecFacts>) =>
      plan({}, facts).flatMap((step) => (step.op === "enter" ? [step.namespaces] : []));
    const others = CLONE_NEWPID | CLONE_NEWNS;
    expect(namespaces({})).toEqual([others | CLONE_NEWUSER]);
    expect(namespaces({ isInUserNamespace: true })).toEqual([others]);
  });
});
