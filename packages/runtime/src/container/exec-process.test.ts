import { describe, expect, test } from "bun:test";
import type { Process } from "@tare/spec/oci-runtime.ts";
import { type ProcessFlags, processOfFile, processOfFlags } from "./exec-process.ts";
import { parseExecRecord, toExecRecord } from "./exec-record.ts";

const OWN: Process = {
  terminal: true,
  consoleSize: { height: 1, width: 2 },
  cwd: "/work",
  env: ["PATH=/bin", "TERM=xterm"],
  args: ["init"],
  rlimits: [{ type: "RLIMIT_NOFILE", soft: 2n ** 64n - 1n, hard: 2n ** 64n - 1n }],
  apparmorProfile: "own",
  capabilities: {
    bounding: ["CAP_CHOWN"],
    permitted: ["CAP_CHOWN"],
    inheritable: [],
    effective: ["CAP_CHOWN"],
    ambient: [],
  },
  noNewPrivileges: true,
  oomScoreAdj: 7,
  scheduler: {
    policy: "SCHED_DEADLINE",
    nice: 0,
    priority: 0,
    flags: [],
    runtime: 2n ** 60n + 1n,
    deadline: 3n,
    period: 4n,
  },
  user: { uid: 5, gid: 6, umask: 0o27, additionalGids: [8] },
};

const FLAGS: ProcessFlags = {
  args: ["true"],
  cwd: undefined,
  env: [],
  user: undefined,
  additionalGids: [],
  terminal: false,
  label: undefined,
  apparmor: undefined,
  noNewPrivileges: false,
  capabilities: [],
};

function withFlags(flags: Partial<ProcessFlags>): Process {
  return processOfFlags({ ...FLAGS, ...flags }, OWN);
}

describe("the process of flags", () => {
  test("is the container's own with other arguments, and without its terminal", () => {
    const { consoleSize: _size, ...rest } = OWN;
    expect(withFlags({})).toEqual({ ...rest, args: ["true"], terminal: false });
  });

  test("a variable replaces one of its name, so that it is there once", () => {
    const { env } = withFlags({ env: ["PATH=/x", "A=1", "A=2=3", "EMPTY="] });
    expect(env).toEqual(["PATH=/x", "TERM=xterm", "A=2=3", "EMPTY="]);
  });

  test("what the container's own entries lack is no reason to refuse others", () => {
    const env = ["=B", "ALONE", "A=1"];
    const flags = { ...FLAGS, args: ["true"], env: ["A=2"] };
    expect(processOfFlags(flags, { ...OWN, env }).env).toEqual(["=B", "ALONE", "A=2"]);
  });

  test.each(["A", "", "=1"])("a variable %j is refused", (entry) => {
    expect(() => withFlags({ env: [entry] })).toThrow("want NAME=VALUE");
  });

  // CVE-2022-29162; that of containers whose own set is not empty is theirs.
  test("added capabilities are never inheritable", () => {
    const { capabilities } = withFlags({ capabilities: ["CAP_KILL", "CAP_SYS_ADMIN", "CAP_KILL"] });
    const all = ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"];
    expect(capabilities).toEqual({
      bounding: all,
      permitted: all,
      effective: all,
      ambient: ["CAP_KILL", "CAP_SYS_ADMIN"],
      inheritable: [],
    });
  });

  // CVE-2026-30892, CVE-2024-40635: the same parser as everywhere, and a table for this door.
  test.each([
    ["1", 1, 6],
    ["01", 1, 6],
    ["0", 0, 6],
    ["1:2", 1, 2],
    ["2147483648:4294967294", 2147483648, 4294967294],
  ])("user %j is %d:%d", (user, uid, gid) => {
    expect(withFlags({ user }).user).toEqual({ ...OWN.user, uid, gid });
  });

  test.each([
    "1:",
    ":1",
    ":",
    "0x1",
    " 1",
    "1 ",
    "+1",
    "-1",
    "root",
    "1:2:3",
    "4294967295",
    "4294967296",
    "1e3",
    "1.0",
    "\u0661",
  ])("user %j is refused", (user) => {
    expect(() => withFlags({ user })).toThrow("Cannot use user");
  });

  test("groups are added to the container's", () => {
    expect(withFlags({ additionalGids: ["9", "10"] }).user.additionalGids).toEqual([8, 9, 10]);
    for (const text of ["-1", "x", "1:2", "4294967295", ""]) {
      expect(() => withFlags({ additionalGids: [text] })).toThrow();
    }
  });

  test("no_new_privs is never taken away", () => {
    expect(withFlags({}).noNewPrivileges).toBe(true);
  });

  test("a relative directory and a missing command are refused", () => {
    expect(() => withFlags({ cwd: "x" })).toThrow("absolute");
    expect(() => withFlags({ args: [] })).toThrow("the command is missing");
  });

  test("a container without a process gives it next to nothing", () => {
    const { cwd, env, user, capabilities } = processOfFlags(FLAGS);
    expect({ cwd, env, uid: user.uid }).toEqual({ cwd: "/", env: [], uid: 0 });
    expect(Object.values(capabilities).flat()).toEqual([]);
  });
});

describe("the process of a file", () => {
  const { capabilities } = OWN;
  const file: Process = {
    terminal: false,
    cwd: "/",
    env: [],
    args: ["x"],
    rlimits: [],
    capabilities,
    noNewPrivileges: false,
    user: { uid: 0, gid: 0, additionalGids: [] },
  };

  test("has the container's limits, labels and scheduling where it has none", () => {
    const { rlimits, apparmorProfile, oomScoreAdj, scheduler } = OWN;
    const usual = { rlimits, apparmorProfile, oomScoreAdj, scheduler };
    const user = { ...file.user, umask: 0o27 };
    expect(processOfFile(file, OWN)).toEqual({ ...file, ...usual, user } as Process);
  });

  test("has its own where it has them", () => {
    const rlimits = [{ type: "RLIMIT_CORE", soft: 0n, hard: 0n }];
    const own = { ...file, rlimits, apparmorProfile: "b", user: { ...file.user, umask: 0 } };
    expect(processOfFile(own, OWN)).toMatchObject(own);
  });
});

test("a record gives the process back, with all 64 bits of its numbers", () => {
  const linux = { namespaces: [], gidMappings: [] };
  const config = { process: OWN, linux } as unknown as Parameters<typeof toExecRecord>[0];
  const text = JSON.stringify(toExecRecord(config, {}));
  expect(parseExecRecord(JSON.parse(text), "x").process).toEqual(OWN);
});
