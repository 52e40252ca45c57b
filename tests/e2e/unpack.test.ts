/** Unpacking one archive: as GNU tar does, within bounds, and never outside of its directory. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { REPO } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene, type Scene } from "../harness/scene.ts";
import { type Entry, entryBlocks, sealed, tarball } from "../harness/tarball.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(240_000);

const HELPER = resolve(REPO, "dist/tare-helper");
const BLOCK = 512;
const MEMORY_BYTES_MAX = 200 * 1024 * 1024;

type Unpacked = { readonly code: number; readonly error: string; readonly root: string };

let count = 0;

/** Unpacks into a new directory of the scene; an error is its code and message. */
function unpack(scene: Scene, archive: Uint8Array, ...flags: string[]): Unpacked {
  const root = join(scene.dir, `root-${++count}`);
  mkdirSync(root, { mode: 0o700 });
  // A peak that is asked for afterwards would begin at this process' own: the kernel carries it over.
  const bounded = ["prlimit", `--data=${MEMORY_BYTES_MAX}`, HELPER];
  const child = Bun.spawnSync([...bounded, "unpack", "--dir", root, ...flags], {
    stdin: archive,
    env: {},
    timeout: 120_000,
  });
  const stderr = child.stderr.toString();
  if (child.exitCode === 0) return { code: 0, error: "", root };
  expect(stderr.split("\n")).toHaveLength(2);
  const { code, msg } = JSON.parse(stderr) as { code: string; msg: string };
  return { code: child.exitCode ?? -1, error: `${code}: ${msg}`, root };
}

/** All that counts of a tree, a line for each name; with the blocks that files take, where wanted. */
async function listing(root: string, { blocks }: { blocks: boolean }): Promise<string> {
  const shown = blocks ? "%s %b" : "%s";
  const line = `cd ${root} && find . -printf '%p %y %m %U %G ${shown} %T@ %l %n\\n' | sort &&
    find . -type f -exec sha256sum {} + | sort && getfattr -hRd -m - . | sort &&
    find . -type c -o -type b | sort | xargs -r stat -c '%n %t:%T'`;
  const ran = await run(["sh", "-c", line]);
  mustSucceed(ran);
  return ran.stdout;
}

describe("an archive of GNU tar", () => {
  const formats: [name: string, flags: string][] = [
    ["old GNU, sparse", "--format=gnu --sparse"],
    ["PAX, sparse 0.0", "--format=posix --sparse --sparse-version=0.0"],
    ["PAX, sparse 0.1", "--format=posix --sparse --sparse-version=0.1"],
    ["PAX, sparse 1.0", "--format=posix --sparse --sparse-version=1.0"],
    ["PAX, with attributes", "--format=posix --xattrs --xattrs-include=*"],
  ];
  const MAKE = `mkdir -p d/e && cd d && echo x > f && chown 3000000:4000000 f && chmod 6751 f &&
    ln f h && ln -s ../nowhere s && chown -h 7:8 s && touch -h -d '2001-02-03T04:05:06Z' s &&
    mknod n c 1 3 && mknod b b 7 300000 && mkfifo p && chmod 1777 e && : > empty &&
    echo long > "$(printf 'l%.0s' $(seq 200))" && touch -d '1969-12-31T23:59:58Z' empty &&
    (echo head; dd if=/dev/zero bs=1 count=0 seek=300K; echo middle) > holes 2> /dev/null &&
    truncate -s 3M holes && echo tail >> holes && truncate -s 5M holes && truncate -s 1M hole &&
    setfattr -n user.text -v value f && setfattr -n trusted.binary -v 0x000aff f &&
    setcap cap_net_raw+ep h && touch -d '2001-02-03T04:05:06.123456789Z' f e . && cd .. && touch -d @1 d`;

  test("unpacks as GNU tar unpacks it", async () => {
    const scene = await openScene();
    const tree = join(scene.dir, "tree");
    mkdirSync(tree);
    mustSucceed(await run(["sh", "-c", MAKE], { cwd: tree }));
    for (const [name, flags] of formats) {
      const archive = join(scene.dir, "archive.tar");
      const theirs = join(scene.dir, `theirs-${name.replaceAll(" ", "-")}`);
      mkdirSync(theirs, { mode: 0o700 });
      const pack = `tar -C ${tree} --numeric-owner ${flags} -cf ${archive} . &&
        tar -C ${theirs} --numeric-owner --xattrs --xattrs-include='*' -xpf ${archive}`;
      mustSucceed(await run(["sh", "-c", `set -f; ${pack}`]));
      const ours = unpack(scene, readFileSync(archive));
      expect([name, ours.error]).toEqual([name, ""]);
      // Zeros that are no holes in the archive are zeros for GNU tar, and holes for us where they are many.
      const blocks = flags.includes("--sparse");
      const [own, expected] = [
        await listing(ours.root, { blocks }),
        await listing(theirs, { blocks }),
      ];
      expect([name, own]).toEqual([name, expected]);
    }
  });
});

describe("what replaces what", () => {
  const x: Entry = { name: "d/x", data: "x" };
  const rows: [name: string, entries: Entry[], found: string[]][] = [
    ["a file a directory", [dir("d"), x, { name: "d", data: "f" }], ["d"]],
    ["a directory a file", [{ name: "d", data: "f" }, dir("d"), x], ["d", "d/x"]],
    ["a directory a directory", [dir("d"), x, dir("d")], ["d", "d/x"]],
    ["a link a directory, and back", [dir("d"), x, link("d", "e"), dir("d")], ["d"]],
    ["a whiteout nothing of its own layer", [dir("d"), x, { name: "d/.wh.x" }], ["d", "d/x"]],
    ["a file a whiteout", [{ name: ".wh.d" }, { name: "d", data: "f" }], ["d"]],
    [
      "an opaque mark nothing, last or first",
      [dir("d"), x, { name: "d/.wh..wh..opq" }],
      ["d", "d/x"],
    ],
    ["marks of aufs nothing", [{ name: ".wh..wh.plnk", type: "directory" }, x], ["d", "d/x"]],
    ["a hard link a file", [x, { name: "y", data: "y" }, hard("y", "d/x")], ["d", "d/x", "y"]],
  ];
  for (const [name, entries, found] of rows) {
    test(name, async () => {
      const scene = await openScene();
      const { error, root } = unpack(scene, tarball(entries));
      expect(error).toBe("");
      expect((readdirSync(root, { recursive: true }) as string[]).sort()).toEqual(found);
    });
  }
});

describe("a hostile archive", () => {
  /** Ways to a file outside: entries before, and the name that is then used. `@` is the canary. */
  const ways: [name: string, before: (canary: string) => Entry[], path: string][] = [
    ["up", () => [], "../../../../../../../../../..@/file"],
    ["absolute", () => [], "@/file"],
    ["a link", (canary) => [link("l", canary)], "l/file"],
    [
      "a relative link",
      (canary) => [link("l", `../../../../../../../../../..${canary}`)],
      "l/file",
    ],
    ["a link to a link", (canary) => [link("a", canary), link("l", "a")], "l/file"],
    ["a link that was a directory", (canary) => [dir("l"), link("l", canary)], "l/file"],
    ["slashes and dots", (canary) => [link("l", canary)], ".//l/.//file"],
    ["a hard link to a link", (canary) => [link("k", `${canary}/file`), hard("l", "k")], "l"],
  ];
  const deeds: [name: string, entry: (path: string) => Entry[]][] = [
    ["a file", (name) => [{ name, data: "bad" }]],
    ["a directory", (name) => [dir(name)]],
    ["a symbolic link", (name) => [link(name, "bad")]],
    ["a hard link from it", (name) => [hard("own", name), { name: "own", data: "bad" }]],
    ["a hard link from it, then its mode", (name) => [hard("own", name), dir("own")]],
    ["a device", (name) => [{ name, type: "char", major: 1, minor: 3 }]],
    ["a fifo", (name) => [{ name, type: "fifo" }]],
    [
      "attributes",
      (name) => [{ name, type: "symlink", link: "x", pax: { "SCHILY.xattr.user.bad": "1" } }],
    ],
    ["a whiteout", (name) => [{ name: name.replace(/([^/]*)$/, ".wh.$1") }]],
    ["an opaque mark", (name) => [{ name: name.replace(/([^/]*)$/, ".wh..wh..opq") }]],
  ];

  test("reaches nothing outside, by any way", async () => {
    const scene = await openScene();
    const canary = makeCanary(scene);
    const before = canaryState(canary);
    for (const [way, entries, path] of ways) {
      for (const [deed, act] of deeds) {
        const made = act(path.replace("@", canary));
        unpack(scene, tarball([...entries(canary), ...made]));
        expect([way, deed, canaryState(canary)]).toEqual([way, deed, before]);
      }
    }
  });

  const refused: [name: string, archive: () => Uint8Array, message: RegExp][] = [
    ["the root as a link", () => tarball([link(".", "/tmp")]), /the root is a directory/],
    ["a whiteout without a name", () => tarball([{ name: ".wh." }]), /has no name/],
    ["a whiteout of dots", () => tarball([{ name: "a/.wh..." }]), /has no name/],
    ["a whiteout in a whiteout", () => tarball([{ name: ".wh.a/x" }]), /not a directory/],
    ["a whiteout as a device", () => tarball([{ name: "a", type: "char" }]), /device 0:0/],
    ["a NUL in a name", () => tarball([{ name: "a", pax: { path: "a\0b" } }]), /NUL/],
    ["no name", () => tarball([{ name: "" }]), /empty name/],
    [
      "a name of 256 bytes",
      () => tarball([{ name: "a", pax: { path: "n".repeat(256) } }]),
      /255 bytes/,
    ],
    [
      "a name of 5000 bytes",
      () => tarball([{ name: "a", pax: { path: "n/".repeat(2500) } }]),
      /5000 bytes/,
    ],
    ["a depth of 600", () => tarball([{ name: "a", pax: { path: "n/".repeat(600) } }]), /deeper/],
    ["an unknown type", () => tarball([{ name: "a", type: "Z" }]), /unknown type/],
    ["a negative size", () => negative(tarball([{ name: "a" }])), /negative/],
    [
      "a size that is no number",
      () => tarball([{ name: "a", pax: { size: "-1" } }]),
      /not a number/,
    ],
    ["a PAX header of 1 GiB", () => tarball([{ name: "a", type: "x", size: 2 ** 30 }]), /too long/],
    [
      "PAX headers without end",
      () => Buffer.concat(Array(3).fill(paxOf(600_000))),
      /too many headers/,
    ],
    ["a sparse file of 8 EiB", () => sparse(2 ** 53 - 1), /larger than/],
    [
      "a file of 2 TiB",
      () => tarball([{ name: "a", size: 2 ** 32 - 1, pax: { size: `${2 ** 41}` } }]),
      /larger than/,
    ],
    ["a hard link to nothing", () => tarball([hard("a", "b")]), /no such file/],
    ["a hard link to a whiteout", () => tarball([{ name: ".wh.b" }, hard("a", "b")]), /deleted/],
    ["a wrong check sum", () => tarball([{ name: "a" }]).fill("b", 0, 1), /check sum/],
  ];
  test("is refused with one reason", async () => {
    const scene = await openScene();
    for (const [name, archive, message] of refused) {
      const { error } = unpack(scene, archive());
      expect([name, error]).toEqual([name, expect.stringMatching(message)]);
      expect([name, error]).toEqual([name, expect.stringMatching(/^corrupt: /)]);
    }
  });

  test("comes no deeper through links than a path can be", async () => {
    const scene = await openScene();
    const step = Array(200).fill("directory").join("/");
    const level = (at: string, name: string): Entry[] => [
      { ...dir("d"), pax: { path: `${at}${step}` } },
      { ...link("l", "x"), pax: { path: name, linkpath: `${at}${step}` } },
    ];
    const entries = [...level("", "a"), ...level("a/", "b")];
    expect(unpack(scene, tarball(entries)).error).toBe("");
    const deeper = [...entries, ...level("b/", "c"), ...level("c/", "d")];
    expect(unpack(scene, tarball(deeper)).error).toContain("links lead too deep");
  });
});

/** One of everything, for archives that are cut or changed. */
const SAMPLE: Entry[] = [
  dir("d"),
  {
    name: "d/f",
    data: "x".repeat(700),
    pax: { mtime: "12.345678901", "SCHILY.xattr.user.a": "b" },
  },
  link("d/s", "f"),
  hard("d/h", "d/f"),
  { name: "n", type: "char", major: 1, minor: 3 },
  { name: "L", type: "L", data: "d/a-long-name" },
  { name: "cut", data: "y" },
  { name: "d/.wh.gone" },
];

describe("an archive that was damaged", () => {
  test("by a cut at any block is refused, but between entries", async () => {
    const scene = await openScene();
    const whole = Buffer.concat(SAMPLE.flatMap(entryBlocks));
    const ends = new Set<number>();
    let end = 0;
    for (const entry of SAMPLE) {
      end += Buffer.concat(entryBlocks(entry)).length;
      // A long name belongs to what comes after it.
      if (entry.type !== "L") ends.add(end);
    }
    for (let cut = 0; cut <= whole.length; cut += BLOCK) {
      const { code, error } = unpack(scene, whole.subarray(0, cut));
      const fine = cut === 0 || ends.has(cut);
      expect([cut, code, error]).toEqual([
        cut,
        fine ? 0 : 125,
        fine ? "" : expect.stringMatching(/^corrupt/),
      ]);
    }
  });

  test("at random unpacks or is refused, and touches nothing outside", async () => {
    const ROUNDS = 100;
    const scene = await openScene();
    const canary = makeCanary(scene);
    const before = canaryState(canary);
    const random = generator(20_260_101);
    const sample = tarball([link("l", canary), { name: "l/file", data: "bad" }, ...SAMPLE]);
    for (let round = 0; round < ROUNDS; round++) {
      const changed = Buffer.from(sample);
      const header = random(changed.length / BLOCK) * BLOCK;
      for (let times = random(4); times >= 0; times--)
        changed[header + random(BLOCK)] = random(256);
      // Else the check sum would refuse nearly all of them.
      sealed(changed.subarray(header, header + BLOCK));
      const { code, error } = unpack(scene, changed);
      expect([round, code, error]).toEqual([
        round,
        code === 0 ? 0 : 125,
        code === 0 ? "" : expect.stringMatching(/^(?:corrupt|system|no_permission): /),
      ]);
      expect([round, canaryState(canary)]).toEqual([round, before]);
    }
  });
});

describe("in the user namespace of an ordinary user", () => {
  /** Maps ids as podman does, by newuidmap, for nobody; then `$1 …` is run as root in there. */
  const SCRIPT = `set -e
    work=$1; shift
    mount --bind $work/subids /etc/subuid; mount --bind $work/subids /etc/subgid
    cat > $work/inside <<'EOF'
set -e
mkfifo ready go
unshare --user sh -c 'echo > ready; read line < go; exec "$@"' sh "$@" < archive.tar &
pid=$!
read line < ready
newuidmap $pid 0 65534 1 1 200000 60000
newgidmap $pid 0 65534 1 1 200000 60000
echo > go
wait $pid
EOF
    cd $work
    exec setpriv --reuid 65534 --regid 65534 --clear-groups sh $work/inside "$@"`;

  async function unpackAsNobody(scene: Scene, entries: Entry[]) {
    const work = join(scene.dir, "nobody");
    mkdirSync(work);
    writeFileSync(join(work, "subids"), "nobody:200000:60000\n");
    writeFileSync(join(work, "archive.tar"), tarball(entries));
    const prepare = `chmod 755 ${scene.dir} && cp ${HELPER} ${work}/tare-helper && mkdir ${work}/root && chown -R 65534:65534 ${work}`;
    mustSucceed(await run(["sh", "-c", prepare]));
    const words = ["./tare-helper", "unpack", "--dir", `${work}/root`, "--marks", "user"];
    const ran = await run(["unshare", "--mount", "sh", "-c", SCRIPT, "sh", work, ...words]);
    return { ...ran, root: join(work, "root") };
  }

  test("ids are mapped, marks are the user's, devices are left out", async () => {
    const scene = await openScene();
    const ran = await unpackAsNobody(scene, [
      {
        name: "f",
        data: "x",
        uid: 0,
        mode: 0o4755,
        pax: { "SCHILY.xattr.trusted.x": "1", "SCHILY.xattr.user.y": "2" },
      },
      { name: "g", uid: 1000, gid: 50_000 },
      { name: "null", type: "char", major: 1, minor: 3 },
      { name: "p", type: "fifo" },
      { name: ".wh.gone" },
      { ...dir("o"), uid: 3 },
      { name: "o/.wh..wh..opq" },
    ]);
    expect([ran.code, ran.stderr]).toEqual([0, ""]);
    const see = "find . -printf '%p %y %m %U %G\\n' | sort; getfattr -d -m - f o";
    const seen = await run(["sh", "-c", see], { cwd: ran.root });
    expect(
      seen.stdout
        .trim()
        .split("\n")
        .filter((line) => line !== ""),
    ).toEqual([
      ". d 755 65534 65534",
      "./f f 4755 65534 65534",
      "./g f 644 200999 249999",
      "./gone c 0 65534 65534",
      "./o d 755 200002 65534",
      "./p p 644 65534 65534",
      "# file: f",
      'user.y="2"',
      "# file: o",
      'user.overlay.opaque="y"',
    ]);
  });

  test("an owner without a place is told", async () => {
    const scene = await openScene();
    const ran = await unpackAsNobody(scene, [{ name: "f", uid: 70_000 }]);
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toContain("no place for the owner 70000:0");
  });
});

function dir(name: string): Entry {
  return { name, type: "directory", mode: 0o755 };
}

function link(name: string, target: string): Entry {
  return { name, type: "symlink", link: target };
}

function hard(name: string, target: string): Entry {
  return { name, type: "hardlink", link: target };
}

function negative(archive: Buffer): Buffer {
  archive.fill(0xff, 124, 136);
  sealed(archive.subarray(0, BLOCK));
  return archive;
}

function paxOf(size: number): Buffer {
  const [header, data] = entryBlocks({ name: "a", pax: { comment: "c".repeat(size) } });
  return Buffer.concat([header ?? Buffer.alloc(0), data ?? Buffer.alloc(0)]);
}

function sparse(size: number): Buffer {
  const pax = { "GNU.sparse.map": "0,1", "GNU.sparse.size": `${size}` };
  return tarball([{ name: "a", data: "x", pax }]);
}

function makeCanary(scene: Scene): string {
  const canary = join(scene.dir, "canary");
  mkdirSync(canary);
  writeFileSync(join(canary, "file"), "untouched", { mode: 0o640 });
  return canary;
}

function canaryState(canary: string): string {
  const { mode, uid, nlink, ino, ctimeMs } = statSync(join(canary, "file"));
  const text = readFileSync(join(canary, "file"), "utf8");
  const { mode: outer, ctimeMs: changed } = statSync(canary);
  return [readdirSync(canary).join(), mode, uid, nlink, ino, ctimeMs, text, outer, changed].join(
    " ",
  );
}

/** Numbers below a bound, the same ones each time (a linear congruential generator). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
