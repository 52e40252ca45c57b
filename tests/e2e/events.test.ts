/** `events`: runc's JSON, what the numbers say of real work, and the news of memory; v1 and v2. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { JsonObject } from "../harness/bundle.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { until } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(90_000));

const MB = 1024 * 1024;

type Entry = { limit: number; usage?: number; failcnt: number };
type Data = {
  cpu: { usage: { total: number; kernel: number; user: number } };
  memory: { cache?: number; usage: Entry; swap?: Entry; raw: Record<string, number> };
  pids: { current: number; limit?: number };
  [field: string]: unknown;
};
type Event = { type: string; id: string; data: Data };

async function started(scene: Scene, sh: string, resources: JsonObject = {}): Promise<string> {
  const bundle = scene.bundle({ sh, linux: { resources } });
  mustSucceed((await scene.create(bundle)).ran);
  mustSucceed(await scene.start(bundle.id));
  return bundle.id;
}

async function statsOf(scene: Scene, id: string): Promise<Event> {
  return JSON.parse(mustSucceed(await scene.verb("events", "--stats", id)).stdout);
}

/** `events` as it runs: its lines come one by one. */
function following(scene: Scene, ...words: string[]) {
  const child = Bun.spawn(scene.command("events", ...words), {
    env: { ...process.env, TARE_TEST_MARK: scene.mark },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  const done = (async () => {
    for await (const chunk of child.stdout) text += new TextDecoder().decode(chunk);
    return child.exited;
  })();
  const events = (): Event[] =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return { events, done };
}

describe("--stats", () => {
  test("is one line of runc's form", async () => {
    const scene = await openScene();
    const id = await started(scene, "sleep 60", {
      memory: { limit: 64 * MB },
      pids: { limit: 33 },
    });
    const { stdout } = mustSucceed(await scene.verb("events", "--stats", id));
    expect(stdout.startsWith(`{"type":"stats","id":"${id}","data":{"cpu":{"usage":{"total":`)).toBe(
      true,
    );
    expect(stdout.split("\n").length).toBe(2);
    const { data } = JSON.parse(stdout) as Event;
    const fields = "cpu cpuset memory pids blkio hugetlb intel_rdt network_interfaces".split(" ");
    expect(Object.keys(data)).toEqual(fields);
    expect(data.memory.usage.limit).toBe(64 * MB);
    expect(data.pids.limit).toBe(33);
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("says what the container's processes do", async () => {
    const scene = await openScene();
    const sh =
      "sleep 60 & sleep 61 & /t/burn-cpu 1; dd if=/dev/zero of=/dev/shm/x bs=1M count=20; sleep 62";
    const id = await started(scene, sh, { memory: { limit: 200 * MB } });
    let { data } = await statsOf(scene, id);
    const end = performance.now() + patiently(20_000);
    // The kernel adds up such numbers now and then.
    while ((data.memory.cache ?? 0) < 20 * MB && performance.now() < end) {
      await Bun.sleep(100);
      ({ data } = await statsOf(scene, id));
    }
    expect(data.pids.current).toBeGreaterThanOrEqual(3);
    expect(data.cpu.usage.total).toBeGreaterThan(100_000_000);
    expect(data.cpu.usage.user + data.cpu.usage.kernel).toBeGreaterThan(50_000_000);
    expect(data.memory.usage.usage).toBeGreaterThan(20 * MB);
    expect(data.memory.cache).toBeGreaterThanOrEqual(20 * MB);
    mustSucceed(await scene.delete(id, "--force"));
  });

  test("of a stopped container and of none is an error", async () => {
    const scene = await openScene();
    const id = await started(scene, "true");
    await scene.waitForStatus(id, "stopped");
    const stopped = await scene.verb("events", "--stats", id);
    expect([stopped.code, stopped.stderr]).toEqual([1, expect.stringContaining("is not running")]);
    mustSucceed(await scene.delete(id));
    expect((await scene.verb("events", "--stats", id)).stderr).toContain("does not exist");
  });
});

describe("without it", () => {
  test("statistics come in their interval, until the container ends", async () => {
    const scene = await openScene();
    const id = await started(scene, "sleep 60");
    const { events, done } = following(scene, "--interval", "100ms", id);
    await until(
      () => events().length >= 4,
      patiently(10_000),
      () => "four events",
    );
    expect(events().every((event) => event.type === "stats" && event.id === id)).toBe(true);
    mustSucceed(await scene.delete(id, "--force"));
    expect(await done).toBe(0);
  });

  test("the end is noticed at once, however long the interval", async () => {
    const scene = await openScene();
    const id = await started(scene, `sleep ${patiently(1_000) / 1_000}`);
    const { events, done } = following(scene, "--interval=1h", id);
    expect(await done).toBe(0);
    expect(events()).toEqual([]);
    mustSucceed(await scene.delete(id));
  });

  test("a kill for want of memory is told, the container's end or not", async () => {
    const scene = await openScene();
    const resources = { memory: { limit: 50 * MB, swap: 50 * MB } };
    for (const rest of ["; sleep 60", ""]) {
      const bundle = scene.bundle({
        sh: `while ! [ -e /mnt/go ]; do usleep 20000; done; rm /mnt/go; exec 2>/dev/null; ${
          rest === "" ? "exec " : ""
        }/t/eat-memory 100${rest}`,
        linux: { resources },
        mounts: [{ destination: "/mnt", type: "bind", source: scene.dir, options: ["bind", "rw"] }],
      });
      mustSucceed((await scene.create(bundle)).ran);
      mustSucceed(await scene.start(bundle.id));
      const { events, done } = following(scene, "--interval", "1h", bundle.id);
      await Bun.sleep(patiently(300));
      writeFileSync(join(scene.dir, "go"), "");
      await until(
        () => events().length > 0,
        patiently(20_000),
        () => "the news",
      );
      expect(JSON.stringify(events()[0])).toBe(`{"type":"oom","id":"${bundle.id}"}`);
      mustSucceed(await scene.delete(bundle.id, "--force"));
      expect(await done).toBe(0);
    }
  });

  test("an interval of nothing, or that is none, is refused", async () => {
    const scene = await openScene();
    const id = await started(scene, "sleep 60");
    for (const interval of ["0s", "0", "-1s", "often"]) {
      expect((await scene.verb("events", `--interval=${interval}`, id)).code).toBe(1);
    }
    mustSucceed(await scene.delete(id, "--force"));
  });
});
