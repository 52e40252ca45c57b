import { describe, expect, test } from "bun:test";
import type { Record } from "../container/record.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { removeMounts } from "./running.ts";

const ENOMEM = 12;
const ECHILD = 10;
const FAILED = 1 << 8;
const REPORT = '{"kind":"error","report":{"code":"system","message":"Cannot do it"}}';

/** What the child tells, or -errno of hearing it, and the status that it is waited for with. */
function visit(told: string | number, status: number): void {
  const { sys } = scriptedSys({
    clone3: () => 100,
    readlinkat: (_dir: number, _path: string, into: Uint8Array) => into.length,
    recvmsg: (_fd: number, into: Uint8Array) => {
      if (typeof told === "number") return told;
      into.set([...told].map((letter) => letter.charCodeAt(0)));
      return told.length;
    },
    wait4: (_pid: number, into: Int32Array) => {
      if (status < 0) return status;
      into[0] = status;
      return 100;
    },
  });
  const mounts = [{ destination: "/a" }] as unknown as Parameters<typeof removeMounts>[1]["mounts"];
  removeMounts(sys, { record: {} as Record, mounts, pid: 7, pidfd: 5 as Fd });
}

describe("a change of mounts", () => {
  test.each([
    ["it was done", "", 0],
    ["it was done, and nothing could be heard", -ENOMEM, 0],
    ["it was done, and the status is lost", "", -ECHILD],
  ])("is no failure where %s", (_how, told, status) => {
    expect(() => visit(told, status)).not.toThrow();
  });

  test.each([
    ["the child says why", REPORT, FAILED, "Cannot do it"],
    ["the child says why, and the status is lost", REPORT, -ECHILD, "Cannot do it"],
    ["the child was killed", "", 9, "the process in the container ended"],
    ["it failed, and nothing could be heard", -ENOMEM, FAILED, "recvmsg"],
  ])("is one where %s", (_how, told, status, message) => {
    expect(() => visit(told, status)).toThrow(message);
  });
});
