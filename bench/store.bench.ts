/**
 * Images on their way in: `load` and `pull` beside podman's and beside gzip and tar on the same layers,
 * into empty stores on the same file system; then lists and details of two hundred images.
 */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../tests/harness/fixtures.ts";
import { skopeoCopy, startRegistry } from "../tests/harness/registry.ts";
import { run } from "../tests/harness/run.ts";
import type { Bench, Prepared, Surroundings } from "./harness/bench.ts";
import type { Contest, Side } from "./harness/contest.ts";
import { type ImageArchive, imageArchives, manyImages } from "./harness/image-archives.ts";
import { podmanFlags } from "./harness/podman.ts";

export const STORE: Bench = { name: "store", prepare };

/** Of a pull; a load is held to it too. */
const PEAK_KIB = 150 * 1024;
const PAIRS = 7;
const MANY = 200;
const FEW = 3;
const PREPARE_TIMEOUT_MS = 600_000;

type Engines = {
  readonly tare: readonly string[];
  readonly podman: readonly string[];
  /** Where gzip and tar unpack. */
  readonly plain: string;
  /** Empties all stores. */
  readonly clear: () => void;
};

async function prepare(around: Surroundings): Promise<Prepared> {
  const tare = around.programs.ours.get("tare");
  const podman = around.programs.peers.get("podman");
  if (tare === undefined) return { contests: [], missing: "dist/tare is not built" };
  if (podman === undefined) return { contests: [], missing: "podman is not here" };
  const engines = openEngines(around, tare, podman);
  const archives = await imageArchives(around.quick);
  const contests = archives.flatMap((archive) => loads(archive, engines));
  if (Bun.which("docker-registry") === null || Bun.which("skopeo") === null) {
    const missing = "no pulls: docker-registry or skopeo is not here";
    return { contests: [...contests, ...(await lists(around, tare, podman))], missing };
  }
  // It dies with the pid namespace of the benches.
  const registry = await startRegistry({ dir: around.scratch, defer: () => {} });
  for (const archive of archives) contests.push(await pull(archive, registry.host, engines));
  return { contests: [...contests, ...(await lists(around, tare, podman))] };
}

function openEngines(around: Surroundings, tare: string, podman: string): Engines {
  const crun = around.programs.peers.get("crun") ?? "crun";
  const at = (name: string): string => join(around.scratch, `store-${name}`);
  const plain = at("plain");
  return {
    tare: [tare, "--data-root", at("tare")],
    podman: [podman, ...podmanFlags(at("podman"), "store", crun)],
    plain,
    clear: () => {
      for (const dir of [at("tare"), at("podman"), plain]) {
        rmSync(dir, { recursive: true, force: true });
        mkdirSync(dir, { recursive: true });
      }
    },
  };
}

function loads(archive: ImageArchive, { tare, podman, plain, clear }: Engines): Contest[] {
  const ours: Side = { label: "tare load", words: [...tare, "load", "-i", archive.path] };
  const unpack = `for layer; do gzip -dc "$layer" | tar -x --numeric-owner -p -C ${plain}; done`;
  const shared = { ours, pairs: PAIRS, isLong: true, before: clear } as const;
  return [
    {
      ...shared,
      name: `load ${archive.name}, podman`,
      peer: { label: "podman load", words: [...podman, "load", "-q", "-i", archive.path] },
      bars: { wallRatio: 1, peakKiB: PEAK_KIB },
    },
    {
      ...shared,
      name: `load ${archive.name}, gzip and tar`,
      peer: {
        label: "gzip -dc | tar x",
        words: ["/bin/sh", "-c", unpack, "sh", ...archive.layers],
      },
      bars: { wallRatio: 1.3 },
    },
  ];
}

async function pull(archive: ImageArchive, host: string, engines: Engines): Promise<Contest> {
  const name = archive.image.replace("bench.test", host);
  mustSucceed(await skopeoCopy(`docker-archive:${archive.path}`, `docker://${name}`));
  return {
    name: `pull ${archive.name}, podman`,
    ours: { label: "tare pull", words: [...engines.tare, "pull", "-q", name] },
    peer: {
      label: "podman pull",
      words: [...engines.podman, "pull", "-q", "--tls-verify=false", name],
    },
    bars: { wallRatio: 1, peakKiB: PEAK_KIB },
    pairs: PAIRS,
    isLong: true,
    before: engines.clear,
  };
}

/** Stores of their own, which stay full. */
async function lists(around: Surroundings, tare: string, podman: string): Promise<Contest[]> {
  const crun = around.programs.peers.get("crun") ?? "crun";
  const root = (name: string): string => join(around.scratch, `many-${name}`);
  const ours = [tare, "--data-root", root("tare")];
  const peer = [podman, ...podmanFlags(root("podman"), "many", crun)];
  const count = around.quick ? FEW : MANY;
  const archive = await manyImages(count);
  for (const engine of [ours, peer]) {
    const words = [...engine, "load", "-i", archive];
    mustSucceed(await run(words, { timeoutMs: PREPARE_TIMEOUT_MS }));
  }
  const contest = (name: string, words: string[], theirs = words): Contest => ({
    name: `${name} of ${count}, podman`,
    ours: { label: `tare ${name}`, words: [...ours, ...words] },
    peer: { label: `podman ${name}`, words: [...peer, ...theirs] },
    bars: { wallRatio: 0.5 },
    pairs: 10,
    isLong: true,
  });
  return [
    contest("images", ["images"]),
    contest(
      "image inspect",
      ["image", "inspect", "many:1"],
      ["image", "inspect", "localhost/many:1"],
    ),
  ];
}
