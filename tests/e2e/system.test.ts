/** `system df` counts everything, `system check` sees every kind of damage and repairs what can be. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { run } from "../harness/run.ts";
import { type Cli, IMAGE, openCli, openLoadedCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(180_000);

const NAME = `${IMAGE_NAME}:${IMAGE_TAG}`;

type Row = { readonly Type: string; readonly Bytes: number; readonly TotalCount: string };

async function usage(cli: Cli): Promise<Row[]> {
  const { stdout } = await cli.tare(["system", "df", "--format", "json"]);
  const lines = stdout.trim().split("\n");
  return lines.map((line) => JSON.parse(line) as Row);
}

async function expectSumOfDu(cli: Cli): Promise<void> {
  const rows = await usage(cli);
  const du = mustSucceed(await run(["du", "-s", "-B1", cli.dataRoot]));
  const sum = rows.reduce((total, { Bytes }) => total + Bytes, 0);
  expect(sum).toBe(Number(du.stdout.split("\t")[0]));
}

describe("system df", () => {
  test("adds up to du, whatever is there", async () => {
    const cli = await openCli();
    await cli.tare(["images"]);
    await expectSumOfDu(cli);
    mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
    mustSucceed(await cli.tare(["import", (await images()).rootTarball, IMAGE]));
    const keep = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "kept", "-v", "vol:/v"];
    const script = "dd if=/dev/zero of=/v/big bs=1k count=300; ln /v/big /v/same; touch /written";
    mustSucceed(await cli.tare([...keep, "-u", "0", IMAGE, "sh", "-c", script]));
    const log = join(cli.dataRoot, "containers", cli.containers()[0] ?? "", "runtime.log");
    appendFileSync(log, `${"x".repeat(100_000)}\n`);
    mkdirSync(join(cli.dataRoot, "tmp/1-1-left"));
    writeFileSync(join(cli.dataRoot, "tmp/1-1-left/blob"), "y".repeat(50_000));
    await expectSumOfDu(cli);
    const rows = new Map((await usage(cli)).map((row) => [row.Type, row]));
    expect(rows.get("Images")?.TotalCount).toBe("2");
    expect(rows.get("Local Volumes")?.Bytes).toBeGreaterThan(300 * 1024);
    expect(rows.get("Local Volumes")?.Bytes).toBeLessThan(2 * 300 * 1024);
    expect(rows.get("Containers")?.Bytes).toBeGreaterThan(100_000);
    expect(rows.get("Work in Progress")?.Bytes).toBeGreaterThan(50_000);
    const details = (await cli.tare(["system", "df", "-v"])).stdout;
    for (const word of [/^Images:/, / 100kB .* Exited \(0\) +kept\n/, /\nvol +1 +/, /\nAll +/]) {
      expect(details).toMatch(word);
    }
    mustSucceed(await cli.tare(["rm", "kept"]));
  });
});

describe("system check", () => {
  let cli: Cli;
  const layers = () =>
    readdirSync(join(cli.dataRoot, "layers")).map((name) => join(cli.dataRoot, "layers", name));
  const blobs = () =>
    readdirSync(join(cli.dataRoot, "blobs/sha256"))
      .map((name) => join(cli.dataRoot, "blobs/sha256", name))
      .sort((a, b) => statSync(b).size - statSync(a).size);
  const check = (...flags: string[]) => cli.tare(["system", "check", ...flags]);
  const expectClean = async () => {
    const { code, stdout, stderr } = await check();
    expect([code, stdout, stderr]).toEqual([0, "", ""]);
  };
  const open = async () => {
    cli = await openCli();
    mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
    await expectClean();
  };
  const top = () => layers().find((path) => existsSync(join(path, "added"))) ?? "";

  const damages: [name: string, spoil: () => void, finding: RegExp][] = [
    [
      "a file with other content and the same size and time",
      () => {
        const path = join(top(), "added");
        const { atime, mtime } = statSync(path);
        writeFileSync(path, "addEd\n");
        utimesSync(path, atime, mtime);
      },
      /^Layer "sha256:[0-9a-f]{64}" has changed: (time|content) of "\/(added|hard)"\n$/,
    ],
    ["a file more", () => writeFileSync(join(top(), "more"), ""), /names in "\/"\n$/],
    [
      "a layer that is gone",
      () => rmSync(top(), { recursive: true }),
      /^Layer "[^"]+" is missing\n$/,
    ],
  ];
  test.each(damages)("sees %s, and unpacks the layer again", async (_name, spoil, finding) => {
    await open();
    spoil();
    const found = await check();
    expect([found.code, found.stdout]).toEqual([1, expect.stringMatching(finding)]);
    const repaired = await check("--repair");
    expect([repaired.code, repaired.stdout.includes("unpacked again from its blob")]).toEqual([
      0,
      true,
    ]);
    await expectClean();
    const ran = await cli.run("-u", "0", "--entrypoint", "cat", NAME, "/added");
    expect(ran.stdout).toBe("added\n");
  });

  test("not under a running container", async () => {
    await open();
    const words = ["-i", "-u", "0", "--entrypoint", "sh", NAME, "-c", "echo; cat"];
    const child = Bun.spawn(cli.command(...cli.runWords(...words)), {
      stdio: ["pipe", "pipe", "ignore"],
    });
    await child.stdout.getReader().read();
    writeFileSync(join(top(), "more"), "");
    const repaired = await check("--repair");
    expect([repaired.code, repaired.stdout]).toEqual([1, expect.stringContaining("runs on it")]);
    await child.stdin.end();
    await child.exited;
    expect((await check("--repair")).code).toBe(0);
    await expectClean();
  });

  const broken: [name: string, spoil: (path: string) => void, finding: RegExp][] = [
    [
      "a changed byte",
      (path) => {
        const bytes = readFileSync(path);
        bytes[100] = (bytes[100] ?? 0) ^ 1;
        writeFileSync(path, bytes);
      },
      /^Blob "[^"]+" is damaged\n$/,
    ],
    ["a byte more", (path) => appendFileSync(path, "x"), /^Blob "[^"]+" has \d+ bytes, not \d+\n$/],
    ["nothing", (path) => rmSync(path), /^Blob "[^"]+" is missing\n$/],
  ];
  test.each(broken)(
    "a layer's blob with %s takes its image along",
    async (_name, spoil, finding) => {
      await open();
      spoil(blobs()[0] ?? "");
      const found = await check();
      expect([found.code, found.stdout]).toEqual([1, expect.stringMatching(finding)]);
      expect((await check("--repair")).stdout).toMatch(
        /removed with image [0-9a-f]{12}: pull or load/,
      );
      await expectClean();
      expect([layers(), blobs()]).toEqual([[], []]);
      mustSucceed(await cli.tare(["load", "-i", (await images()).ociArchive]));
      await expectClean();
    },
  );

  test("--quick sees what is missing, and not what is in it", async () => {
    await open();
    appendFileSync(join(top(), "added"), "x");
    expect((await check("--quick")).code).toBe(0);
    renameSync(top(), join(cli.scene.dir, "away"));
    expect((await check("--quick")).code).toBe(1);
    mustSucceed(await check("--repair"));
  });

  test("a configuration is written again from its record", async () => {
    await open();
    const id = (await cli.tare(["images", "-q", "--no-trunc"])).stdout.trim().slice(7);
    writeFileSync(join(cli.dataRoot, "blobs/sha256", id), "");
    expect((await check("--repair")).stdout).toMatch(/written again from its record\n$/);
    await expectClean();
  });

  test("volumes, containers and strangers", async () => {
    await open();
    const root = cli.dataRoot;
    mkdirSync(join(root, "volumes/lost/data"), { recursive: true });
    writeFileSync(join(root, "volumes/lost/data/x"), "");
    mkdirSync(join(root, "volumes/empty/data"), { recursive: true });
    mkdirSync(join(root, "containers/what"));
    writeFileSync(join(root, "stranger"), "");
    const keep = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "kept", "-v", "used:/v"];
    mustSucceed(await cli.tare([...keep, "-u", "0", "--entrypoint", "true", NAME]));
    rmSync(join(root, "volumes/used"), { recursive: true });
    const found = (await check()).stdout.trim().split("\n").sort();
    expect(found).toEqual([
      '"stranger" in the data root is not tare\'s',
      'Directory "containers/what" is no container',
      'Directory "volumes/lost" has no record',
      'Volume "used" has lost its directory',
    ]);
    for (const path of ["stranger", "containers/what"])
      rmSync(join(root, path), { recursive: true });
    expect((await check("-r")).stdout).toMatch(/recorded as a volume|made again, empty/);
    const { mode, uid, gid } = statSync(join(root, "volumes/used"));
    expect([mode & 0o7777, uid, gid]).toEqual([0o710, 0, 0]);
    await expectClean();
    expect((await cli.tare(["volume", "ls", "-q", "--filter", "name=lost"])).stdout).toBe("lost\n");
    const id = cli.containers()[0] ?? "";
    rmSync(join(root, "containers", id), { recursive: true });
    expect((await check("-r")).stdout).toBe('Container "kept" has no directory: record removed\n');
    await expectClean();
  });
});

test("neither a check nor a repair nor a prune takes what is not ours", async () => {
  const cli = await openLoadedCli();
  const strange = [
    "volumes/nodata/k",
    "volumes/-odd/data",
    "volumes/afile",
    "layers/foo/k",
    "blobs/sha256/junk",
    "blobs/other",
    "tmp/note",
  ].map((path) => join(cli.dataRoot, path));
  for (const path of strange) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "mine");
  }
  const found = await cli.tare(["system", "check"]);
  const repaired = await cli.tare(["system", "check", "--repair"]);
  expect([found.code, repaired.code, repaired.stdout]).toEqual([1, 1, found.stdout]);
  expect(found.stdout.trim().split("\n").sort()).toEqual([
    '"blobs/other" in the data root is not tare\'s',
    '"blobs/sha256/junk" in the data root is not tare\'s',
    '"layers/foo" in the data root is not tare\'s',
    '"tmp/note" in the data root is not tare\'s',
    '"volumes/-odd" is no volume',
    '"volumes/afile" is no volume',
    '"volumes/nodata" is no volume',
  ]);
  for (const words of [
    ["image", "prune", "-f"],
    ["system", "prune", "-af", "--volumes"],
  ]) {
    mustSucceed(await cli.tare(words));
  }
  const created = await cli.tare(["volume", "create", "nodata"]);
  expect([created.code, created.stderr]).toEqual([1, expect.stringContaining("without a record")]);
  expect(strange.map((path) => readFileSync(path, "utf8"))).toEqual(strange.map(() => "mine"));
});

test("system prune takes ended containers, then what they used", async () => {
  const cli = await openLoadedCli();
  const keep = ["run", "--cgroup-parent", cli.cgroupParent, "-v", "/anonymous", IMAGE, "true"];
  mustSucceed(await cli.tare(keep));
  await cli.tare(["volume", "create", "named"]);
  const first = (await cli.tare(["system", "prune", "-f"])).stdout;
  expect(first).toMatch(/^Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: /);
  const second = (await cli.tare(["system", "prune", "-af", "--volumes"])).stdout;
  expect(second).toMatch(/^Deleted Volumes:\n[0-9a-f]{64}\n\nDeleted Images:\nuntagged: busybox/);
  expect((await cli.tare(["volume", "ls", "-q"])).stdout).toBe("named\n");
  expect(readdirSync(join(cli.dataRoot, "layers"))).toEqual([]);
  mustSucceed(await cli.tare(["system", "check"]));
});
