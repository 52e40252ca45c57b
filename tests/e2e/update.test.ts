/** `update`: what it writes, what it leaves alone, and that a refused one changes nothing; v1 and v2. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { JsonObject } from "../harness/bundle.ts";
import { onlyCgroup2, readCgroupFile } from "../harness/cgroups.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { run, until } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(90_000));

const V2 = onlyCgroup2();
const MB = 1024 * 1024;
const START: JsonObject = {
  memory: { limit: 32 * MB, reservation: 24 * MB },
  cpu: { shares: 100, quota: 500_000, period: 1_000_000 },
  pids: { limit: 20 },
};

/** A container that waits, with what `update` needs to be tried on it. */
async function updated(resources: JsonObject = START) {
  const scene = await openScene();
  const bundle = scene.bundle({ args: ["sleep", "60"], linux: { resources } });
  mustSucceed((await scene.create(bundle)).ran);
  const { id } = bundle;
  scene.defer(() => scene.delete(id, "--force"));
  const update = (...words: string[]) => scene.verb("update", ...words, id);
  return { scene, id, update, look: () => limitsOf(id) };
}

type Limits = {
  memory: string;
  reservation: string;
  pids: string;
  cpu: string;
  shares: string;
  /** Memory and swap together; "absent" where this kernel counts no swap. */
  swap: string;
};

/** The limits in the form of v1, "max" for none. */
function limitsOf(id: string): Limits {
  const read = (controller: string, file: string) => readCgroupFile(controller, id, file);
  const bytes = (text: string | null) =>
    text === null ? "absent" : Number(text) > 2 ** 62 ? "max" : text;
  if (!V2) {
    const quota = read("cpu", "cpu.cfs_quota_us");
    return {
      memory: bytes(read("memory", "memory.limit_in_bytes")),
      reservation: bytes(read("memory", "memory.soft_limit_in_bytes")),
      pids: read("pids", "pids.max") ?? "absent",
      cpu: `${quota === "-1" ? "max" : quota} ${read("cpu", "cpu.cfs_period_us")}`,
      shares: read("cpu", "cpu.shares") ?? "absent",
      swap: bytes(read("memory", "memory.memsw.limit_in_bytes")),
    };
  }
  const memory = read("memory", "memory.max") ?? "absent";
  const swap = read("memory", "memory.swap.max");
  return {
    memory,
    reservation: read("memory", "memory.low") ?? "absent",
    pids: read("pids", "pids.max") ?? "absent",
    cpu: read("cpu", "cpu.max") ?? "absent",
    shares: read("cpu", "cpu.weight") ?? "absent",
    swap: swap === null ? "absent" : swap === "max" ? "max" : String(Number(swap) + Number(memory)),
  };
}

const bytesOf = (megabytes: number) => String(megabytes * MB);

describe("options", () => {
  test("each sets its limit, and no other", async () => {
    const { update, look } = await updated();
    let now = look();
    const expectChange = async (words: readonly string[], change: Partial<Limits>) => {
      mustSucceed(await update(...words));
      now = { ...now, ...change };
      expect(look()).toEqual(now);
    };
    expect(now).toMatchObject({ memory: bytesOf(32), pids: "20", cpu: "500000 1000000" });
    await expectChange(["--memory", "50M"], { memory: bytesOf(50) });
    await expectChange(["--memory-reservation=33554432"], { reservation: bytesOf(32) });
    await expectChange(["--pids-limit", "10"], { pids: "10" });
    await expectChange(["--pids-limit", "-1"], { pids: "max" });
    await expectChange(["--pids-limit", "0"], { pids: "1" });
    await expectChange(["--cpu-period", "900000"], { cpu: "500000 900000" });
    await expectChange(["--cpu-quota", "600000"], { cpu: "600000 900000" });
    await expectChange(["--cpu-quota", "-1"], { cpu: "max 900000" });
    await expectChange(["--cpu-share", "200"], { shares: V2 ? "29" : "200" });
    await expectChange(["--cpu-shares", "1024"], { shares: V2 ? "100" : "1024" });
    await expectChange(["--memory", "-1"], { memory: "max" });
    await expectChange([], {});
  });

  test("several at once", async () => {
    const { update, look } = await updated();
    mustSucceed(await update("--memory", "64m", "--cpu-quota", "30000", "--cpu-period", "60000"));
    expect(look()).toMatchObject({ memory: bytesOf(64), cpu: "30000 60000", pids: "20" });
  });

  test("cpuset", async () => {
    const { update, id } = await updated();
    mustSucceed(await update("--cpuset-cpus", "1", "--cpuset-mems", "0"));
    expect(readCgroupFile("cpuset", id, "cpuset.cpus")).toBe("1");
    expect(readCgroupFile("cpuset", id, "cpuset.mems")).toBe("0");
  });

  test("burst and idle, where the kernel has them", async () => {
    const { update, id } = await updated();
    const burst = V2 ? "cpu.max.burst" : "cpu.cfs_burst_us";
    if (readCgroupFile("cpu", id, burst) !== null) {
      mustSucceed(await update("--cpu-burst", "400000"));
      expect(readCgroupFile("cpu", id, burst)).toBe("400000");
      // A burst above the quota is refused until the quota is raised with it.
      mustSucceed(await update("--cpu-burst", "600000", "--cpu-quota", "700000"));
      expect(readCgroupFile("cpu", id, burst)).toBe("600000");
    }
    if (readCgroupFile("cpu", id, "cpu.idle") !== null) {
      for (const value of ["1", "0", "1"]) {
        mustSucceed(await update("--cpu-idle", value));
        expect(readCgroupFile("cpu", id, "cpu.idle")).toBe(value);
      }
      for (const value of ["2", "-1"]) expect((await update("--cpu-idle", value)).code).toBe(1);
      mustSucceed(await update("--memory", "40M"));
      expect(readCgroupFile("cpu", id, "cpu.idle")).toBe("1");
    }
  });

  test("realtime that does not fit says by which rule, and changes nothing", async () => {
    const { id, update, look } = await updated();
    const before = look();
    const read = () => readCgroupFile("cpu", id, "cpu.rt_runtime_us");
    const runtime = read();
    if (runtime === null) return;
    const words = ["--pids-limit", "9", "--cpu-rt-period", "1000", "--cpu-rt-runtime", "2000"];
    const ran = await update(...words);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("at most the period");
    expect(look()).toEqual(before);
    expect(read()).toBe(runtime);
  });

  test("kernel memory is passed over with a warning", async () => {
    const { update, look } = await updated();
    const before = look();
    const ran = mustSucceed(await update("--kernel-memory", "50M", "--kernel-memory-tcp", "50M"));
    expect(ran.stderr).toContain("Kernel memory settings are ignored");
    expect(look()).toEqual(before);
  });
});

describe("memory and swap together", () => {
  const swapIs = (limits: Limits, swap: string) => {
    if (limits.swap !== "absent") expect(limits.swap).toBe(swap);
  };

  test("grow and shrink in whatever order the kernel wants", async () => {
    const { update, look } = await updated({ memory: { limit: 32 * MB, swap: 50 * MB } });
    for (const [memory, swap] of [
      [60, 80],
      [30, 50],
      [30, 30],
      [100, 100],
    ] as const) {
      mustSucceed(await update("--memory", `${memory}M`, "--memory-swap", `${swap}M`));
      expect(look().memory).toBe(bytesOf(memory));
      swapIs(look(), bytesOf(swap));
    }
  });

  test("the sum alone, memory alone, and no limits", async () => {
    const { update, look } = await updated({ memory: { limit: 32 * MB, swap: 64 * MB } });
    mustSucceed(await update("--memory-swap", "80M"));
    swapIs(look(), bytesOf(80));
    mustSucceed(await update("--memory", "40M"));
    swapIs(look(), bytesOf(80));
    mustSucceed(await update("--memory-swap", "-1"));
    swapIs(look(), "max");
    mustSucceed(await update("--memory", "-1"));
    expect(look().memory).toBe("max");
    swapIs(look(), "max");
  });

  test("less together than memory alone is refused", async () => {
    const { update, look } = await updated({ memory: { limit: 32 * MB, swap: 64 * MB } });
    const before = look();
    expect((await update("--memory", "50M", "--memory-swap", "40M")).code).toBe(1);
    expect(look()).toEqual(before);
  });
});

describe("--resources", () => {
  test("is a file, or standard input; options beside it are not read", async () => {
    const { scene, id, update, look } = await updated();
    const file = join(scene.dir, "resources.json");
    writeFileSync(file, JSON.stringify({ memory: { limit: 64 * MB }, pids: { limit: 30 } }));
    mustSucceed(await update(`--resources=${file}`, "--pids-limit", "77"));
    expect(look()).toMatchObject({ memory: bytesOf(64), pids: "30", cpu: "500000 1000000" });
    const stdin = JSON.stringify({ cpu: { quota: 40_000, period: 80_000 }, unknown: [1] });
    mustSucceed(await run(scene.command("update", "-r", "-", id), { stdin }));
    expect(look()).toMatchObject({ memory: bytesOf(64), pids: "30", cpu: "40000 80000" });
  });

  test("a missing file, no JSON, and a wrong type are told with their names", async () => {
    const { scene, update, look } = await updated();
    const before = look();
    const file = join(scene.dir, "resources.json");
    expect((await update("-r", join(scene.dir, "none"))).stderr).toContain("no such file");
    for (const [text, words] of [
      ["{", "resources.json"],
      ['{"memory": {"limit": "64M"}}', "memory.limit"],
      ['{"pids": {"limit": 1.5}}', "pids.limit"],
      ["[]", "resources.json"],
    ] as const) {
      writeFileSync(file, text);
      const ran = await update("-r", file);
      expect(ran.code).toBe(1);
      expect(ran.stderr).toContain(words);
    }
    expect(look()).toEqual(before);
  });

  test("checkBeforeUpdate refuses a limit below what is in use", async () => {
    const { scene, id, update, look } = await updated();
    const before = look();
    const file = join(scene.dir, "resources.json");
    for (const [memory, words] of [
      [{ limit: 1024, checkBeforeUpdate: true }, "rejecting memory limit"],
      [{ limit: 1024, swap: 2048, checkBeforeUpdate: true }, "rejecting memory+swap limit"],
    ] as const) {
      writeFileSync(file, JSON.stringify({ memory }));
      const ran = await update("-r", file);
      expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining(words)]);
    }
    expect(look()).toEqual(before);
    expect((await scene.state(id))?.status).toBe("created");
  });

  test("unified names files of v2, and is refused on v1", async () => {
    const { scene, update, look, id } = await updated();
    const before = look();
    const file = join(scene.dir, "resources.json");
    const unified = { "pids.max": "10", "cpu.max": "max 100000" };
    writeFileSync(file, JSON.stringify({ unified }));
    const ran = await update("-r", file);
    expect(ran.code).toBe(V2 ? 0 : 1);
    expect(look()).toEqual(V2 ? { ...before, pids: "10", cpu: "max 100000" } : before);
    for (const key of ["cgroup.procs", "cgroup.freeze", "../pids.max", "pids"]) {
      writeFileSync(file, JSON.stringify({ unified: { [key]: "1" } }));
      expect((await update("-r", file)).code).toBe(1);
    }
    expect((await scene.state(id))?.status).toBe("created");
  });
});

describe("a refused update changes nothing", () => {
  test("when a word is wrong", async () => {
    const { update, look } = await updated();
    const before = look();
    for (const words of [
      ["--memory", "hello"],
      ["--memory", "-5"],
      ["--cpu-period", "1.5"],
      ["--cpu-quota", "many"],
      ["--pids-limit", "ten"],
      ["--pids-limit", "-2"],
      ["--blkio-weight", "1001"],
      ["--no-such", "1"],
    ]) {
      expect((await update("--memory-reservation", "20M", ...words)).code).toBe(1);
    }
    expect(look()).toEqual(before);
  });

  test("when the kernel refuses a later value: the earlier ones are put back", async () => {
    const { update, look, id } = await updated();
    const before = look();
    // Memory and pids come before the cpuset, whose processor there is not.
    const words = ["--memory", "64M", "--cpu-quota", "300000", "--cpuset-cpus", "9999"];
    const ran = await update(...words);
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining("cpu.cpus")]);
    expect(look()).toEqual(before);
    expect((await update("--memory", "64M", "--cpu-period", "5")).code).toBe(1);
    expect(look()).toEqual(before);
    expect(readCgroupFile("cpuset", id, "cpuset.cpus")).not.toBe("9999");
  });

  test("when the container has ended, or there is none", async () => {
    const { scene, update, id } = await updated();
    await scene.kill(id, "KILL");
    await scene.waitForStatus(id, "stopped");
    expect((await update("--pids-limit", "5")).stderr).toContain("container not running");
    const none = await scene.verb("update", "--pids-limit", "5", `${scene.mark}-none`);
    expect(none.stderr).toContain("does not exist");
  });
});

test("a paused container is updated, and stays paused", async () => {
  const { scene, update, look, id } = await updated();
  mustSucceed(await scene.verb("pause", id));
  mustSucceed(await update("--pids-limit", "30"));
  expect(look().pids).toBe("30");
  expect((await scene.state(id))?.status).toBe("paused");
});

describe("devices", () => {
  const caps = ["CAP_MKNOD", "CAP_DAC_OVERRIDE"];
  const DENY_ALL = { allow: false, access: "rwm" };
  /** Of the range for experiments: without a driver opening one is ENXIO (6), without leave EPERM (1). */
  const device = (minor: number, access = "rwm") => ({
    allow: true,
    type: "c",
    major: 240,
    minor,
    access,
  });

  /** Tries both devices when asked to, and uses /dev/null without end. */
  async function running(prepare: (bundle: string) => string[] = () => []) {
    const scene = await openScene();
    const bundle = scene.bundle({
      sh: `mknod /dev/shm/seven c 240 7; mknod /dev/shm/eight c 240 8
        (while :; do echo x > /dev/null || echo null refused; done) &
        while read line; do /t/call 2 s:/dev/shm/seven 0; /t/call 2 s:/dev/shm/eight 0; echo done; done < /mnt/ask`,
      process: { capabilities: { bounding: caps, permitted: caps, effective: caps } },
      mounts: [{ destination: "/mnt", type: "bind", source: scene.dir, options: ["bind", "rw"] }],
      linux: { resources: { devices: [DENY_ALL, device(7)] } },
      edit: (config) => {
        for (const mount of config.mounts)
          if (mount.destination === "/dev/shm") mount.options = ["mode=1777"];
      },
    });
    const ask = join(scene.dir, "ask");
    mustSucceed(await run(["mkfifo", ask]));
    const { ran, output } = await scene.create(bundle, { flags: prepare(bundle.dir) });
    mustSucceed(ran);
    mustSucceed(await scene.start(bundle.id));
    const { id } = bundle;
    scene.defer(() => scene.delete(id, "--force"));
    const pipe = openSync(ask, "r+");
    scene.defer(() => closeSync(pipe));
    let seen = 0;
    /** The errno of opening each of both. */
    const tryBoth = async (): Promise<string> => {
      writeSync(pipe, "now\n");
      await until(
        () => output.stdout().slice(seen).includes("done\n"),
        patiently(10_000),
        () => "the answer",
      );
      const text = output.stdout().slice(seen);
      seen = output.stdout().length;
      return text.replaceAll("ret -1 errno ", "").replaceAll("\n", " ").trim();
    };
    const update = async (resources: JsonObject) => {
      const file = join(scene.dir, "resources.json");
      writeFileSync(file, JSON.stringify(resources));
      return scene.verb("update", "-r", file, id);
    };
    const edit = (devices: JsonObject[]) => {
      const path = join(bundle.dir, "config.json");
      const config = JSON.parse(readFileSync(path, "utf8"));
      config.linux.resources.devices = devices;
      writeFileSync(path, JSON.stringify(config));
    };
    return { scene, id, tryBoth, update, edit };
  }

  test("other rules replace those before, and what stays allowed is never refused", async () => {
    const { tryBoth, update } = await running();
    expect(await tryBoth()).toBe("6 1 done");
    mustSucceed(await update({ devices: [DENY_ALL, device(8)] }));
    expect(await tryBoth()).toBe("1 6 done");
    for (let round = 0; round < 10; round++) {
      mustSucceed(await update({ devices: [DENY_ALL, device(7), device(8)] }));
      mustSucceed(await update({ devices: [DENY_ALL, device(8, "w")] }));
    }
    expect(await tryBoth()).toBe("1 1 done");
  });

  test("everything, and nothing but the default ones again", async () => {
    const { tryBoth, update } = await running();
    mustSucceed(await update({ devices: [{ allow: true, access: "rwm" }] }));
    expect(await tryBoth()).toBe("6 6 done");
    mustSucceed(await update({ devices: [DENY_ALL] }));
    expect(await tryBoth()).toBe("1 1 done");
  });

  test("stay as they are when others are updated (GHSA-g54h-m393-cpwq)", async () => {
    const { scene, id, tryBoth, update } = await running();
    mustSucceed(await scene.verb("update", "--pids-limit", "50", id));
    mustSucceed(await update({ pids: { limit: 60 }, devices: [] }));
    mustSucceed(await update({ memory: { limit: 200 * MB }, devices: [DENY_ALL, device(7)] }));
    expect(await tryBoth()).toBe("6 1 done");
  });

  test("are applied where the configuration was edited since, though it has them now", async () => {
    const { tryBoth, update, edit } = await running();
    edit([DENY_ALL, device(8)]);
    mustSucceed(await update({ devices: [DENY_ALL, device(8)] }));
    expect(await tryBoth()).toBe("1 6 done");
  });

  test("are applied where the container was made by another file", async () => {
    const { tryBoth, update } = await running((dir) => {
      const other = join(dir, "other.json");
      renameSync(join(dir, "config.json"), other);
      const config = JSON.parse(readFileSync(other, "utf8"));
      config.linux.resources.devices = [DENY_ALL, device(8)];
      writeFileSync(join(dir, "config.json"), JSON.stringify(config));
      return ["--config", other];
    });
    expect(await tryBoth()).toBe("6 1 done");
    mustSucceed(await update({ devices: [DENY_ALL, device(8)] }));
    expect(await tryBoth()).toBe("1 6 done");
  });

  test("a rule that is none changes nothing, the limits beside it too", async () => {
    const { id, tryBoth, update } = await running();
    const before = limitsOf(id);
    const bad = { allow: true, type: "c", major: 240, minor: 8, access: "x" };
    expect((await update({ pids: { limit: 60 }, devices: [DENY_ALL, bad] })).code).toBe(1);
    expect(await tryBoth()).toBe("6 1 done");
    expect(limitsOf(id)).toEqual(before);
  });
});

test("the caches of Intel RDT are refused where there is no resctrl, and limits beside them too", async () => {
  const { update, look } = await updated();
  const before = look();
  if (existsSync("/sys/fs/resctrl/schemata")) return;
  for (const words of [
    ["--l3-cache-schema", "L3:0=f"],
    ["--mem-bw-schema", "MB:0=50"],
  ]) {
    const ran = await update("--pids-limit", "5", ...words);
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining("is not enabled")]);
  }
  expect(look()).toEqual(before);
});

describe("the new limit holds", () => {
  async function output(scene: Scene, sh: string, resources: JsonObject, words: string[]) {
    const bundle = scene.bundle({ sh: `sleep 0.5; ${sh}`, linux: { resources } });
    const { output: files } = await scene.create(bundle);
    mustSucceed(await scene.verb("update", ...words, bundle.id));
    mustSucceed(await scene.start(bundle.id));
    await scene.waitForStatus(bundle.id, "stopped", 20_000);
    mustSucceed(await scene.delete(bundle.id));
    return files.stdout();
  }

  test("of processes, lowered and raised", async () => {
    const scene = await openScene();
    const bomb = "/t/fork-bomb 40";
    const low = await output(scene, bomb, {}, ["--pids-limit", "12"]);
    expect(low).toMatch(/errno 11/);
    const high = await output(scene, bomb, { pids: { limit: 12 } }, ["--pids-limit", "200"]);
    expect(high).toBe("forked 40 errno 0\n");
  });

  test("of memory", async () => {
    const scene = await openScene();
    const eat = "/t/eat-memory 100; echo $?";
    const ate = await output(scene, eat, {}, ["--memory", "50M", "--memory-swap", "50M"]);
    expect(ate).toBe("137\n");
  });
});
