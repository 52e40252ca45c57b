/** Images and containers that would have a volume lead to the host, and archives that expand without end. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeTree } from "../harness/canary.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { images } from "../harness/images.ts";
import { run, until } from "../harness/run.ts";
import { tarball } from "../harness/tarball.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(180_000);

type World = { readonly cli: Cli; readonly canary: string; readonly before: string[] };

/** A directory of the host, and an image made of busybox and what the script adds. */
async function openWorld(script: string, ...changes: string[]): Promise<World> {
  const cli = await openCli();
  const canary = join(cli.scene.dir, "canary");
  mkdirSync(canary);
  writeFileSync(join(canary, "secret"), "host");
  const root = join(cli.scene.dir, "root");
  const tar = join(cli.scene.dir, "root.tar");
  mkdirSync(root);
  const { rootTarball } = await images();
  const make = `tar -xf ${rootTarball}; CANARY=${canary}; ${script}; tar -cf ${tar} .`;
  mustSucceed(await run(["sh", "-ec", make], { cwd: root }));
  const flags = changes.flatMap((change) => ["-c", change]);
  mustSucceed(await cli.tare(["import", ...flags, tar, "hostile"]));
  return { cli, canary, before: describeTree(canary) };
}

test("a volume of an image at a link leads nowhere outside of its root", async () => {
  const links = "ln -s $CANARY out; ln -s ../../../../../../../..$CANARY up; ln -s /etc etc-link";
  for (const place of ["/out", "/up", "/etc-link", "/etc-link/deep"]) {
    const { cli, canary, before } = await openWorld(links, `VOLUME ${place}`);
    // Its own volume, and one with a name: filled from what the image has there, if it runs at all.
    for (const flags of [[], ["-v", `named:${place}`], ["-v", "/out/secret"]]) {
      const line = `ls -d ${place}/* 2>/dev/null; echo changed > ${place}/secret`;
      const ran = await cli.run("-u", "0", ...flags, "hostile", "sh", "-c", line);
      expect([place, ran.stdout.includes("host\n")]).toEqual([place, false]);
      expect([place, describeTree(canary)]).toEqual([place, before]);
    }
    const named = join(cli.dataRoot, "volumes/named/data");
    const filled = existsSync(named) ? readdirSync(named) : [];
    // The host's has many a file more than the image's: none of it may be copied.
    for (const name of ["shadow", "ssl", "apt", "os-release"]) {
      expect([place, filled.includes(name)]).toEqual([place, false]);
    }
  }
});

test("who exchanges names of a volume meanwhile leads neither copy nor import to the host", async () => {
  const { cli, canary, before } = await openWorld(
    "mkdir -p seed/d; echo in > seed/d/x; echo in > seed/f",
  );
  const exchange = `trap 'exit 0' TERM; ln -s ${canary} /v/l; mkdir -p /v/d; echo > /v/up
    while :; do
      mv /v/d /v/t; mv /v/l /v/d; mv /v/d /v/l; mv /v/t /v/d
      [ -L /v/l ] || { rm -rf /v/l; ln -s ${canary} /v/l; }; [ -d /v/d ] || mkdir -p /v/d
    done 2>/dev/null`;
  mustSucceed(await cli.tare(["volume", "create", "vol"]));
  const words = cli.runWords("-u", "0", "-v", "vol:/v:nocopy", "hostile", "sh", "-c", exchange);
  const child = Bun.spawn(cli.command(...words), { stdio: ["ignore", "ignore", "ignore"] });
  const data = join(cli.dataRoot, "volumes/vol/data");
  await until(
    () => existsSync(join(data, "up")),
    60_000,
    () => "the container's first file",
  );
  const archive = join(cli.scene.dir, "in.tar");
  const entries = ["x", "secret", "deep/y"].map((name) => ({ name: `d/${name}`, data: "bad" }));
  writeFileSync(
    archive,
    tarball([{ name: "d", type: "directory" }, ...entries, { name: "l/z", data: "bad" }]),
  );
  try {
    for (let round = 0; round < 5; round++) {
      // They may fail for what goes away under them.
      await cli.tare(["volume", "import", "vol", archive]);
      await cli.run("-u", "0", "-v", "vol:/seed", "hostile", "true");
      expect([round, describeTree(canary)]).toEqual([round, before]);
    }
  } finally {
    child.kill("SIGTERM");
    await child.exited;
  }
  // Also where the volume is empty when it is to be filled, with a link for what is being copied.
  const room = join(cli.dataRoot, "volumes/vol");
  for (const name of readdirSync(data)) rmSync(join(data, name), { recursive: true });
  await cli.run("-u", "0", "-v", "vol:/seed", "hostile", "true");
  expect(readdirSync(data).sort()).toEqual(["d", "f"]);
  expect(readdirSync(room)).toEqual(["data"]);
  expect(describeTree(canary)).toEqual(before);
});

test.each([
  ["xz", "xz -1"],
  ["bzip2", "bzip2 -1"],
])("a %s bomb that is no archive is stopped early, and takes no memory", async (name, pack) => {
  const cli = await openCli();
  mustSucceed(await cli.tare(["images"]));
  const bomb = join(cli.scene.dir, `bomb.${name}`);
  const line = `(printf 'not a tar archive'; head -c 48M /dev/zero) | ${pack} > ${bomb}`;
  mustSucceed(await run(["sh", "-c", line]));
  const before = cli.inventory();
  const child = Bun.spawn(cli.command("import", bomb, "bomb"), {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, code] = [await new Response(child.stdout).text(), await child.exited];
  expect([code, stdout]).toEqual([1, ""]);
  expect(child.resourceUsage()?.maxRSS ?? Number.NaN).toBeLessThan(200 * 1024 * 1024);
  expect(cli.inventory()).toEqual(before);
});
