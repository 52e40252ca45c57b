/**
 * `volume create -o size=`: project quotas of the data root's file system, here ext4 in a file. Where the
 * kernel has none, as on some build machines, what is tested is that it is said.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import { tarball } from "../harness/tarball.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(patiently(240_000));

const MIB = 1024 * 1024;
/** The virtual machine's kernel has quotas. */
const MUST_MOUNT = hostname() === "tare-vm";

/** Runs a script in a mount namespace where `$1` is the disk, with `tare` on it; ends with 77 where it cannot be mounted so. */
async function onDisk(cli: Cli, options: string, script: string): Promise<Ran> {
  const disk = join(cli.scene.dir, "disk");
  const place = join(cli.scene.dir, "place");
  writeFileSync(disk, "");
  truncateSync(disk, 128 * MIB);
  mkdirSync(place);
  // Nobody loads it there because a device is asked for.
  if (MUST_MOUNT) mustSucceed(await run(["modprobe", "loop"]));
  const features = "-O project,quota -E quotatype=prjquota";
  mustSucceed(await run(["sh", "-ec", `mkfs.ext4 -q ${features} ${disk}`]));
  const words = cli.command().map((word) => (word === cli.dataRoot ? `${place}/data` : word));
  const head = `set -e
    mount -o ${options} ${disk} ${place} || exit 77
    tare() { ${words.join(" ")} "$@"; }`;
  const ran = await run(["unshare", "--mount", "sh", "-c", `${head}\n${script}`], {
    timeoutMs: patiently(200_000),
  });
  return ran;
}

test("a volume takes as much as it was given, and another one is not concerned", async () => {
  const cli = await openCli();
  const small = join(cli.scene.dir, "small.tar");
  const large = join(cli.scene.dir, "large.tar");
  writeFileSync(small, tarball([{ name: "in", data: "x".repeat(2 * MIB) }]));
  writeFileSync(large, tarball([{ name: "in", data: "x".repeat(20 * MIB) }]));
  // The size that a file of 20 MiB comes to, with a word before it; without the capability that quotas do not bind.
  const write = (word: string, volume: string) =>
    `obeying dd if=/dev/zero of=${place(volume)}/a bs=1M count=20 2>/dev/null || true
    echo ${word} $(stat -c %s ${place(volume)}/a)`;
  const place = (volume: string) => `${cli.scene.dir}/place/data/volumes/${volume}/data`;
  const ran = await onDisk(
    cli,
    "loop,prjquota",
    `obeying() { setpriv --bounding-set=-sys_resource --inh-caps=-all "$@"; }
    tare volume create -o size=8m one; tare volume create --opt o=size=8m two; tare volume create free
    ${["one", "two", "free"].map((name) => write(name.toUpperCase(), name)).join("\n")}
    echo KIB $(df -k ${place("one")} | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2)
    rm ${place("one")}/a
    tare volume import one ${small}
    echo IN $(stat -c %s ${place("one")}/in)
    tare volume import one ${small}
    ${write("MORE", "one")}
    obeying ${cli.command("volume", "import", "two", large).join(" ").replaceAll(cli.dataRoot, `${cli.scene.dir}/place/data`)} 2>&1 && echo LARGE taken || echo LARGE refused
    echo STILL $(ls ${place("two")})
    tare volume rm one; tare volume create -o size=16m one
    ${write("AGAIN", "one")}
    tare system check`,
  );
  if (ran.code === 77 && !MUST_MOUNT) return;
  expect([ran.code, ran.stderr]).toEqual([0, ""]);
  const said = new Map(
    ran.stdout.split("\n").map((line) => {
      const [word = "", value = ""] = line.split(" ");
      return [word, value] as const;
    }),
  );
  const words = ["FREE", "KIB", "IN", "LARGE", "STILL"].map((word) => said.get(word));
  expect(words).toEqual([`${20 * MIB}`, "8192", `${2 * MIB}`, "refused", "a"]);
  // What the file system itself needs of it is a few blocks.
  const limits = [
    ["ONE", 8],
    ["TWO", 8],
    ["MORE", 6],
    ["AGAIN", 16],
  ] as const;
  for (const [word, most] of limits) {
    const size = Number(said.get(word));
    expect([word, size > (most - 1) * MIB, size <= most * MIB]).toEqual([word, true, true]);
  }
});

test("where there are no project quotas, it is said what is missing, and no volume is left", async () => {
  const cli = await openCli();
  // tmpfs has no quotas of projects on any kernel.
  const words = cli.command().map((word) => (word === cli.dataRoot ? "/run/data" : word));
  const script = `mount -t tmpfs none /run && ${words.join(" ")} volume create -o size=1m one; echo $?
    ${words.join(" ")} volume ls -q; ls /run/data/volumes`;
  const ran = await run(["unshare", "--mount", "sh", "-c", script]);
  expect(ran.stdout).toBe("1\n");
  expect(ran.stderr).toMatch(/Cannot limit ".*": .*project.*\n.*hint: .*ext4/);
  const off = await onDisk(
    cli,
    "loop,noquota",
    "tare volume create -o size=1m one; tare volume ls -q",
  );
  if (off.code === 77 && !MUST_MOUNT) return;
  expect([off.stdout, off.stderr]).toEqual(["", expect.stringContaining("prjquota")]);
});

const REFUSED: readonly [words: string[], why: string][] = [
  [["-o", "size=1x"], "no size"],
  [["-o", "size=0"], "no size"],
  [["-o", "size=1m", "-o", "o=size=2m"], "two sizes"],
  [["-o", "size=1m", "-o", "type=tmpfs"], "a directory of the store"],
  [["-o", "size=1m", "-o", "o=bind", "-o", "device=/tmp"], "a directory of the store"],
];
test.each(REFUSED)("%p is refused", async (words, why) => {
  const cli = await openCli();
  const { code, stderr } = await cli.tare(["volume", "create", ...words, "one"]);
  expect([code, stderr]).toEqual([1, expect.stringContaining(why)]);
  expect((await cli.tare(["volume", "ls", "-q"])).stdout).toBe("");
});
