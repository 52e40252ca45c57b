/**
 * Reads an image's configuration and manifests. They are strangers' documents: each field that is
 * used is checked, the others are not looked at, and nothing in labels or annotations means anything.
 * Source: OCI image-spec, config.md, manifest.md, image-index.md; Docker's schema 2 is the same shape.
 */

import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import {
  failAt,
  hasField,
  type Place,
  readInteger,
  readJson,
  readObject,
  readObjects,
  readOptionalObject,
  readOptionalString,
  readString,
  readStringMap,
  readStrings,
} from "@tare/spec/json-read.ts";
import { type ImageDefaults, NO_DEFAULTS } from "../bundle/process.ts";
import { parseSha256 } from "./digest.ts";

/** More layers than any union file system mounts. */
const LAYERS_MAX = 500;

export type ImageConfig = {
  readonly architecture: string;
  readonly os: string;
  readonly created: string | undefined;
  readonly diffIds: readonly Digest[];
  readonly defaults: ImageDefaults;
};

export type Descriptor = {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string | undefined;
  readonly annotations: ReadonlyMap<string, string>;
  readonly platform: Platform | undefined;
};

export type Platform = { readonly os: string; readonly architecture: string };

export type Manifest = { readonly config: Descriptor; readonly layers: readonly Descriptor[] };

/** @throws TareError `bad_input` */
export function parseImageConfig(text: string): ImageConfig {
  return readJson(text, "the image's configuration", (place) => {
    const rootfs = readObject(place, "rootfs");
    const diffIds = readStrings(rootfs, "diff_ids").map(parseSha256);
    if (diffIds.length > LAYERS_MAX) failAt(rootfs, "diff_ids", `more than ${LAYERS_MAX} layers`);
    return {
      architecture: readString(place, "architecture"),
      os: readString(place, "os"),
      created: readOptionalString(place, "created"),
      diffIds,
      defaults: readDefaults(readOptionalObject(place, "config")),
    };
  });
}

function readDefaults(place: Place | undefined): ImageDefaults {
  if (place === undefined) return NO_DEFAULTS;
  return {
    // An entry without "=" would take a variable of whoever runs the image (CVE-2026-57231).
    env: readStrings(place, "Env").filter((entry) => entry.indexOf("=") > 0),
    entrypoint: readStrings(place, "Entrypoint"),
    command: readStrings(place, "Cmd"),
    workingDir: readOptionalString(place, "WorkingDir") ?? "",
    user: readOptionalString(place, "User") ?? "",
    volumes: readVolumes(place),
    stopSignal: readOptionalString(place, "StopSignal"),
  };
}

/** Go's set: an object whose keys count. A path with ".." could name a place outside. */
function readVolumes(place: Place): readonly string[] {
  const volumes = readOptionalObject(place, "Volumes");
  const paths = volumes === undefined ? [] : Object.keys(volumes.fields);
  for (const path of paths) {
    const parts = path.split("/").filter((part) => part !== "");
    if (!path.startsWith("/") || parts.length === 0 || parts.includes("..")) {
      failAt(place, "Volumes", `"${path}" is not a path inside`);
    }
  }
  return paths;
}

/** @throws TareError `bad_input` for a document that is an index too (CVE-2021-41190), or no manifest. */
export function parseManifest(text: string): Manifest {
  return readJson(text, "the image's manifest", (place) => {
    if (hasField(place, "manifests")) failAt(place, "manifests", "a manifest has none");
    return {
      config: readDescriptor(readObject(place, "config")),
      layers: readObjects(place, "layers", readDescriptor),
    };
  });
}

/** @throws TareError `bad_input` */
export function parseIndex(text: string): readonly Descriptor[] {
  return readJson(text, "the image index", (place) => {
    if (hasField(place, "layers")) failAt(place, "layers", "an index has none");
    return readObjects(place, "manifests", readDescriptor);
  });
}

function readDescriptor(place: Place): Descriptor {
  const platform = readOptionalObject(place, "platform");
  return {
    digest: parseSha256(readString(place, "digest")),
    size: readInteger(place, "size", 0, Number.MAX_SAFE_INTEGER),
    mediaType: readOptionalString(place, "mediaType"),
    annotations: readStringMap(place, "annotations"),
    platform: platform === undefined ? undefined : readPlatform(platform),
  };
}

function readPlatform(place: Place): Platform {
  return { os: readString(place, "os"), architecture: readString(place, "architecture") };
}

export type DockerImage = {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
};

/** The `manifest.json` of `docker save`: a list of images, by paths in the archive. */
export function parseDockerManifest(text: string): readonly DockerImage[] {
  // The reader wants an object; the document is an array.
  return readJson(`{"images":${text}}`, "manifest.json", (place) =>
    readObjects(place, "images", (image) => ({
      config: readString(image, "Config"),
      names: readStrings(image, "RepoTags"),
      layers: readStrings(image, "Layers"),
    })),
  );
}

/** The architecture's name in images, for a name of `uname -m`. */
export function imageArchitecture(machine: string): string {
  const names = new Map([
    ["x86_64", "amd64"],
    ["aarch64", "arm64"],
  ]);
  return names.get(machine) ?? machine;
}

/** The one descriptor of several for this machine. */
export function choosePlatform(
  descriptors: readonly Descriptor[],
  architecture: string,
): Descriptor | undefined {
  if (descriptors.length === 1) return descriptors[0];
  return descriptors.find(
    ({ platform }) => platform?.os === "linux" && platform.architecture === architecture,
  );
}

/** @throws TareError `unsupported` for an image of another system. */
export function checkPlatform(config: ImageConfig, architecture: string): void {
  if (config.os === "linux" && config.architecture === architecture) return;
  const want = `linux/${architecture}`;
  throw new TareError(
    "unsupported",
    `Cannot use the image: it is for ${config.os}/${config.architecture}, this machine is ${want}`,
  );
}
