import { describe, expect, test } from "bun:test";
import type { Config, Process } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { parseProcess } from "@tare/spec/oci-runtime-parse-process.ts";
import { planIoPriority, planPersonality, planScheduler } from "./scheduling.ts";

type Fields = { readonly [name: string]: unknown };

function processOf(fields: Fields): Process {
  return parseProcess(JSON.stringify({ cwd: "/", user: { uid: 0, gid: 0 }, ...fields }));
}

describe("scheduler", () => {
  const base = {
    policy: "SCHED_OTHER",
    nice: 0,
    priority: 0,
    flags: [],
    runtime: 0n,
    deadline: 0n,
    period: 0n,
  };

  const attrOf = (scheduler: Fields): DataView => {
    const [step] = planScheduler(processOf({ scheduler }));
    if (step?.op !== "scheduler") throw new Error("no scheduler step");
    return new DataView(step.attr.buffer);
  };

  test("none where none is configured", () => {
    expect(planScheduler(processOf({}))).toEqual([]);
  });

  test.each([
    ["SCHED_OTHER", 0],
    ["SCHED_FIFO", 1],
    ["SCHED_RR", 2],
    ["SCHED_BATCH", 3],
    ["SCHED_ISO", 4],
    ["SCHED_IDLE", 5],
    ["SCHED_DEADLINE", 6],
  ])("%s is %d", (policy, number) => {
    expect(attrOf({ policy }).getUint32(4, true)).toBe(number);
  });

  test("the fields lie where sched_setattr(2) has them", () => {
    const attr = attrOf({
      policy: "SCHED_DEADLINE",
      nice: -5,
      priority: 7,
      runtime: 1_000_000,
      deadline: 2_000_000,
      period: 3_000_000,
      flags: ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"],
    });
    expect(attr.byteLength).toBe(48);
    expect(attr.getUint32(0, true)).toBe(48);
    expect(attr.getBigUint64(8, true)).toBe(3n);
    expect(attr.getInt32(16, true)).toBe(-5);
    expect(attr.getInt32(20, true)).toBe(7);
    expect(attr.getBigUint64(32, true)).toBe(2_000_000n);
    expect(attr.getBigUint64(40, true)).toBe(3_000_000n);
  });

  test("64 bits of a time are exact", () => {
    const scheduler = '{"policy":"SCHED_DEADLINE","runtime":9007199254740993}';
    const text = `{"cwd":"/","user":{"uid":0,"gid":0},"scheduler":${scheduler}}`;
    const [step] = planScheduler(parseProcess(text));
    if (step?.op !== "scheduler") throw new Error("no scheduler step");
    expect(new DataView(step.attr.buffer).getBigUint64(24, true)).toBe(9_007_199_254_740_993n);
  });

  test("an unknown policy or flag is refused", () => {
    const scheduler = { ...base, policy: "SCHED_MAGIC" };
    expect(() => planScheduler({ ...processOf({}), scheduler })).toThrow("SCHED_MAGIC");
    const flagged = { ...base, flags: ["SCHED_FLAG_MAGIC"] };
    expect(() => planScheduler({ ...processOf({}), scheduler: flagged })).toThrow("FLAG_MAGIC");
  });
});

describe("I/O priority", () => {
  test.each([
    ["IOPRIO_CLASS_RT", 4, (1 << 13) | 4],
    ["IOPRIO_CLASS_BE", 7, (2 << 13) | 7],
    ["IOPRIO_CLASS_IDLE", 0, 3 << 13],
  ])("%s", (name, priority, number) => {
    const [step] = planIoPriority(processOf({ ioPriority: { class: name, priority } }));
    expect(step?.op === "io-priority" ? step.priority : undefined).toBe(number);
  });

  test("an unknown class is refused", () => {
    const ioPriority = { class: "IOPRIO_CLASS_MAGIC", priority: 0 };
    expect(() => planIoPriority({ ...processOf({}), ioPriority })).toThrow("CLASS_MAGIC");
    expect(planIoPriority(processOf({}))).toEqual([]);
  });
});

describe("personality", () => {
  const configOf = (linux: Fields): Config =>
    parseConfig(JSON.stringify({ ociVersion: "1.0.0", root: { path: "r" }, linux }));

  test("LINUX32 shows a 32-bit machine, LINUX the usual one", () => {
    const persona = (domain: string) => {
      const [step] = planPersonality(configOf({ personality: { domain } }));
      return step?.op === "personality" ? step.persona : undefined;
    };
    expect(persona("LINUX")).toBe(0);
    expect(persona("LINUX32")).toBe(8);
    expect(planPersonality(configOf({}))).toEqual([]);
  });

  test("a flag is refused: the specification defines none", () => {
    const config = configOf({ personality: { domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"] } });
    expect(() => planPersonality(config)).toThrow("ADDR_NO_RANDOMIZE");
  });
});
