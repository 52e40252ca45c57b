/** Images go out as archives that others read, and come back the same. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { run } from "../harness/run.ts";
import { type Cli, IMAGE, openCli, openLoadedCli } from "./cli-scene.ts";
import { imageId, listLayers, makeRichImage, RICH } from "./rich-image.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(180_000);

async function openRichCli(): Promise<Cli> {
  const cli = await openCli();
  await makeRichImage(cli);
  return cli;
}

/** Saves, and answers the archive's path. */
async function save(cli: Cli, ...words: string[]): Promise<string> {
  const file = join(cli.scene.dir, `saved-${words.join("-").replaceAll(/[^a-z0-9]/g, "")}.tar`);
  mustSucceed(await cli.tare(["save", "-o", file, ...words]));
  return file;
}

/** Loads into a store of its own; it must be the same image with the same files. */
async function expectSame(from: Cli, archive: string, name = RICH): Promise<void> {
  const to = await openCli();
  mustSucceed(await to.tare(["load", "-i", archive]));
  const [row] = mustSucceed(await to.tare(["images", "-q", "--no-trunc"])).stdout.split("\n");
  expect(row).toBe(await imageId(from, name));
  expect(await listLayers(to)).toBe(await listLayers(from));
}

const skopeo = async (from: string, to: string) =>
  mustSucceed(await run(["skopeo", "--insecure-policy", "copy", "--quiet", from, to]));

describe("tare save", () => {
  test("writes the same bytes each time, to a file and through a pipe", async () => {
    const cli = await openRichCli();
    const first = await save(cli, RICH);
    const second = join(cli.scene.dir, "second.tar");
    const line = `"${cli.command("save", RICH).join('" "')}" | cat > ${second}`;
    mustSucceed(await run(["sh", "-c", line]));
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true);
  });

  test("is read back by tare load, in each format", async () => {
    const cli = await openRichCli();
    for (const format of ["both", "oci", "docker"]) {
      const archive = await save(cli, "--format", format, RICH);
      await expectSame(cli, archive);
      const packed = `${archive}.gz`;
      mustSucceed(await run(["sh", "-c", `gzip -1 < ${archive} > ${packed}`]));
      await expectSame(cli, packed);
    }
  });

  test("takes several images and names, a repository with all its tags, and ids", async () => {
    const cli = await openRichCli();
    mustSucceed(await cli.tare(["tag", RICH, "example.test/rich:2"]));
    const archive = await save(cli, "example.test/rich", "example.test/base:1");
    const to = await openCli();
    const loaded = await to.tare(["load", "-i", archive]);
    expect(loaded.stdout.split("\n").sort()).toEqual([
      "",
      "Loaded image: example.test/base:1",
      "Loaded image: example.test/rich:1",
      "Loaded image: example.test/rich:2",
    ]);
    const id = await imageId(cli, "example.test/rich:2");
    const nameless = await save(cli, id.slice(7, 19));
    expect((await to.tare(["load", "-i", nameless])).stdout).toBe(
      `Loaded image ID: ${id.slice(7, 19)}\n`,
    );
  });

  test("says what it cannot do, and leaves no half of a file", async () => {
    const cli = await openLoadedCli();
    const file = join(cli.scene.dir, "out.tar");
    const cases: [words: string[], said: string][] = [
      [["save", "-o", file, "no-such"], "not in the store"],
      [["save", "-o", file], "want 1 to"],
      [["save", "--format", "zip", IMAGE], "want docker, oci or both"],
      [["save", "-o", file, "--platform", "linux/s390x", IMAGE], "none for linux/s390x"],
    ];
    for (const [words, said] of cases) {
      const ran = await cli.tare(words);
      expect([words, ran.code, ran.stderr]).toEqual([words, 1, expect.stringContaining(said)]);
    }
    expect(await Bun.file(file).exists()).toBe(false);
    const shown = await cli.onTerminal(["save", IMAGE], {});
    expect(shown.stdout).toContain("Cannot write an archive to a terminal");
  });

  test("writes no archive that looks whole where a blob is damaged", async () => {
    const cli = await openRichCli();
    const archive = await save(cli, "--format", "oci", RICH);
    const listed = mustSucceed(await run(["tar", "-tvf", archive])).stdout;
    const largest = listed
      .split("\n")
      .filter((line) => line.includes("blobs/sha256/"))
      .sort((a, b) => Number(b.split(/ +/)[2]) - Number(a.split(/ +/)[2]))[0];
    const hex = largest?.slice(-64) ?? "";
    const blob = join(cli.dataRoot, "blobs/sha256", hex);
    const bytes = readFileSync(blob);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    writeFileSync(blob, bytes);
    const ran = await cli.tare(["save", "-o", join(cli.scene.dir, "bad.tar"), RICH]);
    expect([ran.code, ran.stderr]).toEqual([1, expect.stringContaining("is damaged")]);
    expect(await Bun.file(join(cli.scene.dir, "bad.tar")).exists()).toBe(false);
  });
});

describe("a saved image goes through other tools and comes back the same", () => {
  test("skopeo, from each format to a layout, a layout in a tar file, and docker's", async () => {
    const cli = await openRichCli();
    const tag = RICH.split(":")[1];
    const sources = [
      `oci-archive:${await save(cli, RICH)}:${tag}`,
      `docker-archive:${await save(cli, "--format", "docker", RICH)}:${RICH}`,
    ];
    for (const [index, source] of sources.entries()) {
      const base = join(cli.scene.dir, `skopeo-${index}`);
      await skopeo(source, `docker-archive:${base}.docker:${RICH}`);
      await expectSame(cli, `${base}.docker`);
      if (index > 0) continue;
      await skopeo(source, `oci:${base}.dir:${RICH}`);
      await skopeo(source, `oci-archive:${base}.oci:${RICH}`);
      await expectSame(cli, `${base}.dir`);
      await expectSame(cli, `${base}.oci`);
    }
  });

  test("umoci unpacks the same files, and what it repacks is loaded", async () => {
    const cli = await openRichCli();
    const layout = join(cli.scene.dir, "layout");
    mkdirSync(layout);
    const archive = await save(cli, "--format", "oci", RICH);
    mustSucceed(await run(["tar", "-C", layout, "-xf", archive]));
    await expectSame(cli, layout);
    const bundle = join(cli.scene.dir, "bundle");
    mustSucceed(await run(["umoci", "unpack", "--image", `${layout}:1`, bundle]));
    const listing =
      "cd \"$0\" && find . ! -path . -printf '%p %y %m %U %G %l ' \\( -type d -printf '%T@\\n' -o -printf '%s %T@\\n' \\) | LC_ALL=C sort; getfattr -R -h -d -m '^(user|security)' -e hex . | LC_ALL=C sort";
    const flags = ["--name", "seen", "--cgroup-parent", cli.cgroupParent];
    mustSucceed(await cli.tare(["run", ...flags, RICH, "sh", "-c", ":"]));
    const ours = join(cli.scene.dir, "ours");
    mkdirSync(ours);
    const exported = `"${cli.command("export", "seen").join('" "')}" | tar --xattrs --xattrs-include='*' --numeric-owner -C ${ours} -xpf -`;
    mustSucceed(await run(["sh", "-c", exported]));
    mustSucceed(await cli.tare(["rm", "seen"]));
    // Mount points of the run are in the container's root, and none of the image's.
    mustSucceed(
      await run(["sh", "-c", "rm -rf dev proc sys etc/hosts etc/hostname etc/resolv.conf"], {
        cwd: ours,
      }),
    );
    const skip = (text: string) => text.split("\n").filter((line) => !/^\.\/etc d /.test(line));
    const theirs = mustSucceed(await run(["sh", "-c", listing, join(bundle, "rootfs")]));
    const mine = mustSucceed(await run(["sh", "-c", listing, ours]));
    expect(skip(mine.stdout)).toEqual(skip(theirs.stdout));
    mustSucceed(
      await run(["sh", "-ec", "echo theirs > rootfs/theirs; rm rootfs/suid"], { cwd: bundle }),
    );
    mustSucceed(await run(["umoci", "repack", "--image", `${layout}:new`, bundle]));
    const loaded = mustSucceed(await cli.tare(["load", "-i", layout]));
    // umoci takes the annotations over, so both have one name, and the later one keeps it.
    expect(loaded.stdout).toBe(`Loaded image: ${RICH}\n`.repeat(2));
    const again = await openCli();
    mustSucceed(await again.tare(["load", "-i", layout]));
    const ran = await again.tare(
      again.runWords(RICH, "sh", "-c", "read x < /theirs; echo $x; test ! -e /suid"),
    );
    expect([ran.stderr, ran.code, ran.stdout]).toEqual(["", 0, "theirs\n"]);
  });
});
