import { describe, expect, test } from "bun:test";
import { TareError, toReport } from "@tare/spec/error.ts";
import { parseMountOptions } from "../mounts/options.ts";
import { SysError } from "../sys/check.ts";
import { ofStep } from "./failed-step.ts";
import type { Step } from "./step.ts";

const options = parseMountOptions([]);
const why = "";
const proc: Step = { op: "mount", fstype: "proc", source: "proc", target: "/proc", options, why };
const data: Step = {
  op: "bind",
  index: 1,
  isPeer: false,
  idmap: undefined,
  source: "/x",
  target: "/data",
  options,
  why,
};
const sysctl: Step = { op: "sysctl", name: "net/ipv4/ip_forward", value: "x", why };
const steps: Step[] = [{ op: "session", why }, proc, { op: "procfs", why }, data, sysctl];

describe("the error of a step", () => {
  const told = (failed: Step, error: unknown) => {
    const named = ofStep(error, steps, failed);
    if (!(named instanceof TareError)) throw new Error("no error of ours");
    return named.message;
  };

  test("says first which field asked for it", () => {
    const gone = new SysError("open_tree", "/x", 2);
    const words = 'open_tree "/x": No such file or directory (ENOENT)';
    expect(told(data, gone)).toBe(`Cannot mount on "/data" (mounts[1]): ${words}`);
    const name = 'linux.sysctl "net.ipv4.ip_forward"';
    expect(told(sysctl, gone)).toBe(`Cannot set ${name}: ${words}`);
    const mask: Step = { op: "mask", path: "/a", why };
    expect(told(mask, gone)).toBe(`Cannot apply linux.maskedPaths "/a": ${words}`);
    const readonly: Step = { op: "read-only", path: "/a", why };
    expect(told(readonly, gone)).toBe(`Cannot apply linux.readonlyPaths "/a": ${words}`);
    const oom: Step = { op: "oom-score", value: 1, why };
    expect(told(oom, gone)).toBe(`Cannot set process.oomScoreAdj: ${words}`);
  });

  test("keeps a sentence of ours, its code and its hint", () => {
    const said = new TareError("conflict", "Cannot mount: why", { hint: "do" });
    const named = ofStep(said, steps, proc);
    const message = "Cannot mount: why (mounts[0])";
    expect(toReport(named)).toEqual({ code: "conflict", message, hint: "do" });
    expect((named as Error).cause).toBe(said);
  });

  test("is as it was where no field asked, or where it is a fault of ours", () => {
    const gone = new SysError("setsid", undefined, 1);
    expect(ofStep(gone, steps, { op: "session", why })).toBe(gone);
    const fault = new TypeError("x");
    expect(ofStep(fault, steps, proc)).toBe(fault);
  });
});
