import { describe, expect, test } from "bun:test";
import { decodeUtf8, encodeUtf8 } from "@tare/spec/bytes.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import type { Fd } from "../sys/types.ts";
import type { InitGift, InitState } from "./init.ts";
import { decodeLeft, encodeLeft } from "./left.ts";
import { planContainer } from "./plan.ts";

const SYS = {
  encode_utf8: encodeUtf8,
  decode_utf8: (bytes: Uint8Array): string => decodeUtf8(bytes, "left"),
};

const CONFIG = parseConfig(
  JSON.stringify({
    ociVersion: "1.0.2",
    root: { path: "rootfs" },
    process: {
      user: { uid: 1000, gid: 1000, additionalGids: [5] },
      args: ["sh", "-c", "echo größer"],
      env: ["A=1"],
      cwd: "/",
      rlimits: [{ type: "RLIMIT_FSIZE", soft: 1, hard: 2 }],
      capabilities: { effective: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"], bounding: ["CAP_CHOWN"] },
      scheduler: { policy: "SCHED_BATCH", nice: 5 },
    },
    hooks: { startContainer: [{ path: "/bin/hook", args: ["hook"], timeout: 3 }] },
    linux: { namespaces: [{ type: "mount" }] },
  }).replace('"soft":1', '"soft":18446744073709551615'),
);

/** A container that is about to wait. */
function before(filter: InitGift["filter"]): {
  readonly gift: InitGift;
  readonly state: InitState;
} {
  const plan = planContainer(CONFIG, {
    id: "x",
    bundle: "/b",
    keyring: true,
    cgroup: { mode: "v2", dirs: [], writes: [] },
    scheduling: [],
    groupsMayStay: false,
    isHostNamespace: () => false,
    entersCgroup: true,
    pivot: true,
    isRootless: false,
  });
  const gift = {
    channel: { fd: 7 },
    config: CONFIG,
    plan: { ...plan, init: [...plan.init] },
    startSocket: 9 as Fd,
    filter,
    preserveFds: 2,
    state: { ociVersion: "1.0.2", id: "x", status: "creating", bundle: "/b" },
  };
  const state = {
    root: 4,
    procfs: 5,
    callerMask: 0o22,
    program: { path: "/bin/sh", env: ["A=1"] },
  };
  return { gift: gift as unknown as InitGift, state: state as unknown as InitState };
}

describe("what is left crosses over whole", () => {
  test.each([[undefined], [{ program: new Uint8Array([0, 255, 7]), flags: 4 }]])(
    "with the filter %j",
    (filter) => {
      const { gift, state } = before(filter);
      const { left, program } = decodeLeft(SYS, encodeLeft(SYS, gift, state));
      const wait = gift.plan.init.findIndex(({ op }) => op === "wait-start");
      expect(wait).toBeGreaterThan(0);
      expect(left.steps).toEqual(gift.plan.init.slice(wait + 1));
      expect(left.config.process).toEqual(CONFIG.process);
      expect(left.config.hooks).toEqual(CONFIG.hooks);
      expect(left.config.process?.rlimits[0]?.soft).toBe(0xffff_ffff_ffff_ffffn);
      expect([left.channel, left.startSocket, left.root, left.procfs]).toEqual([
        7, 9, 4, 5,
      ] as Fd[]);
      expect([left.callerMask, left.preserveFds]).toEqual([0o22, 2]);
      expect(left.program).toEqual({ path: "/bin/sh", env: ["A=1"] });
      expect(left.filterFlags).toBe(filter?.flags);
      expect([...program]).toEqual([...(filter?.program ?? [])]);
    },
  );
});
