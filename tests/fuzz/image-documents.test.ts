/**
 * Manifests, indexes, configurations and lists of archives that nobody would write, by the thousand:
 * each is taken or refused with one line. The seeds are the same each time; TARE_FUZZ_CASES and
 * TARE_SEED try others.
 */
import { expect, test } from "bun:test";
import { parseArchiveManifest } from "../../packages/spec/src/docker-archive.ts";
import {
  parseIndex,
  parseManifest,
  parseManifestOrIndex,
} from "../../packages/spec/src/oci-image.ts";
import { parseImageConfig } from "../../packages/spec/src/oci-image-config.ts";
import { faultsOf } from "./judge.ts";
import { mutate, type Node } from "./mutate.ts";
import { Random } from "./random.ts";

type Environment = { readonly TARE_FUZZ_CASES?: string; readonly TARE_SEED?: string };
type Global = { readonly process?: { readonly env: Environment } };
const environment = (globalThis as Global).process?.env;
/** Of each kind of document. */
const USUAL_CASES = environment === undefined ? 200 : 1250;
const CASES = Number(environment?.TARE_FUZZ_CASES ?? USUAL_CASES);
const FIRST_SEED = Number(environment?.TARE_SEED ?? 1);
const FOUND_MAX = 10;
const TEST_MS = 3_600_000;

const digest = (digit: string) => `sha256:${digit.repeat(64)}`;

const DESCRIPTOR = {
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  digest: digest("a"),
  size: 32_654,
  urls: ["https://example.test/layer"],
  annotations: { "org.opencontainers.image.ref.name": "1.0" },
};

const MANIFEST: Node = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  artifactType: "application/example",
  config: {
    mediaType: "application/vnd.oci.image.config.v1+json",
    digest: digest("b"),
    size: 7023,
  },
  layers: [DESCRIPTOR, { ...DESCRIPTOR, digest: digest("c"), size: 16_724 }],
  subject: { ...DESCRIPTOR, mediaType: "application/vnd.oci.image.manifest.v1+json" },
  annotations: { key: "value" },
};

const INDEX: Node = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [
    {
      ...DESCRIPTOR,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      platform: { architecture: "arm", os: "linux", variant: "v7", "os.features": ["a"] },
    },
    { ...DESCRIPTOR, mediaType: "application/vnd.oci.image.index.v1+json" },
  ],
  annotations: { key: "value" },
};

const CONFIG: Node = {
  created: "2024-05-06T07:08:09.123456789Z",
  author: "Ada",
  architecture: "amd64",
  os: "linux",
  config: {
    User: "1000:1000",
    ExposedPorts: { "80/tcp": {} },
    Env: ["PATH=/bin", "A=1"],
    Entrypoint: ["/bin/sh"],
    Cmd: ["-c", "true"],
    Volumes: { "/data": {} },
    WorkingDir: "/home",
    Labels: { "a.b": "c" },
    StopSignal: "SIGUSR1",
    Healthcheck: { Test: ["CMD", "true"], Interval: 30_000_000_000, Retries: 3 },
    OnBuild: ["RUN true"],
    Shell: ["/bin/sh", "-c"],
  },
  rootfs: { type: "layers", diff_ids: [digest("d"), digest("e")] },
  history: [
    { created: "2024-05-06T07:08:09Z", created_by: "ADD", empty_layer: true },
    { comment: "a layer", author: "Ada" },
  ],
};

const LIST: Node = [
  {
    Config: "blobs/sha256/b",
    RepoTags: ["example.test/a:1", "b:latest"],
    Layers: ["x/layer.tar", "y"],
  },
];

const KINDS: readonly (readonly [what: string, document: Node, take: (text: string) => void])[] = [
  ["manifests", MANIFEST, (text) => void [parseManifestOrIndex(text), parseManifest(text)]],
  ["indexes", INDEX, (text) => void [parseManifestOrIndex(text), parseIndex(text)]],
  ["configurations", CONFIG, parseImageConfig],
  ["lists of archives", LIST, parseArchiveManifest],
];

for (const [what, document, take] of KINDS) {
  test(
    `changed ${what} are taken, or refused with one line`,
    () => {
      const found: string[] = [];
      let refused = 0;
      for (let count = 0; count < CASES && found.length < FOUND_MAX; count++) {
        const seed = FIRST_SEED + count;
        const { text } = mutate(document, new Random(seed));
        try {
          take(text);
        } catch (error) {
          refused++;
          found.push(...faultsOf(error, text).map((fault) => `TARE_SEED=${seed}: ${fault}`));
        }
      }
      expect(found).toEqual([]);
      // Else nothing was changed that counts, or nothing is ever taken.
      expect(refused).toBeGreaterThan(CASES / 20);
      expect(refused).toBeLessThan(CASES);
    },
    TEST_MS,
  );
}
