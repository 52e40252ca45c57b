/**
 * Images on their way in: `load` and `pull` beside podman's and docker's and beside gzip and tar on the
 * same layers, into empty stores on the same disk, which is theirs alone; then lists and details of two hundred images,
 * the memory of a pull, and what a push of an unchanged image sends.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../tests/harness/fixtures.ts";
import { startRegistry, type TestRegistry } from "../tests/harness/registry.ts";
import { run } from "../tests/harness/run.ts";
import type { Bench, Prepared, Surroundings } from "./harness/bench.ts";
import type { Verdict } from "./harness/contest.ts";
import { openDisk } from "./harness/disk.ts";
import { clearDocker, type Docker, startDocker } from "./harness/docker.ts";
import { type ImageArchive, imageArchives, manyImages } from "./harness/image-archives.ts";
import { asDirectory } from "./harness/image-directory.ts";
import { peakOfAll } from "./harness/memory.ts";
import { podmanFlags } from "./harness/podman.ts";
import type { Rival, Rounds } from "./harness/rounds.ts";

export const STORE: Bench = { name: "store", prepare };

/** Of a pull; a load is held to it too. */
const PEAK_KIB = 150 * 1024;
const BUDGET_MS = 70_000;
const LISTS_BUDGET_MS = 15_000;
const MANY = 200;
const FEW = 3;
const TIMEOUT_MS = 600_000;

type Engines = {
  readonly tare: readonly string[];
  readonly podman: readonly string[];
  readonly docker: Docker | undefined;
  /** Where gzip and tar unpack. */
  readonly plain: string;
  /** In front of who pulls and who is pulled from. */
  readonly within: readonly string[];
  /** Empties all stores, and leaves nothing to be written back. */
  readonly clear: () => Promise<void>;
};

async function prepare(around: Surroundings): Promise<Prepared> {
  const tare = around.programs.ours.get("tare");
  const podman = around.programs.peers.get("podman");
  if (tare === undefined) return { contests: [], missing: "dist/tare is not built" };
  if (podman === undefined) return { contests: [], missing: "podman is not here" };
  const ends: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const end of ends.reverse()) await end();
  };
  const archives = await imageArchives(around.quick);
  const disk = await openDisk(around.scratch);
  const started = await startDocker(around, disk.dir, (end) => ends.push(end));
  const docker = typeof started === "string" ? undefined : started;
  const engines = openEngines(around, disk.dir, tare, podman, docker);
  const missing = disk.missing === undefined ? [] : [disk.missing];
  if (typeof started === "string") missing.push(started);
  const contests = archives.map((archive) => loads(archive, engines));
  const listed = lists(around, disk.dir, tare, podman, docker);
  if (Bun.which("docker-registry") === null || Bun.which("skopeo") === null) {
    missing.push("no pulls: docker-registry or skopeo is not here");
    return { contests: [...contests, ...listed], missing: missing.join("; "), close };
  }
  const defer = (end: () => Promise<void>) => void ends.push(end);
  const registry = await startRegistry(
    { dir: around.scratch, defer: defer as Parameters<typeof startRegistry>[0]["defer"] },
    { within: engines.within },
  );
  const pulled = archives.map((archive) => pulls(archive, registry, engines));
  return {
    contests: [...contests, ...pulled, ...listed],
    after: () => pullFacts(archives, registry, engines),
    ...(missing.length === 0 ? {} : { missing: missing.join("; ") }),
    close,
  };
}

function openEngines(
  around: Surroundings,
  disk: string,
  tare: string,
  podman: string,
  docker: Docker | undefined,
): Engines {
  const crun = around.programs.peers.get("crun") ?? "crun";
  const at = (name: string): string => join(disk, `store-${name}`);
  const plain = at("plain");
  return {
    tare: [tare, "--data-root", at("tare")],
    podman: [podman, ...podmanFlags(at("podman"), "store", crun)],
    docker,
    plain,
    within: docker?.within ?? [],
    clear: async () => {
      for (const dir of [at("tare"), at("podman"), plain]) {
        rmSync(dir, { recursive: true, force: true });
        mkdirSync(dir, { recursive: true });
      }
      if (docker !== undefined) await clearDocker(docker);
      await must(["sync", "-f", plain]);
    },
  };
}

/** In empty stores, and with the disk waited for. */
function contest(
  name: string,
  ours: readonly string[],
  rivals: readonly Rival[],
  { clear, plain }: Engines,
): Rounds {
  const [what = ""] = name.split(" ");
  return {
    name,
    ours: { label: `tare ${what}`, words: ours },
    rivals,
    budgetMs: BUDGET_MS,
    sync: plain,
    before: clear,
  };
}

function loads(archive: ImageArchive, engines: Engines): Rounds {
  const { tare, podman, docker } = engines;
  const words = ["load", "-q", "-i", archive.path];
  return contest(
    `load ${archive.name}`,
    [...tare, "load", "-i", archive.path],
    [
      rival("podman", "podman load", [...podman, ...words]),
      ...dockerRival(docker, "docker load", words),
      gzipAndTar(archive, engines),
    ],
    engines,
  );
}

function pulls(archive: ImageArchive, registry: TestRegistry, engines: Engines): Rounds {
  const { tare, podman, docker, within } = engines;
  const name = nameAt(archive, registry);
  const theirs = [...within, ...podman, "pull", "-q", "--tls-verify=false", name];
  const pulled = contest(
    `pull ${archive.name}`,
    [...within, ...tare, "pull", "-q", name],
    [
      rival("podman", "podman pull", theirs),
      ...dockerRival(docker, "docker pull", ["pull", "-q", name]),
      gzipAndTar(archive, engines),
    ],
    engines,
  );
  return { ...pulled, prepare: () => putInto(registry, archive, within) };
}

function nameAt(archive: ImageArchive, { host }: TestRegistry): string {
  return archive.image.replace("bench.test", host);
}

async function putInto(
  registry: TestRegistry,
  archive: ImageArchive,
  within: readonly string[],
): Promise<void> {
  const target = `docker://${nameAt(archive, registry)}`;
  const source = `dir:${await asDirectory(archive)}`;
  await must([...within, "skopeo", ...SKOPEO, "copy", "-q", ...COPY, source, target]);
}

const SKOPEO = ["--insecure-policy"];
/** Byte for byte. */
const COPY = ["--preserve-digests", "--dest-tls-verify=false"];

function rival(name: string, label: string, words: readonly string[]): Rival {
  const bars = { wallRatio: 1, peakKiB: PEAK_KIB };
  return { name, label, words, bars, syncedBars: { wallRatio: 1 } };
}

/** The client does nothing but wait. */
function dockerRival(docker: Docker | undefined, label: string, words: readonly string[]): Rival[] {
  if (docker === undefined) return [];
  const waiting = rival("docker", label, [...docker.client, ...words]);
  return [{ ...waiting, elsewhereCpuMs: docker.cpuMs }];
}

function gzipAndTar({ layers }: ImageArchive, { plain }: Engines): Rival {
  const unpack = `for layer; do gzip -dc "$layer" | tar -x --numeric-owner -p -C ${plain}; done`;
  return {
    name: "gzip and tar",
    label: "gzip -dc | tar x",
    words: ["/bin/sh", "-c", unpack, "sh", ...layers],
    bars: { wallRatio: 1.3 },
    syncedBars: { wallRatio: 1.3 },
  };
}

/** Stores of their own, which stay full; docker has only one. */
function lists(
  around: Surroundings,
  disk: string,
  tare: string,
  podman: string,
  docker: Docker | undefined,
): Rounds[] {
  const crun = around.programs.peers.get("crun") ?? "crun";
  const root = (name: string): string => join(disk, `many-${name}`);
  const ours = [tare, "--data-root", root("tare")];
  const theirs = [podman, ...podmanFlags(root("podman"), "many", crun)];
  const count = around.quick ? FEW : MANY;
  const fill = async () => {
    if (docker !== undefined) await clearDocker(docker);
    const archive = await manyImages(count);
    const all = [ours, theirs, ...(docker === undefined ? [] : [docker.client])];
    for (const engine of all) await must([...engine, "load", "-i", archive]);
  };
  const list = (name: string, words: readonly string[], podmanWords = words): Rounds => ({
    name: `${name} of ${count}`,
    ours: { label: `tare ${name}`, words: [...ours, ...words] },
    rivals: [
      {
        name: "podman",
        label: `podman ${name}`,
        words: [...theirs, ...podmanWords],
        bars: { wallRatio: 0.5 },
      },
      ...dockerRival(docker, `docker ${name}`, words).map((each) => ({ ...each, bars: {} })),
    ],
    budgetMs: LISTS_BUDGET_MS,
  });
  const inspect = (name: string) => ["image", "inspect", name];
  return [
    { ...list("images", ["images"]), prepare: fill },
    list("image inspect", inspect("many:1"), inspect("localhost/many:1")),
  ];
}

async function pullFacts(
  archives: readonly ImageArchive[],
  registry: TestRegistry,
  engines: Engines,
): Promise<Verdict[]> {
  const { tare, within } = engines;
  const facts: Verdict[] = [];
  for (const archive of archives) {
    await engines.clear();
    const name = nameAt(archive, registry);
    const value = await peakOfAll([...within, ...tare, "pull", "-q", name]);
    const what = `pull ${archive.name}: memory of all processes together (PSS), KiB`;
    facts.push({ what, value, atMost: PEAK_KIB, met: value <= PEAK_KIB });
    facts.push(await pushedAgain(archive, registry, engines));
  }
  return facts;
}

/** Bytes travel in POST, PATCH and PUT of uploads, and there alone. */
async function pushedAgain(
  archive: ImageArchive,
  registry: TestRegistry,
  { tare, within }: Engines,
): Promise<Verdict> {
  const before = registry.requests().length;
  await must([...within, ...tare, "push", "-q", nameAt(archive, registry)]);
  const uploads = registry
    .requests()
    .slice(before)
    .filter(({ method, uri }) => uri.includes("/blobs/uploads/") && method !== "GET");
  const what = `push ${archive.name}, unchanged: requests that send a blob`;
  return { what, value: uploads.length, atMost: 0, met: uploads.length === 0 };
}

async function must(words: readonly string[]): Promise<void> {
  mustSucceed(await run(words, { timeoutMs: TIMEOUT_MS }));
}
