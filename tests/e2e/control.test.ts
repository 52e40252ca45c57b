/** Commands that look at or stop a container that exists: their effect on its processes; v1 and v2. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupDir, hierarchies, onlyCgroup2 } from "../harness/cgroups.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { until } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(90_000));

const V2 = onlyCgroup2();
/** Writes a letter every few milliseconds: a stopped one writes none. */
const TICKING = "while :; do echo; usleep 5000; done";

/** A started container; its output says whether it goes on. */
async function started(scene: Scene, options: Parameters<Scene["bundle"]>[0]) {
  const bundle = scene.bundle(options);
  const { ran, output } = await scene.create(bundle);
  mustSucceed(ran);
  mustSucceed(await scene.start(bundle.id));
  const pid = (await scene.state(bundle.id))?.pid ?? 0;
  const size = () => output.stdout().length;
  /** Whether it writes within the time that a busy machine may need. */
  const goesOn = async (timeoutMs = 5_000): Promise<boolean> => {
    const before = size();
    const end = performance.now() + patiently(timeoutMs);
    while (size() === before && performance.now() < end) await Bun.sleep(10);
    return size() > before;
  };
  return { id: bundle.id, pid, goesOn, output };
}

function freezerFile(id: string): string {
  const dir = (V2 ? cgroupDir("memory", id) : cgroupDir("freezer", id)) ?? "";
  return join(dir, V2 ? "cgroup.freeze" : "freezer.state");
}

function setFrozen(path: string, isFrozen: boolean): void {
  writeFileSync(path, V2 ? (isFrozen ? "1" : "0") : isFrozen ? "FROZEN" : "THAWED");
}

async function refuse(ran: Promise<{ code: number | null; stderr: string }>, why: string) {
  const { code, stderr } = await ran;
  expect(stderr).toContain(why);
  expect(code).toBe(1);
}

describe("pause and resume", () => {
  test("stop every process, and let them go on", async () => {
    const scene = await openScene();
    const { id, goesOn } = await started(scene, { sh: TICKING });
    expect(await goesOn()).toBe(true);
    mustSucceed(await scene.verb("pause", id));
    expect(await goesOn(200)).toBe(false);
    expect((await scene.state(id))?.status).toBe("paused");
    const listed = JSON.parse((await scene.verb("list", "--format", "json")).stdout);
    expect(listed).toMatchObject([{ id, status: "paused" }]);
    mustSucceed(await scene.verb("resume", id));
    expect((await scene.state(id))?.status).toBe("running");
    expect(await goesOn()).toBe(true);
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("a paused container is not paused again, a running one is not resumed", async () => {
    const scene = await openScene();
    const { id } = await started(scene, { args: ["sleep", "60"] });
    await refuse(scene.verb("resume", id), "container not paused");
    mustSucceed(await scene.verb("pause", id));
    await refuse(scene.verb("pause", id), "container not running");
    await refuse(scene.start(id), "paused");
    await refuse(scene.delete(id), "paused");
    expect((await scene.state(id))?.status).toBe("paused");
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("a stopped one is neither paused nor resumed, and one that there is not is not found", async () => {
    const scene = await openScene();
    const { id } = await started(scene, { args: ["true"] });
    await scene.waitForStatus(id, "stopped");
    await refuse(scene.verb("pause", id), "container not running");
    await refuse(scene.verb("resume", id), "container not paused");
    mustSucceed(await scene.delete(id));
    await refuse(scene.verb("pause", id), "container does not exist");
    await refuse(scene.verb("resume", id), "container does not exist");
  });

  test("a created container is paused, and starts after resume", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ sh: "echo begun; sleep 60" });
    const { output } = await scene.create(bundle);
    mustSucceed(await scene.verb("pause", bundle.id));
    expect((await scene.state(bundle.id))?.status).toBe("paused");
    mustSucceed(await scene.verb("resume", bundle.id));
    expect((await scene.state(bundle.id))?.status).toBe("created");
    mustSucceed(await scene.start(bundle.id));
    await scene.waitForStatus(bundle.id, "running");
    await Bun.sleep(patiently(100));
    expect(output.stdout()).toBe("begun\n");
    mustSucceed(await scene.delete(bundle.id, "--force"));
  });

  test("a paused container is killed with KILL", async () => {
    const scene = await openScene();
    const { id } = await started(scene, { sh: TICKING });
    mustSucceed(await scene.verb("pause", id));
    mustSucceed(await scene.kill(id, "KILL"));
    await scene.waitForStatus(id, "stopped");
    mustSucceed(await scene.delete(id));
  });

  test("another signal waits until resume", async () => {
    const scene = await openScene();
    const sh = "trap 'echo got; exit' TERM; echo ready; while :; do usleep 5000; done";
    const { id, output } = await started(scene, { sh });
    while (!output.stdout().includes("ready")) await Bun.sleep(10);
    mustSucceed(await scene.verb("pause", id));
    mustSucceed(await scene.kill(id, "TERM"));
    await Bun.sleep(patiently(100));
    expect([(await scene.state(id))?.status, output.stdout()]).toEqual(["paused", "ready\n"]);
    mustSucceed(await scene.verb("resume", id));
    await scene.waitForStatus(id, "stopped");
    expect(output.stdout()).toBe("ready\ngot\n");
    mustSucceed(await scene.delete(id));
  });

  test("what another program froze is paused, and can be resumed", async () => {
    const scene = await openScene();
    const { id, goesOn } = await started(scene, { sh: TICKING });
    setFrozen(freezerFile(id), true);
    expect((await scene.state(id))?.status).toBe("paused");
    mustSucceed(await scene.verb("resume", id));
    expect(readFileSync(freezerFile(id), "utf8").trim()).toBe(V2 ? "0" : "THAWED");
    expect(await goesOn()).toBe(true);
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("one whose parent is frozen is paused", async () => {
    const scene = await openScene();
    const parent = `${scene.mark}-parent`;
    const { id } = await started(scene, {
      args: ["sleep", "60"],
      edit: (config) => {
        config.linux.cgroupsPath = `/${parent}/inner`;
      },
    });
    setFrozen(freezerFile(parent), true);
    const status = (await scene.state(id))?.status;
    setFrozen(freezerFile(parent), false);
    expect(status).toBe("paused");
    expect((await scene.state(id))?.status).toBe("running");
    mustSucceed(await scene.delete(id, "--force"));
    // What was made above a container's cgroup stays: it may be anybody's.
    for (const { dir } of hierarchies()) removeEmpty(join(dir, parent));
  });
});

function removeEmpty(dir: string): void {
  try {
    rmdirSync(dir);
  } catch {
    // Of v1 the container may have joined some hierarchies only.
  }
}

describe("ps", () => {
  test("lists the pids in JSON, those of sub-cgroups too", async () => {
    const scene = await openScene();
    const { id, pid } = await started(scene, { sh: "sleep 60 & sleep 61 & wait" });
    const read = async () => JSON.parse((await scene.verb("ps", "--format", "json", id)).stdout);
    while ((await read()).length < 3) await Bun.sleep(10);
    const pids: number[] = await read();
    expect(pids).toContain(pid);
    const dir = cgroupDir("memory", id) ?? "";
    const below = join(dir, "below");
    mkdirSync(below);
    writeFileSync(join(below, "cgroup.procs"), String(pids.find((each) => each !== pid)));
    expect(await read()).toEqual(pids);
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("is the host's table, with the lines of the container alone", async () => {
    const scene = await openScene();
    const { id, pid } = await started(scene, { args: ["sleep", "60"] });
    const [head = "", ...lines] = mustSucceed(await scene.verb("ps", id))
      .stdout.trim()
      .split("\n");
    expect(head).toMatch(/^UID +PID +PPID/);
    expect(lines.length).toBe(1);
    expect(lines[0]).toMatch(new RegExp(` ${pid} .*sleep 60$`));
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("takes the options of ps(1), and fails without the column of pids", async () => {
    const scene = await openScene();
    const { id, pid } = await started(scene, { args: ["sleep", "60"] });
    const own = mustSucceed(await scene.verb("ps", id, "-e", "-o", "comm,pid")).stdout;
    expect(
      own
        .trim()
        .split("\n")
        .map((line) => line.split(/ +/)),
    ).toEqual([
      ["COMMAND", "PID"],
      ["sleep", String(pid)],
    ]);
    await refuse(scene.verb("ps", id, "-e", "-o", "comm"), "PID");
    await refuse(scene.verb("ps", id, "--no-such-option"), "no-such-option");
    await refuse(scene.verb("ps", "--format", "xml", id), "invalid format");
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("of a stopped container is empty", async () => {
    const scene = await openScene();
    const { id } = await started(scene, { args: ["true"] });
    await scene.waitForStatus(id, "stopped");
    expect((await scene.verb("ps", "-f", "json", id)).stdout).toBe("null\n");
    mustSucceed(await scene.delete(id));
  });
});

/** Containers that run in the host's pid namespace: nothing ends with their first process. */
const HOST_PIDS = ["network", "ipc", "uts", "mount", "cgroup"].map((type) => ({ type }));

function pidsOf(id: string): number[] {
  const path = join(cgroupDir("memory", id) ?? "", "cgroup.procs");
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8").split("\n").filter(Boolean).map(Number);
}

async function untilPids(id: string, count: number): Promise<void> {
  await until(
    () => pidsOf(id).length === count,
    patiently(5_000),
    () => `${count} processes, not ${pidsOf(id).length}`,
  );
}

describe("kill", () => {
  test("of a stopped container is refused in the words that engines look for; not with --all", async () => {
    const scene = await openScene();
    const { id } = await started(scene, { args: ["true"] });
    await scene.waitForStatus(id, "stopped");
    await refuse(scene.kill(id, "KILL"), "container not running");
    await refuse(scene.kill(id, "0"), "container not running");
    mustSucceed(await scene.verb("kill", "--all", id, "KILL"));
    mustSucceed(await scene.verb("kill", "-a", id, "TERM"));
    mustSucceed(await scene.delete(id));
  });

  test.each(["TERM", "SIGTERM", "sigterm", "15", "-15", "RTMIN+3", "SIGRTMIN+3", "37"])(
    "sends %s",
    async (signal) => {
      const scene = await openScene();
      const { id, output } = await started(scene, {
        sh: "trap 'echo 15; exit' 15; trap 'echo 37; exit' 37; echo ready; while :; do usleep 5000; done",
      });
      await until(
        () => output.stdout() === "ready\n",
        patiently(5_000),
        () => "the traps",
      );
      mustSucceed(await scene.kill(id, signal));
      await scene.waitForStatus(id, "stopped");
      expect(output.stdout()).toBe(
        `ready\n${signal.includes("RT") || signal === "37" ? 37 : 15}\n`,
      );
      mustSucceed(await scene.delete(id));
    },
  );

  test("an empty signal is TERM, as with runc; a word too many is an error, and sends nothing", async () => {
    const scene = await openScene();
    const { id } = await started(scene, { sh: "trap 'exit 3' 15; while :; do usleep 5000; done" });
    for (const words of [
      ["kill", id, "KILL", "more"],
      ["state", id, "more"],
      ["list", "more"],
    ]) {
      await refuse(scene.verb(...words), "one word too many");
    }
    expect((await scene.state(id))?.status).toBe("running");
    mustSucceed(await scene.kill(id, "KILL"));
    await scene.waitForStatus(id, "stopped");
    mustSucceed(await scene.delete(id));
    const other = await started(scene, {
      sh: "trap 'echo 15; exit' 15; echo ready; while :; do usleep 5000; done",
    });
    await until(
      () => other.output.stdout() === "ready\n",
      patiently(5_000),
      () => "the trap",
    );
    mustSucceed(await scene.kill(other.id, ""));
    await scene.waitForStatus(other.id, "stopped");
    expect(other.output.stdout()).toBe("ready\n15\n");
    mustSucceed(await scene.delete(other.id));
  });

  test("with --all reaches every process, below sub-cgroups too", async () => {
    const scene = await openScene();
    const sh =
      "(trap 'echo child' USR1; while :; do usleep 5000; done) & trap 'echo first' USR1; echo ready; while :; do usleep 5000; done";
    const { id, pid, output } = await started(scene, { sh });
    await until(
      () => output.stdout() === "ready\n",
      patiently(5_000),
      () => "the traps",
    );
    const below = join(cgroupDir("memory", id) ?? "", "below");
    mkdirSync(below);
    const child = pidsOf(id).find((each) => each !== pid) ?? 0;
    writeFileSync(join(below, "cgroup.procs"), String(child));
    await Bun.sleep(patiently(100));
    mustSucceed(await scene.verb("kill", "--all", id, "USR1"));
    await until(
      () => output.stdout().length === "ready\nfirst\nchild\n".length,
      patiently(5_000),
      () => output.stdout(),
    );
    expect((await scene.state(id))?.status).toBe("running");
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("with --all each process there is gets it once, and none that a handler starts", async () => {
    const scene = await openScene();
    const sh =
      "trap '/bin/sleep 0.2 && echo unharmed' USR1; echo ready; while :; do usleep 5000; done";
    const { id, output } = await started(scene, { sh });
    const lines = () => output.stdout().split("\n").length - 1;
    const linesAre = (count: number) =>
      until(
        () => lines() === count,
        patiently(10_000),
        () => output.stdout(),
      );
    await linesAre(1);
    mustSucceed(await scene.verb("kill", "--all", id, "USR1"));
    await linesAre(2);
    expect(output.stdout()).toBe("ready\nunharmed\n");
    expect((await scene.state(id))?.status).toBe("running");
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("with --all leaves a paused container paused, with the signal for later", async () => {
    const scene = await openScene();
    const sh = "trap 'echo got' USR1; echo ready; while :; do usleep 5000; done";
    const { id, output } = await started(scene, { sh });
    const shows = (text: string) =>
      until(
        () => output.stdout() === text,
        patiently(10_000),
        () => output.stdout(),
      );
    await shows("ready\n");
    mustSucceed(await scene.verb("pause", id));
    mustSucceed(await scene.verb("kill", "--all", id, "USR1"));
    expect((await scene.state(id))?.status).toBe("paused");
    mustSucceed(await scene.verb("resume", id));
    await shows("ready\ngot\n");
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("KILL ends all processes where the pid namespace is the host's", async () => {
    const scene = await openScene();
    const { id } = await started(scene, {
      sh: "sleep 60 & sleep 61 & sleep 62",
      linux: { namespaces: HOST_PIDS },
    });
    await untilPids(id, 3);
    mustSucceed(await scene.kill(id, "KILL"));
    expect(pidsOf(id)).toEqual([]);
    await scene.waitForStatus(id, "stopped");
    mustSucceed(await scene.delete(id));
  });

  test("KILL ends what the first process has left there", async () => {
    const scene = await openScene();
    const { id } = await started(scene, {
      sh: "sleep 60 & exit",
      linux: { namespaces: HOST_PIDS },
    });
    await scene.waitForStatus(id, "stopped");
    await untilPids(id, 1);
    mustSucceed(await scene.kill(id, "KILL"));
    expect(pidsOf(id)).toEqual([]);
    await refuse(scene.kill(id, "KILL"), "container not running");
    mustSucceed(await scene.delete(id));
  });

  test("--regex reaches the containers that a pattern describes", async () => {
    const scene = await openScene();
    const all = [];
    for (let count = 0; count < 3; count++) {
      all.push((await started(scene, { args: ["sleep", "60"] })).id);
    }
    mustSucceed(await scene.verb("kill", "--regex", `^${scene.mark}-c[12]$`, "KILL"));
    const [one = "", two = "", three = ""] = all;
    await scene.waitForStatus(one, "stopped");
    await scene.waitForStatus(two, "stopped");
    expect((await scene.state(three))?.status).toBe("running");
    await refuse(scene.verb("kill", "--regex", "(", "KILL"), "regular expression");
    mustSucceed(await scene.verb("delete", "--force", ...all));
  });
});

describe("delete", () => {
  test("takes several ids, and tells of those that it cannot remove", async () => {
    const scene = await openScene();
    const stopped = (await started(scene, { args: ["true"] })).id;
    const running = (await started(scene, { args: ["sleep", "60"] })).id;
    await scene.waitForStatus(stopped, "stopped");
    await refuse(scene.verb("delete", running, `${scene.mark}-none`, stopped), "it is running");
    expect((await scene.verb("list", "-q")).stdout).toBe(`${running}\n`);
    mustSucceed(await scene.verb("delete", "-f", running, `${scene.mark}-none`));
    expect((await scene.verb("list", "-q")).stdout).toBe("");
  });

  test("takes a pattern, and passes over what must be forced", async () => {
    const scene = await openScene();
    const stopped = (await started(scene, { args: ["true"] })).id;
    const running = (await started(scene, { args: ["sleep", "60"] })).id;
    await scene.waitForStatus(stopped, "stopped");
    const ran = mustSucceed(await scene.verb("delete", "--regex", `${scene.mark}-c.`));
    expect(ran.stderr).toContain(`"${running}": it is running`);
    expect((await scene.verb("list", "-q")).stdout).toBe(`${running}\n`);
    mustSucceed(await scene.verb("delete", "--regex", "--force", ".*"));
    expect((await scene.verb("list", "-q")).stdout).toBe("");
  });

  test("by force ends a paused one, and one whose pid namespace is the host's", async () => {
    const scene = await openScene();
    const { id } = await started(scene, {
      sh: "sleep 60 & sleep 61",
      linux: { namespaces: HOST_PIDS },
    });
    await untilPids(id, 2);
    mustSucceed(await scene.verb("pause", id));
    mustSucceed(await scene.delete(id, "--force"));
    expect(await scene.state(id)).toBeNull();
  });

  test("by force ends a bomb that forks without end, also one that is not in its pid namespace", async () => {
    const scene = await openScene();
    for (const namespaces of [undefined, HOST_PIDS]) {
      const { id } = await started(scene, {
        sh: "b() { while :; do sleep 1 & usleep 8000; done; }; b & b & b & b",
        ...(namespaces === undefined ? {} : { linux: { namespaces } }),
      });
      await until(
        () => pidsOf(id).length > 20,
        patiently(10_000),
        () => "twenty processes",
      );
      mustSucceed(await scene.delete(id, "--force"));
      expect(pidsOf(id)).toEqual([]);
    }
  });

  test("by force removes what a container nested in its cgroup", async () => {
    const scene = await openScene();
    const { id, pid } = await started(scene, { args: ["sleep", "60"] });
    let dir = cgroupDir("memory", id) ?? "";
    for (let depth = 0; depth < 20; depth++) {
      dir = join(dir, `level-${depth}`);
      mkdirSync(dir);
    }
    writeFileSync(join(dir, "cgroup.procs"), String(pid));
    mustSucceed(await scene.delete(id, "--force"));
  });
});

describe("list", () => {
  test("is a table in the columns of runc, and JSON with the annotations", async () => {
    const scene = await openScene();
    const { id, pid } = await started(scene, { args: ["sleep", "60"], annotations: { a: "b" } });
    const [head = "", line = "", ...rest] = (await scene.verb("list")).stdout.split("\n");
    expect(rest).toEqual([""]);
    const widths = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map((name) =>
      head.indexOf(name),
    );
    expect(widths[1]).toBe(id.length + 3);
    expect((widths[2] ?? 0) - (widths[1] ?? 0)).toBe(12);
    expect(line.slice(widths[1], widths[2]).trim()).toBe(String(pid));
    expect(line.slice(widths[5])).toBe("root");
    const [row] = JSON.parse((await scene.verb("list", "-f", "json")).stdout);
    const keys = "ociVersion id pid status bundle rootfs created annotations owner".split(" ");
    expect(Object.keys(row)).toEqual(keys);
    expect(row).toMatchObject({ id, pid, status: "running", annotations: { a: "b" } });
    mustSucceed(await scene.delete(id, "--force"));
    expect((await scene.verb("list", "-f", "json")).stdout).toBe("null\n");
  });
});
