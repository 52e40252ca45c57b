import { describe, expect, test } from "bun:test";
import { TareError } from "./error.ts";
import {
  DOCKER_CONFIG,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  isConfigType,
  isForeignLayer,
  layerCompression,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media-type.ts";
import { checkLayout, parseIndex, parseManifest, parseManifestOrIndex } from "./oci-image.ts";

type Json = Record<string, unknown>;

const digest = `sha256:${"a".repeat(64)}`;
const layerType = "application/vnd.oci.image.layer.v1.tar+gzip";
const config = { mediaType: OCI_CONFIG, digest, size: 2 };
const layer = { mediaType: layerType, digest, size: 3 };
const manifest: Json = { schemaVersion: 2, config, layers: [layer] };
const index: Json = { schemaVersion: 2, manifests: [] };

function faultOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof TareError)) throw error;
    return error.message.replace("Cannot read the image manifest: ", "");
  }
  return "no error";
}

describe("a manifest", () => {
  test("arrives whole", () => {
    const text = JSON.stringify({
      ...manifest,
      mediaType: OCI_MANIFEST,
      artifactType: "a/b",
      config: { ...config, urls: ["https://x"], annotations: { ["__proto__"]: "x" }, data: "e30=" },
      subject: layer,
      annotations: { k: "v" },
    });
    const { annotations, ...read } = parseManifest(text);
    expect([...annotations]).toEqual([["k", "v"]]);
    const plain = { urls: [], annotations: new Map() };
    expect(String(read.config.digest)).toBe(digest);
    expect(read.config.urls).toEqual(["https://x"]);
    expect(read.layers.map(({ size, mediaType }) => [size, mediaType])).toEqual([[3, layerType]]);
    expect(read.subject?.annotations).toEqual(plain.annotations);
    expect([read.kind, read.mediaType, read.artifactType]).toEqual([
      "manifest",
      OCI_MANIFEST,
      "a/b",
    ]);
  });

  test("of Docker has the same shape", () => {
    const text = JSON.stringify({
      ...manifest,
      mediaType: DOCKER_MANIFEST,
      config: { ...config, mediaType: DOCKER_CONFIG },
    });
    expect(parseManifest(text).mediaType).toBe(DOCKER_MANIFEST);
    expect(parseManifest(text, `${DOCKER_MANIFEST}; charset=utf-8`).mediaType).toBe(
      DOCKER_MANIFEST,
    );
  });

  test("may have no layers, as an artifact", () => {
    expect(parseManifest(JSON.stringify({ ...manifest, layers: [] })).layers).toEqual([]);
  });
});

test("an index arrives whole", () => {
  const platform = {
    architecture: "arm",
    os: "linux",
    variant: "v7",
    "os.version": "1",
    "os.features": ["f"],
  };
  const text = JSON.stringify({
    ...index,
    manifests: [{ ...layer, mediaType: OCI_MANIFEST, platform }, layer],
  });
  const read = parseIndex(text, OCI_INDEX);
  expect(read.manifests[0]?.platform).toStrictEqual({
    os: "linux",
    architecture: "arm",
    osFeatures: ["f"],
    variant: "v7",
    osVersion: "1",
  });
  expect(read.manifests[1]?.platform).toBeUndefined();
  expect(parseIndex(JSON.stringify({ ...index, mediaType: DOCKER_LIST })).mediaType).toBe(
    DOCKER_LIST,
  );
});

const types: [document: Json, contentType: string | undefined, want: string][] = [
  [manifest, undefined, OCI_MANIFEST],
  [manifest, "application/json", OCI_MANIFEST],
  [manifest, "", OCI_MANIFEST],
  [manifest, DOCKER_MANIFEST, DOCKER_MANIFEST],
  [manifest, ` ${OCI_MANIFEST.toUpperCase()} ;q=1`, OCI_MANIFEST],
  [index, undefined, OCI_INDEX],
  [index, DOCKER_LIST, DOCKER_LIST],
];

test.each(types)("%j as %p is %s", (document, contentType, want) => {
  expect(parseManifestOrIndex(JSON.stringify(document), contentType).mediaType).toBe(want);
});

const faults: [document: Json, contentType: string | undefined, message: string][] = [
  [{ ...manifest, manifests: [] }, undefined, "it is a manifest and an index"],
  [{ ...index, layers: [] }, undefined, "it is a manifest and an index"],
  [{ ...index, config }, undefined, "it is a manifest and an index"],
  [manifest, OCI_INDEX, `served as "${OCI_INDEX}", it is a manifest`],
  [index, OCI_MANIFEST, `served as "${OCI_MANIFEST}", it is an index`],
  [
    { ...manifest, mediaType: OCI_INDEX },
    undefined,
    `mediaType: "${OCI_INDEX}" does not fit a manifest`,
  ],
  [
    { ...index, mediaType: OCI_MANIFEST },
    undefined,
    `mediaType: "${OCI_MANIFEST}" does not fit an index`,
  ],
  [
    { ...manifest, mediaType: OCI_MANIFEST },
    DOCKER_MANIFEST,
    `mediaType: served as "${DOCKER_MANIFEST}", got "${OCI_MANIFEST}"`,
  ],
  [
    { ...manifest, mediaType: "text/plain" },
    undefined,
    'mediaType: "text/plain" does not fit a manifest',
  ],
  [
    { ...manifest, schemaVersion: 1 },
    undefined,
    "schemaVersion: want an integer from 2 to 2, got 1",
  ],
  [{ config, layers: [] }, undefined, "schemaVersion: want an integer from 2 to 2, got nothing"],
  [{ schemaVersion: 2 }, undefined, "layers: want an array of objects, got nothing"],
  [
    { schemaVersion: 2, layers: null, config },
    undefined,
    "layers: want an array of objects, got nothing",
  ],
  [{ schemaVersion: 2, layers: [] }, undefined, "config: want an object, got nothing"],
  [{ schemaVersion: 1, fsLayers: [] }, undefined, "schema 1 is too old"],
  [{ ...manifest, layers: {} }, undefined, "layers: want an array of objects, got an object"],
  [
    { ...manifest, layers: [{ ...layer, digest: "sha256:../../x" }] },
    undefined,
    'layers[0].digest: "sha256:../../x" is no digest',
  ],
  [
    { ...manifest, layers: [{ ...layer, digest: 1 }] },
    undefined,
    "layers[0].digest: want a string, got 1",
  ],
  [
    { ...manifest, layers: [{ ...layer, size: -1 }] },
    undefined,
    "layers[0].size: want an integer from 0 to 9007199254740991, got -1",
  ],
  [
    { ...manifest, layers: [{ ...layer, mediaType: "" }] },
    undefined,
    "layers[0].mediaType: must not be empty",
  ],
  [
    { ...manifest, config: { ...config, urls: [1] } },
    undefined,
    "config.urls[0]: want a string, got 1",
  ],
  [{ ...manifest, annotations: { a: 1 } }, undefined, "annotations.a: want a string, got 1"],
  [
    { ...index, manifests: [{ ...layer, platform: { os: "linux" } }] },
    undefined,
    "manifests[0].platform.architecture: want a string, got nothing",
  ],
  [
    { ...manifest, annotations: { a: "b\0" } },
    undefined,
    'annotations.a: "b\\u0000" has a NUL in it',
  ],
];

test.each(faults)("%j as %p is refused", (document, contentType, message) => {
  expect(faultOf(() => parseManifestOrIndex(JSON.stringify(document), contentType))).toBe(message);
});

const sizes: [literal: string, message: string][] = [
  ["9007199254740991", "no error"],
  ["9007199254740992", "want an integer from 0 to 9007199254740991, got 9007199254740992"],
  ["9223372036854775808", "want an integer from 0 to 9007199254740991, got 9223372036854775808"],
  ["1.5", "want an integer from 0 to 9007199254740991, got 1.5"],
  ["1e300", "want an integer from 0 to 9007199254740991, got about 1e+300"],
  ['"3"', 'want an integer from 0 to 9007199254740991, got "3"'],
];

test.each(sizes)("a size of %s", (literal, message) => {
  const text = JSON.stringify({ ...manifest, layers: [{ ...layer, size: "@" }] });
  const fault = faultOf(() => parseManifest(text.replace('"@"', literal)));
  expect(fault.replace("layers[0].size: ", "")).toBe(message);
});

test("the last of equal keys counts, and both kinds are still refused", () => {
  const text = '{"schemaVersion":2,"manifests":[],"layers":[],"manifests":[]}';
  expect(faultOf(() => parseManifestOrIndex(text))).toBe("it is a manifest and an index");
});

test("parseManifest and parseIndex want their own", () => {
  expect(faultOf(() => parseManifest(JSON.stringify(index)))).toBe("it is an index");
  const message = "Cannot read the image index: it is a manifest";
  expect(faultOf(() => parseIndex(JSON.stringify(manifest)))).toBe(message);
});

describe("checkLayout", () => {
  test("takes the one version", () => {
    checkLayout('{"imageLayoutVersion":"1.0.0"}');
    const message = 'Cannot read oci-layout: imageLayoutVersion: want 1.0.0, got "2.0.0"';
    expect(faultOf(() => checkLayout('{"imageLayoutVersion":"2.0.0"}'))).toBe(message);
    expect(() => checkLayout("{}")).toThrow(TareError);
  });
});

const layers: [mediaType: string, compression: string | undefined, isForeign: boolean][] = [
  ["application/vnd.oci.image.layer.v1.tar", "none", false],
  [layerType, "gzip", false],
  ["application/vnd.oci.image.layer.v1.tar+zstd", "zstd", false],
  ["application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip", true],
  ["application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip", false],
  ["application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip", true],
  ["application/vnd.in-toto+json", undefined, false],
  ["constructor", undefined, false],
];

test.each(layers)("a layer of %s", (mediaType, compression, isForeign) => {
  expect(layerCompression(mediaType) as string | undefined).toBe(compression);
  expect(isForeignLayer(mediaType)).toBe(isForeign);
});

test("isConfigType", () => {
  expect([OCI_CONFIG, DOCKER_CONFIG, OCI_MANIFEST].map(isConfigType)).toEqual([true, true, false]);
});
