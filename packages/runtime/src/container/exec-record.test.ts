import { describe, expect, test } from "bun:test";
import { TareError } from "@tare/spec/error.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { parseExecRecord, toExecRecord } from "./exec-record.ts";

const CONFIG = parseConfig(
  JSON.stringify({
    ociVersion: "1.3.0",
    root: { path: "rootfs" },
    process: { cwd: "/", args: ["x"], scheduler: { policy: "SCHED_OTHER", nice: 3 } },
    linux: {
      namespaces: [{ type: "user" }, { type: "pid", path: "/proc/1/ns/pid" }],
      gidMappings: [{ containerID: 0, hostID: 1, size: 2 }],
      personality: { domain: "LINUX32" },
      memoryPolicy: { mode: "MPOL_BIND", nodes: "0" },
    },
  }),
);

/** What is on disk, with one field changed that `path` leads to. */
function stored(path?: string, value?: unknown): unknown {
  const more = { keyring: "_ses.x", filterFlags: 2 };
  const whole = JSON.parse(JSON.stringify(toExecRecord(CONFIG, more)));
  if (path === undefined) return whole;
  const names = path.split(".");
  const last = names.pop() ?? "";
  const place = names.reduce((at, name) => at[name], whole);
  place[last] = value;
  return whole;
}

describe("what exec goes by", () => {
  test("comes back from disk as it was", () => {
    const { process, linux, ...rest } = parseExecRecord(stored(), "x");
    expect(process).toEqual(CONFIG.process as NonNullable<typeof CONFIG.process>);
    const { namespaces, gidMappings, personality, memoryPolicy } = CONFIG.linux;
    expect(linux).toMatchObject({ namespaces, gidMappings, personality, memoryPolicy } as object);
    expect(rest).toEqual({ keyring: "_ses.x", filterFlags: 2 });
  });

  const wrong: [path: string, value: unknown][] = [
    ["linux", undefined],
    ["linux", []],
    ["linux.namespaces", "pid"],
    ["linux.namespaces", [{ type: "pidd" }]],
    ["linux.namespaces", [{ type: "__proto__" }]],
    ["linux.gidMappings", [{ containerID: "0" }]],
    ["linux.personality", { domain: 8 }],
    ["linux.memoryPolicy", { mode: "MPOL_BIND", nodes: "x" }],
    ["keyring", 7],
    ["keyring", "a\0b"],
    ["filterFlags", "2"],
    ["filterFlags", -1],
    ["filterFlags", 2 ** 32],
    ["process", "true"],
    ["process.cwd", "tmp"],
    ["process.args", [1]],
    ["process.env", {}],
    ["process.user", { uid: -1 }],
    ["process.user", { uid: 2 ** 32 - 1 }],
    ["process.capabilities", { bounding: "CAP_SYS_ADMIN" }],
    ["process.noNewPrivileges", "false"],
    ["process.rlimits", [{ type: "RLIMIT_CORE", soft: "", hard: "1" }]],
    ["process.rlimits", [{ type: "RLIMIT_CORE", soft: "1e3", hard: "1" }]],
    ["process.rlimits", [{ type: "RLIMIT_CORE", soft: "0".repeat(1_000_000), hard: "1" }]],
    ["process.rlimits", [null]],
    ["process.scheduler", { policy: "SCHED_OTHER", period: "x" }],
    ["process.scheduler", "SCHED_OTHER"],
  ];
  test.each(wrong)("%s of another kind (%j) is a damaged state", (path, value) => {
    let caught: unknown;
    try {
      parseExecRecord(stored(path, value), "x");
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(TareError);
    expect((caught as TareError).code).toBe("corrupt");
    expect((caught as TareError).message).toContain(`"x": exec.${path.split(".")[0]}`);
  });

  test.each([[null], [1], ["x"], [[]]])("%j is none", (value) => {
    expect(() => parseExecRecord(value, "x")).toThrow("Cannot read the state of container");
  });
});
