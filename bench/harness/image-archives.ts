/**
 * Images to be brought in, each as one archive in the form of `docker save` with gzip layers, which all
 * engines read: a Debian root file system, the same in fifty layers, one layer with a gigabyte in one
 * file, many small images. Made once and kept under .build/fixtures.
 */
import { createCipheriv } from "node:crypto";
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import { busyboxRootfs, cached, debianRootfs, mustSucceed } from "../../tests/harness/fixtures.ts";
import { run } from "../../tests/harness/run.ts";

export type ImageArchive = {
  readonly name: string;
  /** In the form of `docker save`. */
  readonly path: string;
  /** What it is called in there, with a registry's name in front. */
  readonly image: string;
  /** The same layers, a file each, bottom first. */
  readonly layers: readonly string[];
};

const MAKE_TIMEOUT_MS = 600_000;
const FIFTY = 50;
const PIECE_BYTES = 64 * 1024;
const BIG_PIECES = 1024 ** 3 / PIECE_BYTES;

/** What the files of all archives depend on. */
const MAKERS = [packTree, waysTo, compressLayers].map(String);

/** All but the many; `small` is one of a few megabytes, to see that it works. */
export async function imageArchives(small: boolean): Promise<ImageArchive[]> {
  if (small) {
    const root = await busyboxRootfs();
    return [await archive("small", basename(root), 1, (dir) => packTree(root, 1, dir))];
  }
  const root = await debianRootfs();
  return [
    await archive("debian", basename(root), 1, (dir) => packTree(root, 1, dir)),
    await archive("fifty layers", basename(root), FIFTY, (dir) => packTree(root, FIFTY, dir)),
    await archive("a gigabyte", packBigFile.toString(), 1, packBigFile),
  ];
}

/** Images `many:0`, `many:1` and so on, which differ in nothing but a label. */
export async function manyImages(count: number): Promise<string> {
  const root = await busyboxRootfs();
  const dir = await cached("bench-many", [`${count}`, basename(root), ...MAKERS], async (made) => {
    await packTree(root, 1, made);
    await compressLayers(
      made,
      Array.from({ length: count }, (_, index) => `many:${index}`),
      1,
    );
  });
  return join(dir, "image.tar");
}

async function archive(
  name: string,
  recipe: string,
  layerCount: number,
  pack: (dir: string) => Promise<void>,
): Promise<ImageArchive> {
  const slug = name.replaceAll(" ", "-");
  const image = `bench.test/${slug}:1`;
  const dir = await cached(`bench-${slug}`, [recipe, ...MAKERS], async (made) => {
    await pack(made);
    await compressLayers(made, [image], layerCount);
  });
  const layers = Array.from({ length: layerCount }, (_, index) => join(dir, `${index}.tar.gz`));
  return { name, path: join(dir, "image.tar"), image, layers };
}

/** `N.tar` becomes `N.tar.gz`, and all of them with configurations the archive `image.tar`. */
async function compressLayers(
  dir: string,
  images: readonly string[],
  count: number,
): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `${index}.tar`);
  const sums = await must(["sha256sum", ...names], dir);
  const diffIds = sums
    .trim()
    .split("\n")
    .map((line) => `sha256:${line.slice(0, 64)}`);
  await must(["gzip", ...names], dir);
  const Layers = names.map((name) => `${name}.gz`);
  const manifest = images.map((image, index) => {
    const config = {
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      config: { Cmd: ["true"], Labels: { index: `${index}` } },
      rootfs: { type: "layers", diff_ids: diffIds },
    };
    writeFileSync(join(dir, `${index}.json`), JSON.stringify(config));
    return { Config: `${index}.json`, RepoTags: [image], Layers };
  });
  writeFileSync(join(dir, "manifest.json"), JSON.stringify(manifest));
  const configs = manifest.map(({ Config }) => Config);
  await must(["tar", "-cf", "image.tar", "manifest.json", ...configs, ...Layers], dir);
}

/**
 * A run of the tree's files to each layer, with the directories above them, as engines write layers: those are
 * upper directories of overlayfs. All directories are in the first.
 */
async function packTree(root: string, count: number, dir: string): Promise<void> {
  const names = (await must(["find", ".", "-print0"], root))
    .split("\0")
    .filter((name) => name !== "");
  const directories = (await must(["find", ".", "-type", "d", "-print0"], root)).split("\0");
  const isDirectory = new Set(directories);
  const files = names.filter((name) => !isDirectory.has(name));
  for (let index = 0; index < count; index++) {
    const [start, end] = [index, index + 1].map((at) => Math.floor((at * files.length) / count));
    const dealt = files.slice(start, end);
    const above = index === 0 ? directories.slice(0, -1) : waysTo(dealt);
    const list = join(dir, "list");
    writeFileSync(list, [...above, ...dealt].join("\0"));
    const from = ["-C", root, "--no-recursion", "--null", "--verbatim-files-from", "-T", list];
    await must(["tar", "--numeric-owner", "-cf", join(dir, `${index}.tar`), ...from], dir);
    rmSync(list);
  }
}

/** The directories above files, each once and behind those above it. */
function waysTo(files: readonly string[]): string[] {
  const found = new Set<string>();
  for (const file of files) {
    for (let end = file.indexOf("/", 2); end > 0; end = file.indexOf("/", end + 1)) {
      found.add(file.slice(0, end));
    }
  }
  return [...found].sort();
}

/** Half of it does not compress, half of it does; the same bytes each time. */
async function packBigFile(dir: string): Promise<void> {
  const tree = join(dir, "tree");
  mkdirSync(tree);
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16), Buffer.alloc(16));
  const zeros = Buffer.alloc(PIECE_BYTES);
  const fd = openSync(join(tree, "big"), "w");
  for (let index = 0; index < BIG_PIECES; index += 2) {
    writeSync(fd, noise.update(zeros));
    writeSync(fd, Buffer.alloc(PIECE_BYTES, `line ${index} of a file that says the same again\n`));
  }
  closeSync(fd);
  await must(["tar", "-C", tree, "-cf", join(dir, "0.tar"), "big"], dir);
  rmSync(tree, { recursive: true });
}

async function must(words: readonly string[], cwd: string): Promise<string> {
  return mustSucceed(await run(words, { cwd, timeoutMs: MAKE_TIMEOUT_MS })).stdout;
}
