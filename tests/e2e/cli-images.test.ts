/** Images come in whole or not at all: `load`, `import`, `images`, `rmi`, with what other tools write. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { run, until } from "../harness/run.ts";
import { type Cli, IMAGE, openCli, openLoadedCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(120_000);

const NAME = `${IMAGE_NAME}:${IMAGE_TAG}`;

const layers = (cli: Cli) => readdirSync(join(cli.dataRoot, "layers"));
const blobs = (cli: Cli) => readdirSync(join(cli.dataRoot, "blobs/sha256"));

describe("tare load", () => {
  test("takes archives of skopeo, umoci and docker save, plain and compressed", async () => {
    const files = await images();
    const archives = [
      files.ociArchive,
      files.ociArchiveZstd,
      files.dockerArchive,
      files.dockerArchiveGzip,
      files.dockerArchiveZstd,
      files.dockerLegacy,
    ];
    const cli = await openCli();
    for (const archive of archives) {
      const loaded = await cli.tare(["load", "-i", archive]);
      expect([archive, loaded.stderr, loaded.stdout]).toEqual([
        archive,
        "",
        `Loaded image: ${NAME}\n`,
      ]);
      const ran = await cli.run(NAME);
      expect([archive, ran.stdout]).toEqual([archive, "hello from the image\n1000\n/home/test\n"]);
    }
    // Six times the same image: its two layers are there once.
    expect(layers(cli)).toHaveLength(2);
  });

  test("reads standard input", async () => {
    const cli = await openCli();
    const { dockerArchiveGzip } = await images();
    const line = `"${cli.command("load").join('" "')}" < "${dockerArchiveGzip}"`;
    expect((await run(["sh", "-c", line])).stdout).toBe(`Loaded image: ${NAME}\n`);
    const piped = `cat "${dockerArchiveGzip}" | "${cli.command("load").join('" "')}"`;
    expect((await run(["sh", "-c", piped])).stdout).toBe(`Loaded image: ${NAME}\n`);
  });

  test("unpacks as umoci does", async () => {
    const { ociArchive, ociLayout } = await images();
    const cli = await openCli();
    await cli.tare(["load", "-i", ociArchive]);
    const theirs = join(cli.scene.dir, "umoci");
    mustSucceed(await run(["umoci", "unpack", "--image", `${ociLayout}:${IMAGE_TAG}`, theirs]));
    const listing =
      "cd / && find bin etc home t tmp var added link hard -printf '%p %y %m %U %G %s %l\\n' | sort";
    const there = await run(["sh", "-c", listing.replace("cd /", `cd ${theirs}/rootfs`)]);
    const ours = await cli.run(
      ...["-u", "0", "-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"],
      ...["--entrypoint", "/bin/sh", NAME, "-c", listing.replace("find", "/usr/bin/find")],
    );
    const clean = (text: string) =>
      text.split("\n").filter((line) => !/^etc\/(hosts|hostname|resolv)| d /.test(line));
    expect(clean(ours.stdout)).toEqual(clean(there.stdout));
    expect(clean(ours.stdout).length).toBeGreaterThan(50);
  });

  const spoilt: [name: string, spoil: (dir: string) => void, message: RegExp][] = [
    ["a layer with one bit changed", (dir) => flip(largestBlob(dir)), /hashes to|damaged|Cannot/],
    ["a layer that is cut", (dir) => truncateSync(largestBlob(dir), 1000), /bytes, not/],
    ["a missing layer", (dir) => rmSync(largestBlob(dir)), /lacks "blobs/],
    [
      "an index that is no JSON",
      (dir) => writeFileSync(join(dir, "index.json"), "{"),
      /not valid JSON/,
    ],
    [
      "an index that is a manifest too",
      (dir) => edit(dir, (index) => ({ ...index, layers: [] })),
      /manifest and an index/,
    ],
    [
      "a digest that is a path",
      (dir) => edit(dir, () => indexOf("sha256:../../../etc/passwd")),
      /no digest/,
    ],
    ["a digest of another kind", (dir) => edit(dir, () => indexOf("md5:abc")), /no digest/],
    ["no index", (dir) => rmSync(join(dir, "index.json")), /no manifest.json and no index.json/],
  ];
  test("refuses what is not what it says, and keeps nothing of it", async () => {
    const { ociLayout } = await images();
    const cli = await openLoadedCli();
    const before = cli.inventory();
    for (const [name, spoil, message] of spoilt) {
      const dir = join(cli.scene.dir, "spoilt");
      cpSync(ociLayout, dir, { recursive: true });
      spoil(dir);
      const archive = join(cli.scene.dir, "spoilt.tar");
      mustSucceed(await run(["tar", "-C", dir, "-cf", archive, "."]));
      const ran = await cli.tare(["load", "-i", archive]);
      expect([name, ran.code, ran.stdout]).toEqual([name, 1, ""]);
      expect(ran.stderr).toMatch(message);
      expect(cli.inventory()).toEqual(before);
      rmSync(dir, { recursive: true });
    }
  });

  test("refuses a layer that is not the one the configuration names", async () => {
    const { dockerArchive, rootTarball } = await images();
    const cli = await openLoadedCli();
    const dir = join(cli.scene.dir, "docker");
    mkdirSync(dir);
    mustSucceed(await run(["tar", "-C", dir, "-xf", dockerArchive]));
    const manifest = JSON.parse(readFileSync(join(dir, "manifest.json"), "utf8"));
    cpSync(rootTarball, join(dir, manifest[0].Layers[1]), { force: true });
    const before = cli.inventory();
    const archive = join(cli.scene.dir, "docker.tar");
    mustSucceed(await run(["tar", "-C", dir, "-cf", archive, "."]));
    const ran = await cli.tare(["load", "-i", archive]);
    expect(ran.stderr).toContain("hashes to");
    expect(cli.inventory()).toEqual(before);
  });
});

describe("a layer on another", () => {
  /** Two layers in the form of `docker save`; the upper one is as sparse as the format allows. */
  const SCRIPT = `
import hashlib, io, json, sys, tarfile
def layer(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, type, link, mode, uid, data in entries:
            info = tarfile.TarInfo(name); info.type = type; info.linkname = link
            info.mode = mode; info.uid = uid; info.gid = uid; info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()
F, D, H, S = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE
busybox = open("/bin/busybox", "rb").read()
lower = layer(("bin", D, "", 0o755, 0, b""), ("bin/busybox", F, "", 0o755, 0, busybox), ("bin/sh", S, "busybox", 0o777, 0, b""),
    ("tmp", D, "", 0o1777, 0, b""), ("mine", D, "", 0o750, 7, b""), ("mine/old", F, "", 0o640, 7, b"old"),
    ("gone", D, "", 0o755, 0, b""), ("gone/a", F, "", 0o644, 0, b"a"), ("kept", D, "", 0o755, 0, b""), ("kept/a", F, "", 0o644, 0, b"a"), ("kept/b", F, "", 0o644, 0, b"b"),
    ("swap", D, "", 0o755, 0, b""), ("swap/a", F, "", 0o644, 0, b"a"))
upper = layer(("tmp/new", F, "", 0o644, 0, b"n"), ("mine/deep/new", F, "", 0o644, 0, b"n"), ("linked", H, "mine/old", 0, 0, b""),
    ("gone/b", F, "", 0o644, 0, b"b"), ("gone/.wh..wh..opq", F, "", 0, 0, b""), ("kept/.wh.a", F, "", 0, 0, b""), ("kept/.wh.b", F, "", 0, 0, b""), ("kept/b", F, "", 0o644, 0, b"B"),
    (".wh.swap", F, "", 0, 0, b""), ("swap", D, "", 0o755, 0, b""), ("swap/c", F, "", 0o644, 0, b"c"))
config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(x).hexdigest() for x in (lower, upper)]}}).encode()
files = {"c.json": config, "0/layer.tar": lower, "1/layer.tar": upper, "manifest.json": json.dumps([{"Config": "c.json", "RepoTags": ["stack:1"], "Layers": ["0/layer.tar", "1/layer.tar"]}]).encode()}
with tarfile.open(sys.argv[1], "w") as tar:
    for name, data in files.items():
        info = tarfile.TarInfo(name); info.size = len(data); tar.addfile(info, io.BytesIO(data))
`;

  test("may leave out parents, link to files below, hide and bring back", async () => {
    const cli = await openCli();
    const script = join(cli.scene.dir, "stack.py");
    writeFileSync(script, SCRIPT);
    const archive = join(cli.scene.dir, "stack.tar");
    mustSucceed(await run(["python3", script, archive]));
    expect((await cli.tare(["load", "-i", archive])).stderr).toBe("");
    const see = `cd /; B=/bin/busybox; for f in tmp mine mine/deep linked mine/old; do $B stat -c '%n %a %u %h' $f; done
      $B cat linked; echo; echo gone: $($B ls gone) kept: $($B ls kept) $($B cat kept/b) swap: $($B ls swap)`;
    const ran = await cli.run("stack:1", "/bin/sh", "-c", see);
    expect(ran.stderr).toBe("");
    expect(ran.stdout.split("\n")).toEqual([
      "tmp 1777 0 1",
      "mine 750 7 1",
      "mine/deep 755 0 2",
      "linked 640 7 2",
      "mine/old 640 7 2",
      "old",
      "gone: b kept: b B swap: c",
      "",
    ]);
  });
});

describe("a hostile layer", () => {
  /** Python writes names and types that no archiver would. */
  const SCRIPT = `
import io, sys, tarfile
out, case, canary = sys.argv[1:4]
def entry(name, type=tarfile.REGTYPE, link="", mode=0o644, data=b""):
    info = tarfile.TarInfo(name); info.type = type; info.linkname = link; info.mode = mode; info.size = len(data)
    return info, io.BytesIO(data)
S, H, D = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
cases = {
  "dots": [entry("../../../../../../" + canary + "/x", data=b"bad")],
  "dots inside": [entry("a", D), entry("a/../../x", data=b"bad")],
  "absolute": [entry(canary + "/x", data=b"bad")],
  "through a link": [entry("l", S, canary), entry("l/x", data=b"bad")],
  "through a relative link": [entry("l", S, "../../../../../../../.." + canary), entry("l/x", data=b"bad")],
  "through two links": [entry("a", S, "b"), entry("b", S, canary), entry("a/x", data=b"bad")],
  "over a link": [entry("f", S, canary + "/file"), entry("f", data=b"bad")],
  "mode through a link": [entry("l", S, canary + "/file"), entry("l", H, "l"), entry("l", D, mode=0o777)],
  "hard link through a link": [entry("l", S, canary), entry("h", H, "l/file"), entry("h", data=b"bad")],
  "hard link to a link": [entry("l", S, canary + "/file"), entry("h", H, "l"), entry("h", data=b"bad")],
  "hard link outside": [entry("h", H, "../../../../../../../.." + canary + "/file")],
  "root is a link": [entry(".", S, canary), entry("x", data=b"bad")],
  "directory replaced by a link": [entry("d", D), entry("d/x", data=b"1"), entry("d", S, canary), entry("d/x", data=b"bad")],
  "whiteout outside": [entry("l", S, canary), entry("l/.wh.file")],
  "opaque outside": [entry("l", S, canary), entry("l/.wh..wh..opq")],
  "whiteout without a name": [entry(".wh.")],
  "whiteout of the parent": [entry("d", D), entry("d/.wh...")],
  "whiteout in disguise": [(lambda i: (setattr(i, "devmajor", 0), setattr(i, "devminor", 0), (i, io.BytesIO()))[2])(entry("c", tarfile.CHRTYPE)[0])],
  "directory over a link": [entry("l", S, canary), entry("l", D, mode=0o777)],
}
if case == "list":
    print("\\n".join(cases)); sys.exit()
with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
    tar.addfile(*entry("bin", D, mode=0o755))
    for item in cases[case]: tar.addfile(*item)
`;

  test("touches nothing outside of its directory", async () => {
    const cli = await openCli();
    const canary = join(cli.scene.dir, "canary");
    mkdirSync(canary);
    writeFileSync(join(canary, "file"), "untouched", { mode: 0o640 });
    const script = join(cli.scene.dir, "hostile.py");
    writeFileSync(script, SCRIPT);
    const state = () => {
      const stat = statSync(join(canary, "file"));
      const names = readdirSync(canary).join();
      const text = readFileSync(join(canary, "file"), "utf8");
      return `${names} ${stat.mode} ${stat.uid} ${stat.nlink} ${stat.ino} ${text} ${statSync(canary).mode}`;
    };
    const before = state();
    const { stdout } = await run(["python3", script, "-", "list", canary]);
    const cases = stdout.trim().split("\n");
    expect(cases.length).toBeGreaterThan(15);
    for (const [index, name] of cases.entries()) {
      const tarball = join(cli.scene.dir, "hostile.tar");
      mustSucceed(await run(["python3", script, tarball, name, canary]));
      const ran = await cli.tare(["import", tarball, `hostile:${index}`]);
      expect([name, state()]).toEqual([name, before]);
      expect([name, ran.stderr.includes("internal")]).toEqual([name, false]);
      if (ran.code === 0) await cli.tare(["rmi", `hostile:${index}`]);
    }
    expect(layers(cli)).toEqual([]);
  });

  const accounts: [name: string, make: string, works: boolean][] = [
    ["a fifo", "mkfifo passwd", false],
    ["a device", "mknod passwd c 1 5", false],
    ["a directory", "mkdir passwd", false],
    ["a link to itself", "ln -s passwd passwd", false],
    ["a file of a gigabyte", "truncate -s 1G passwd", false],
    ["a link out of the image", "ln -s ../../../../../../../../CANARY passwd", true],
    ["a link inside the image", "echo 'me:x:77:77::/:' > real; ln -s /etc/real passwd", true],
  ];
  test("with odd account files neither blocks nor reads the host's", async () => {
    const cli = await openCli();
    const canary = join(cli.scene.dir, "canary");
    writeFileSync(canary, "secret:x:4242:4242::/:\n");
    for (const [name, make, works] of accounts) {
      const dir = join(cli.scene.dir, "tree");
      const script = `mkdir -p ${dir}/bin ${dir}/etc && cp /bin/busybox ${dir}/bin/ && cd ${dir}/etc && ${make}`;
      mustSucceed(await run(["sh", "-c", script.replace("CANARY", canary)]));
      const tarball = join(cli.scene.dir, "tree.tar");
      mustSucceed(await run(["tar", "-C", dir, "--sparse", "-cf", tarball, "."]));
      const made = await cli.tare(["import", tarball, "odd"], { timeoutMs: 20_000 });
      expect([name, made.code === 0, made.timedOut]).toEqual([name, works, false]);
      const ran = await cli.run("-u", "secret", "odd", "/bin/busybox", "id");
      expect([name, ran.stdout]).toEqual([name, ""]);
      await cli.tare(["rmi", "odd"]);
      rmSync(dir, { recursive: true });
    }
  });

  test("of zeros that decompress without end is stopped by its promise", async () => {
    const cli = await openCli();
    const bomb = join(cli.scene.dir, "bomb.tar.gz");
    const line = `(printf 'not a tar archive'; head -c 300M /dev/zero) | gzip -1 > ${bomb}`;
    mustSucceed(await run(["sh", "-c", line]));
    const ran = await cli.tare(["import", bomb, "bomb"]);
    expect([ran.code, ran.stdout]).toEqual([1, ""]);
    expect(layers(cli)).toEqual([]);
  });
});

describe("tare import", () => {
  test("keeps owners, modes, setuid bits, capabilities, times, devices and odd names", async () => {
    const cli = await openCli();
    const dir = join(cli.scene.dir, "tree");
    const make = `mkdir -p ${dir}/d && cd ${dir} && echo x > f && chown 12:34 f && chmod 4751 f &&
      setcap cap_net_raw+ep f; touch -d '2001-02-03T04:05:06.123456789Z' f d; mknod n c 1 3; mkfifo p;
      ln -s ../nowhere s; ln f h; touch "$(printf 'odd\\377name')"; mkdir e && chmod 1777 e; truncate -s 1G sparse`;
    mustSucceed(await run(["sh", "-c", make]));
    const tarball = join(cli.scene.dir, "tree.tar");
    mustSucceed(
      await run([
        "tar",
        "-C",
        dir,
        "--format=posix",
        "--xattrs",
        "--xattrs-include=*",
        "--sparse",
        "-cf",
        tarball,
        ".",
      ]),
    );
    expect((await cli.tare(["import", tarball, "tree"])).code).toBe(0);
    const [layer = ""] = layers(cli);
    const list = (at: string) =>
      run([
        "sh",
        "-c",
        `cd ${at} && find . -printf '%p %y %m %U %G %s %b %T@ %l %n\\n' | sort; getcap f; stat -c %t:%T n`,
      ]);
    const [ours, theirs] = await Promise.all([
      list(join(cli.dataRoot, "layers", layer)),
      list(dir),
    ]);
    const comparable = (text: string) => text.split("\n").filter((line) => !line.startsWith(". "));
    expect(comparable(ours.stdout)).toEqual(comparable(theirs.stdout));
    expect(ours.stdout).toContain("cap_net_raw");
  });

  test("prints the id, and - reads a pipe", async () => {
    const cli = await openCli();
    const { rootTarball } = await images();
    const line = `gzip -1 < ${rootTarball} | "${cli.command("import", "-", "piped:1").join('" "')}"`;
    const ran = await run(["sh", "-c", line]);
    expect(ran.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect((await cli.run("piped:1", "echo", "runs")).stdout).toBe("runs\n");
  });
});

describe("tare images and rmi", () => {
  test("list in Docker's columns, as JSON and as ids", async () => {
    const cli = await openCli();
    await cli.tare(["load", "-i", (await images()).ociArchive]);
    const table = (await cli.tare(["images"])).stdout.split("\n");
    expect(table[0]).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE$/);
    expect(table[1]).toMatch(
      /^example.test\/fixture\/busybox +1.0 +[0-9a-f]{12} +[0-9]+ \w+ ago +[0-9.]+MB$/,
    );
    const json = JSON.parse((await cli.tare(["images", "--format", "json", "--no-trunc"])).stdout);
    expect(json).toMatchObject({
      Repository: IMAGE_NAME,
      Tag: "1.0",
      CreatedAt: "2024-05-06 07:08:09 +0000 UTC",
    });
    expect(json.ID).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect((await cli.tare(["images", "-q"])).stdout.trim()).toBe(json.ID.slice(7, 19));
    expect((await cli.tare(["images", "--digests"])).stdout).toMatch(/sha256:[0-9a-f]{64}/);
    expect((await cli.tare(["images", "nothing"])).stdout.split("\n")).toHaveLength(2);
  });

  test("rmi takes a name, then the image, then its layers and blobs", async () => {
    const cli = await openLoadedCli();
    await cli.tare(["load", "-i", (await images()).ociArchive]);
    expect(layers(cli).length).toBeGreaterThan(1);
    const removed = await cli.tare(["rmi", NAME]);
    expect(removed.stdout).toMatch(/^Untagged: .*\nDeleted: sha256:[0-9a-f]{64}\n$/);
    expect((await cli.tare(["rmi", IMAGE])).code).toBe(0);
    expect([layers(cli), blobs(cli)]).toEqual([[], []]);
    const again = await cli.tare(["rmi", IMAGE]);
    expect([again.code, again.stderr.includes("not in the store")]).toEqual([1, true]);
  });

  test("an image in use is not taken from under a container", async () => {
    const cli = await openLoadedCli();
    const gate = join(cli.scene.dir, "gate");
    mkdirSync(gate);
    const line = "touch /gate/up; until [ -e /gate/go ]; do sleep 0.1; done; ls /t | wc -l";
    const running = cli.sh(line, "-v", `${gate}:/gate`);
    const isUp = () => existsSync(join(gate, "up"));
    await until(isUp, 30_000, () => "a container that runs");
    const refused = await cli.tare(["rmi", IMAGE]);
    expect([refused.code, refused.stderr.includes("uses it")]).toEqual([1, true]);
    writeFileSync(join(gate, "go"), "");
    expect((await running).code).toBe(0);
    expect((await cli.tare(["rmi", IMAGE])).code).toBe(0);
  });

  test("two loads of one image at once are one image", async () => {
    const cli = await openCli();
    const { dockerArchive } = await images();
    const both = await Promise.all([1, 2].map(() => cli.tare(["load", "-i", dockerArchive])));
    expect(both.map(({ code, stderr }) => `${code}${stderr}`)).toEqual(["0", "0"]);
    expect(layers(cli)).toHaveLength(2);
    expect(existsSync(join(cli.dataRoot, "tmp")) && readdirSync(join(cli.dataRoot, "tmp"))).toEqual(
      [],
    );
  });
});

function largestBlob(dir: string): string {
  const room = join(dir, "blobs/sha256");
  const sizes = readdirSync(room).map((name) => join(room, name));
  return sizes.sort((a, b) => statSync(b).size - statSync(a).size)[0] ?? "";
}

/** Changes a bit in the middle; the size stays. */
function flip(path: string): void {
  const bytes = readFileSync(path);
  const at = bytes.length >> 1;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  if (path.endsWith(createHash("sha256").update(bytes).digest("hex"))) throw new Error("no change");
}

type Index = Record<string, unknown>;

function edit(dir: string, change: (index: Index) => Index): void {
  const path = join(dir, "index.json");
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, "utf8")))));
}

function indexOf(digest: string): Index {
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return { schemaVersion: 2, manifests: [{ mediaType, digest, size: 10 }] };
}
