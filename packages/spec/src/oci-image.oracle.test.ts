/** No mutation of an image's documents ends in anything but a TareError. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseArchiveManifest } from "./docker-archive.ts";
import { TareError } from "./error.ts";
import { parseManifestOrIndex } from "./oci-image.ts";
import { parseImageConfig } from "./oci-image-config.ts";

const digest = `sha256:${"a".repeat(64)}`;
const blob = { mediaType: "a/b", digest, size: 3, urls: ["u"], annotations: { a: "b" } };
const platform = { os: "linux", architecture: "arm", variant: "v7", "os.features": ["f"] };

const subjects: readonly [name: string, document: unknown, parse: (text: string) => unknown][] = [
  [
    "a manifest",
    { schemaVersion: 2, config: blob, layers: [blob, blob], subject: blob },
    parseManifestOrIndex,
  ],
  ["an index", { schemaVersion: 2, manifests: [{ ...blob, platform }] }, parseManifestOrIndex],
  ["an archive", [{ Config: "c", RepoTags: ["a:b"], Layers: ["l"] }], parseArchiveManifest],
  [
    "a configuration",
    {
      architecture: "arm",
      os: "linux",
      config: {
        Env: ["A=b"],
        Cmd: ["c"],
        Labels: { a: "b" },
        Volumes: { "/v": {} },
        Healthcheck: { Test: ["CMD"], Interval: 1 },
      },
      rootfs: { type: "layers", diff_ids: [digest] },
      history: [{ created_by: "c", empty_layer: true }],
    },
    parseImageConfig,
  ],
];

const foreign = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(-1, 0.5, 1e300, 2 ** 53, "", "\0", "\ud800", "sha256:", null, [], {}, [[]]),
);

function containersOf(value: unknown): object[] {
  if (typeof value !== "object" || value === null) return [];
  return [value, ...Object.values(value).flatMap(containersOf)];
}

describe.each(subjects)("%s", (_name, document, parse) => {
  test("survives 5,000 mutations", () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.nat(), fc.nat(), foreign, (where, which, value) => {
        const copy = structuredClone(document);
        const containers = containersOf(copy);
        const container = containers[where % containers.length] as Record<string, unknown>;
        const keys = [...Object.keys(container), "__proto__"];
        const key = keys[which % keys.length] as string;
        Object.defineProperty(container, key, { value, enumerable: true, configurable: true });
        try {
          parse(JSON.stringify(copy));
          taken++;
        } catch (error) {
          if (!(error instanceof TareError)) throw error;
        }
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(5000);
  }, 60_000);
});
