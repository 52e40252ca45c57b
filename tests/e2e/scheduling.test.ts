/** How the program is scheduled, where its memory comes from, as whose machine it sees itself. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { JsonObject } from "../harness/bundle.ts";
import { patiently } from "../harness/places.ts";
import { openScene, type Scene } from "../harness/scene.ts";
import { openGuest } from "./exec-scene.ts";

setDefaultTimeout(patiently(60_000));

/** Runs a shell line with more fields of `process` and `linux` than the harness has names for. */
function runWith(scene: Scene, sh: string, more: { process?: JsonObject; linux?: JsonObject }) {
  return scene.runIn({
    sh,
    edit: (config) => {
      Object.assign(config.process, more.process);
      Object.assign(config.linux, more.linux);
    },
  });
}

describe("process.scheduler", () => {
  /** Fields 19, 40 and 41 of proc_pid_stat(5): nice, priority, policy. */
  const SHOW = "cut -d' ' -f19,40,41 /proc/self/stat";
  test.each([
    [{ policy: "SCHED_OTHER", nice: 7 }, "7 0 0\n"],
    [{ policy: "SCHED_BATCH", nice: 19 }, "19 0 3\n"],
    [{ policy: "SCHED_IDLE" }, "0 0 5\n"],
    [{ policy: "SCHED_OTHER", nice: 3, flags: ["SCHED_FLAG_UTIL_CLAMP_MIN"] }, "3 0 0\n"],
  ])("%j", async (scheduler, shown) => {
    const scene = await openScene();
    const ran = await runWith(scene, SHOW, { process: { scheduler } });
    // A kernel without clamping says so by name, and starts nothing.
    if (ran.code !== 0) expect(ran.stderr).toContain("process.scheduler");
    else expect(ran.stdout).toBe(shown);
    if (!("flags" in scheduler)) expect(ran.code).toBe(0);
  });

  test("SCHED_FLAG_RESET_ON_FORK keeps it from children", async () => {
    const scene = await openScene();
    const flags = ["SCHED_FLAG_RESET_ON_FORK"];
    const scheduler = { policy: "SCHED_OTHER", nice: -5, flags };
    const ran = await runWith(scene, `${SHOW}; cut -d' ' -f19,41 /proc/1/stat`, {
      process: { scheduler },
    });
    expect(ran.stdout).toBe("0 0 0\n-5 0\n");
  });

  test.each([
    [{ policy: "SCHED_BATCH", nice: 4 }, "4 0 3\n4 0 3\n"],
    [{ policy: "SCHED_OTHER", nice: -5, flags: ["SCHED_FLAG_RESET_ON_FORK"] }, "0 0 0\n-5 0 0\n"],
  ])("%j is that of exec too", async (scheduler, shown) => {
    const guest = await openGuest({ edit: ({ process }) => Object.assign(process, { scheduler }) });
    const show = (pid: string) => `cut -d' ' -f19,40,41 /proc/${pid}/stat`;
    expect((await guest.sh(`${show("self")}; ${show("$$")}`)).stdout).toBe(shown);
  });

  test("what cannot be is an error by its name", async () => {
    const scene = await openScene();
    const scheduler = { policy: "SCHED_OTHER", priority: 5 };
    const ran = await runWith(scene, "echo ran", { process: { scheduler } });
    expect(ran).toMatchObject({ stdout: "", code: 1 });
    expect(ran.stderr).toContain("process.scheduler.priority");
  });
});

describe("process.ioPriority", () => {
  test.each([
    [{ class: "IOPRIO_CLASS_BE", priority: 6 }, "best-effort: prio 6\n"],
    [{ class: "IOPRIO_CLASS_RT", priority: 1 }, "realtime: prio 1\n"],
    [{ class: "IOPRIO_CLASS_IDLE", priority: 0 }, "idle\n"],
  ])("%j", async (ioPriority, shown) => {
    const scene = await openScene();
    expect(await runWith(scene, "ionice", { process: { ioPriority } })).toMatchObject({
      stdout: shown,
      code: 0,
    });
  });
});

describe("linux.memoryPolicy", () => {
  const SHOW = "head -n 1 /proc/self/numa_maps | cut -d' ' -f2";
  test.each([
    [{ mode: "MPOL_DEFAULT" }, "default\n"],
    [{ mode: "MPOL_LOCAL" }, "local\n"],
    [{ mode: "MPOL_BIND", nodes: "0" }, "bind:0\n"],
    [{ mode: "MPOL_PREFERRED", nodes: "0" }, "prefer:0\n"],
    [{ mode: "MPOL_PREFERRED_MANY", nodes: "0" }, "prefer (many):0\n"],
    [
      { mode: "MPOL_INTERLEAVE", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] },
      "interleave=static:0\n",
    ],
    [{ mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_RELATIVE_NODES"] }, "bind=relative:0\n"],
  ])("%j", async (memoryPolicy, shown) => {
    const scene = await openScene();
    const ran = await runWith(scene, SHOW, { linux: { memoryPolicy } });
    // "prefer (many)" has a blank of its own.
    expect(ran).toMatchObject({ stdout: shown.replace(/ .*/, ""), code: 0, stderr: "" });
  });

  test.each([
    [{ mode: "MPOL_BIND", nodes: "1000" }],
    [{ mode: "MPOL_BIND" }],
    [{ mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"] }],
  ])("%j is an error by its name", async (memoryPolicy) => {
    const scene = await openScene();
    const ran = await runWith(scene, "echo ran", { linux: { memoryPolicy } });
    expect(ran).toMatchObject({ stdout: "", code: 1 });
    expect(ran.stderr).toContain("linux.memoryPolicy");
  });
});

describe("linux.personality", () => {
  test.each([
    [{ domain: "LINUX32" }, "i686 00000008\n"],
    [{ domain: "LINUX" }, "x86_64 00000000\n"],
    [{ domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"] }, "x86_64 00040000\n"],
    [{ domain: "LINUX32", flags: ["ADDR_COMPAT_LAYOUT", "STICKY_TIMEOUTS"] }, "i686 04200008\n"],
  ])("%j", async (personality, shown) => {
    const scene = await openScene();
    const show = "echo $(uname -m) $(cat /proc/self/personality)";
    expect((await runWith(scene, show, { linux: { personality } })).stdout).toBe(shown);
  });

  test("addresses do not change where that is asked for", async () => {
    const scene = await openScene();
    const stacks = "for i in 1 2 3; do grep stack /proc/self/maps; done | sort -u | wc -l";
    const personality = { domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"] };
    expect((await runWith(scene, stacks, { linux: { personality } })).stdout).toBe("1\n");
    expect((await runWith(scene, stacks, {})).stdout).toBe("3\n");
  });
});
