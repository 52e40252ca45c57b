/**
 * Holds the readers against the specifications' own JSON schemas: what a schema refuses, the reader
 * refuses. The other way round they differ: schemas say nothing of paths, duplicates and the like.
 * Needs python3 with jsonschema, and the schemas of the Debian packages
 * golang-github-opencontainers-specs-dev and golang-github-opencontainers-image-spec-dev.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { TareError } from "./error.ts";
import { parseManifestOrIndex } from "./oci-image.ts";
import { parseImageConfig } from "./oci-image-config.ts";
import { parseConfig } from "./oci-runtime-parse.ts";

const GO = "/usr/share/gocode/src/github.com/opencontainers";
const RUNTIME = `${GO}/runtime-spec/schema/config-schema.json`;
const MANIFEST = `${GO}/image-spec/schema/image-manifest-schema.json`;
const INDEX = `${GO}/image-spec/schema/image-index-schema.json`;
const CONFIG = `${GO}/image-spec/schema/config-schema.json`;

const VALIDATOR = `
import json, os, sys, warnings
warnings.simplefilter("ignore")
import jsonschema
def load(path):
    def strip(node):
        if isinstance(node, dict):
            return {k: strip(v) for k, v in node.items() if not (k == "id" and isinstance(v, str))}
        return [strip(v) for v in node] if isinstance(node, list) else node
    return strip(json.load(open(path)))
path = sys.argv[1]
folder = os.path.dirname(path)
base = "file://" + folder + "/"
store = {base + name: load(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith(".json")}
resolver = jsonschema.RefResolver(base + os.path.basename(path), load(path), store=store)
validator = jsonschema.Draft4Validator(load(path), resolver=resolver)
print(json.dumps([validator.is_valid(json.loads(line)) for line in sys.stdin]))
`;

function schemaVerdicts(schema: string, documents: readonly string[]): boolean[] {
  const stdin = Buffer.from(`${documents.join("\n")}\n`);
  const run = Bun.spawnSync(["python3", "-c", VALIDATOR, schema], { stdin });
  if (run.exitCode !== 0) throw new Error(run.stderr.toString());
  return JSON.parse(run.stdout.toString()) as boolean[];
}

function isMissing(schema: string): boolean {
  const python = Bun.spawnSync(["python3", "-W", "ignore", "-c", "import jsonschema"]);
  const why = existsSync(schema)
    ? python.exitCode === 0
      ? ""
      : "python3 has no jsonschema"
    : `${schema} is not installed`;
  if (why !== "") console.warn(`skipped: ${why}`);
  return why !== "";
}

type Path = readonly (string | number)[];

/** Each place in a document, the deepest last. */
function placesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, item]) =>
    placesOf(item, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return [path, ...inner];
}

const REMOVED = Symbol("removed");
const WRONG: readonly unknown[] = ["x", -1, 1.5, 2 ** 40, true, {}, [], [1], REMOVED];

/** The document with another value at a place, as JSON on one line. */
function withValue(document: unknown, path: Path, value: unknown): string {
  const copy = structuredClone(document) as Record<string | number, unknown>;
  let at = copy;
  for (const key of path.slice(0, -1)) at = at[key] as typeof at;
  const last = path.at(-1) as string | number;
  if (value !== REMOVED) at[last] = value;
  else if (Array.isArray(at)) at.splice(Number(last), 1);
  else delete at[last];
  return JSON.stringify(copy);
}

function isRefused(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text);
    return false;
  } catch (error) {
    if (error instanceof TareError) return true;
    throw error;
  }
}

type Subject = {
  readonly name: string;
  readonly schema: string;
  readonly document: unknown;
  readonly parse: (text: string) => unknown;
  /** Places where the reader takes more than the schema, with the reason. */
  readonly looser: readonly (readonly [place: RegExp, reason: string])[];
};

/**
 * Without integers beyond 2^53, which would be rounded on the way through JavaScript, and without
 * the time namespace: the packaged schema is of 1.0.
 */
function plainConfig(): unknown {
  const text = readFileSync(join(import.meta.dir, "../samples/full-config.json"), "utf8");
  const config = JSON.parse(text.replace(/\d{16,}/g, "7"));
  config.linux.namespaces = config.linux.namespaces.filter(
    ({ type }: { type: string }) => type !== "time",
  );
  return config;
}

const digest = `sha256:${"a".repeat(64)}`;
const descriptor = { mediaType: "application/vnd.oci.image.config.v1+json", digest, size: 3 };

const subjects: readonly Subject[] = [
  {
    name: "config.json",
    schema: RUNTIME,
    document: plainConfig(),
    parse: parseConfig,
    looser: [
      [/^process\.rlimits\.\d+\.type$/, "the runtime knows the limits' names"],
      [/^linux\.devices\.\d+\.fileMode$/, "engines write the bits of the file type too"],
      [/^linux\.resources\.pids(\.limit)?$/, "1.3 made the limit optional"],
      [/^linux\.intelRdt\.memBwSchema$/, "the kernel judges it"],
      [/^linux\.seccomp\.(architectures|flags)\.\d+$/, "the compiler knows their names"],
      [/^linux\.seccomp\.(defaultErrnoRet|syscalls\.\d+\.errnoRet)$/, "checked against the action"],
    ],
  },
  {
    name: "an image manifest",
    schema: MANIFEST,
    document: {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { ...descriptor, urls: ["https://a.example/b"], annotations: { a: "b" } },
      layers: [descriptor, descriptor],
      annotations: { a: "b" },
    },
    parse: parseManifestOrIndex,
    looser: [
      [/\.mediaType$/, "a type that nobody knows is left alone"],
      [/\.urls\.\d+$/, "an address is judged where it is used"],
      [/^layers$/, "1.1 allows artifacts without layers"],
    ],
  },
  {
    name: "an image index",
    schema: INDEX,
    document: {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        {
          ...descriptor,
          platform: {
            architecture: "arm",
            os: "linux",
            "os.version": "1",
            "os.features": ["a"],
            variant: "v7",
          },
        },
      ],
      annotations: { a: "b" },
    },
    parse: parseManifestOrIndex,
    looser: [[/\.mediaType$/, "a type that nobody knows is left alone"]],
  },
  {
    name: "an image configuration",
    schema: CONFIG,
    document: {
      created: "2015-10-31T22:22:56.015925234Z",
      author: "a",
      architecture: "arm",
      variant: "v7",
      os: "linux",
      config: {
        User: "1",
        ExposedPorts: { "80/tcp": {} },
        Env: ["A=b"],
        Entrypoint: ["a"],
        Cmd: ["b"],
        Volumes: { "/v": {} },
        WorkingDir: "/w",
        Labels: { a: "b" },
        StopSignal: "SIGTERM",
      },
      rootfs: { type: "layers", diff_ids: [digest] },
      history: [{ created: "2015-10-31T22:22:56Z", created_by: "c", empty_layer: true }],
    },
    parse: parseImageConfig,
    looser: [
      [/^config\.(ExposedPorts|Volumes)\../, "only the keys of a set are looked at"],
      [/^rootfs\.diff_ids$/, "Docker leaves it out where an image has no layers"],
      [/^config\.(Entrypoint|Cmd)$/, "old images have one string"],
      [/created$/, "a time is judged where it is used"],
    ],
  },
];

describe.each(subjects.map((subject) => [subject.name, subject] as const))(
  "%s",
  (_name, subject) => {
    const { schema, document, parse, looser } = subject;

    test.skipIf(isMissing(schema))(
      "what the schema refuses is refused",
      () => {
        const whole = JSON.stringify(document);
        const places = placesOf(document).filter((path) => path.length > 0);
        // Three of the wrong values at each place, others at the next: all of them would take long.
        const mutants = places.flatMap((path, turn) =>
          [0, 3, 6].map((step) => {
            const value = WRONG[(turn + step) % WRONG.length];
            return { path: path.join("."), text: withValue(document, path, value) };
          }),
        );
        const verdicts = schemaVerdicts(schema, [whole, ...mutants.map(({ text }) => text)]);
        expect(verdicts[0]).toBe(true);
        expect(isRefused(parse, whole)).toBe(false);
        const accepted = mutants.filter(
          ({ path, text }, index) =>
            verdicts[index + 1] === false &&
            !isRefused(parse, text) &&
            !looser.some(([place]) => place.test(path)),
        );
        const refusals = verdicts.filter((verdict) => !verdict).length;
        expect(refusals).toBeGreaterThan(places.length);
        expect(accepted.map(({ path, text }) => `${path}: ${text.slice(0, 200)}`)).toEqual([]);
      },
      60_000,
    );
  },
);
