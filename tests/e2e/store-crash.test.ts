/**
 * kill -9 of what brings and removes images, at moments that a seed chooses, and full disks: the next
 * command works, `system check` finds nothing, what was there before is there, and space comes back.
 * TARE_KILLS is the number of kills for each command, TARE_SEED the first seed.
 */
import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../fuzz/random.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { skopeoCopy, startRegistry } from "../harness/registry.ts";
import { run } from "../harness/run.ts";
import { type Cli, IMAGE, openLoadedCli } from "./cli-scene.ts";

const { TARE_KILLS = "2", TARE_SEED = "1" } = process.env;
const KILLS = Number(TARE_KILLS);

// On a busy machine a whole round takes seconds.
setDefaultTimeout(120_000 + KILLS * 60_000);

const NAME = `${IMAGE_NAME}:${IMAGE_TAG}`;

beforeAll(async () => {
  await images();
});

type Scenario = {
  readonly cli: Cli;
  /** What is killed. */
  readonly words: readonly string[];
  /** Brings the store to where it was before. */
  readonly reset: () => Promise<void>;
};

async function removed(cli: Cli, name: string): Promise<void> {
  const ran = await cli.tare(["rmi", "-f", name]);
  if (ran.code !== 0) expect(ran.stderr).toContain("not in the store");
}

const scenarios: [name: string, open: () => Promise<Scenario>][] = [
  [
    "load",
    async () => {
      const cli = await openLoadedCli();
      const words = ["load", "-i", (await images()).dockerArchiveGzip];
      return { cli, words, reset: () => removed(cli, NAME) };
    },
  ],
  [
    "pull",
    async () => {
      const cli = await openLoadedCli();
      const { host } = await startRegistry(cli.scene);
      const name = `${host}/test/busybox:1.0`;
      const { ociLayout } = await images();
      mustSucceed(await skopeoCopy(`oci:${ociLayout}:${IMAGE_TAG}`, `docker://${name}`));
      return { cli, words: ["pull", name], reset: () => removed(cli, name) };
    },
  ],
  [
    "commit",
    async () => {
      const cli = await openLoadedCli();
      const keep = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "box", "-u", "0"];
      const script = "cp -r /bin /copied; rm /t/report";
      mustSucceed(await cli.tare([...keep, IMAGE, "sh", "-c", script]));
      cli.scene.defer(async () => {
        await cli.tare(["rm", "box"]);
      });
      return { cli, words: ["commit", "box", "made:1"], reset: () => removed(cli, "made:1") };
    },
  ],
  [
    "prune",
    async () => {
      const cli = await openLoadedCli();
      const keep = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "box", "-u", "0"];
      mustSucceed(await cli.tare([...keep, IMAGE, "true"]));
      cli.scene.defer(async () => {
        await cli.tare(["rm", "box"]);
      });
      const load = async () => {
        mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
      };
      return { cli, words: ["image", "prune", "-af"], reset: load };
    },
  ],
];

async function expectWhole(cli: Cli, when: string): Promise<void> {
  const checked = await cli.tare(["system", "check"]);
  expect([when, checked.code, checked.stdout, checked.stderr]).toEqual([when, 0, "", ""]);
  expect((await cli.sh("ls /t | grep -c report")).stdout).toBe("1\n");
}

/** A helper whose engine was killed may be writing for a moment yet. */
async function expectNoWork(cli: Cli): Promise<void> {
  const left = () => readdirSync(join(cli.dataRoot, "tmp"));
  for (let tries = 0; left().length > 0 && tries < 50; tries++) {
    await Bun.sleep(100);
    await cli.tare(["system", "check", "--quick"]);
  }
  expect(left()).toEqual([]);
}

describe("kill -9", () => {
  test.each(scenarios)("of %s leaves a store that is whole", async (_name, open) => {
    const { cli, words, reset } = await open();
    await reset();
    const begin = performance.now();
    mustSucceed(await cli.tare(words));
    const wholeMs = performance.now() - begin;
    for (let round = 0; round < KILLS; round++) {
      const seed = Number(TARE_SEED) + round;
      const moment = new Random(seed).fraction() * wholeMs;
      await reset();
      const child = Bun.spawn(cli.command(...words), { stdio: ["ignore", "ignore", "ignore"] });
      await Bun.sleep(moment);
      child.kill("SIGKILL");
      await child.exited;
      await expectWhole(cli, `seed ${seed}, after ${Math.round(moment)} ms`);
    }
    await reset();
    mustSucceed(await cli.tare(words));
    await reset();
    await expectNoWork(cli);
    await expectWhole(cli, "at the end");
  });
});

/** Loads while there is less and less space; then there is none at all, and things are removed. */
const FULL_DISK = `
set -u
mount -t tmpfs -o size=SIZEm none "$ROOM" && mkdir "$ROOM/data"
left() { df -k --output=avail "$ROOM" | tail -1 | tr -d ' '; }
tare import "$TARBALL" witness >/dev/null || echo "import failed"
before=$(left)
for free in 4 40 400 1000 2000 3000; do
  head -c "$(( ($(left) - free) * 1024 ))" /dev/zero > "$ROOM/fill"
  tare load -i "$ARCHIVE" >/dev/null 2>"$ROOM/../said" && echo "loaded with $free" && tare rmi "$NAME" >/dev/null
  tare system check --quick || echo "check failed with $free"
  rm "$ROOM/fill"
  tare system check || echo "check failed after $free"
done
[ "$(left)" -ge "$((before - 64))" ] || echo "lost: $before, now $(left)"
tare load -i "$ARCHIVE" >/dev/null || echo "load failed"
cat /dev/zero > "$ROOM/fill" 2>/dev/null
tare volume create toomuch 2>&1 | head -1
tare rmi "$NAME" >/dev/null || echo "rmi failed"
tare image prune -af >/dev/null || echo "prune failed"
tare system check || echo "check failed"
rm "$ROOM/fill"
[ "$(left)" -ge "$before" ] || echo "lost: $before, now $(left)"
tare images -q
ls "$ROOM/data/tmp"
`;

test("a full disk: nothing half there, removing works, space comes back", async () => {
  const cli = await openLoadedCli();
  const { rootTarball, ociArchive } = await images();
  const kib = Math.ceil(Bun.file(rootTarball).size / 1024);
  const script = FULL_DISK.replace("SIZE", `${Math.ceil((3.2 * kib) / 1024) + 6}`);
  const room = join(cli.scene.dir, "full");
  mustSucceed(await run(["mkdir", room]));
  const [program = ""] = cli.command();
  const tare = `tare() { "${program}" --data-root "$ROOM/data" --run-root "$ROOM/run" "$@"; }`;
  const file = join(cli.scene.dir, "full.sh");
  writeFileSync(file, `${tare}\n${script}`);
  const own = ["unshare", "--mount", "--propagation", "private", "sh", file];
  const env = { ROOM: room, TARBALL: rootTarball, ARCHIVE: ociArchive, NAME };
  const ran = await run(["env", ...Object.entries(env).map(([k, v]) => `${k}=${v}`), ...own], {
    timeoutMs: 300_000,
  });
  expect(ran.stderr).toBe("");
  expect(ran.stdout).toBe("tare: Cannot write to the data root: the disk is full\n");
});
