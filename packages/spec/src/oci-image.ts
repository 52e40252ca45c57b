/**
 * Manifests, indexes and layouts of images. They are strangers' documents: what is used is checked,
 * the rest is not looked at, and a document that could be read as two things is refused. Docker's
 * schema 2 and its list have the same shapes. Source: image-spec 1.1, descriptor.md, manifest.md,
 * image-index.md, image-layout.md. Texts are at most 4 MiB (JSON_LENGTH_MAX).
 */
import { type Digest, parseDigest } from "./digest.ts";
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";
import {
  failAt,
  fieldTable,
  hasField,
  type Place,
  readFields,
  readInteger,
  readJson,
  readObject,
  readObjects,
  readOptionalObject,
  readOptionalString,
  readString,
  readStringMap,
  readStrings,
} from "./json-read.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  isIndexType,
  isManifestType,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media-type.ts";
import type { ImagePlatform } from "./platform.ts";

/** Names content by its hash. */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Other places to get it from: never send credentials there. */
  readonly urls: readonly string[];
  readonly annotations: ReadonlyMap<string, string>;
  readonly platform?: ImagePlatform;
  readonly artifactType?: string;
};

/** One image, or one artifact. */
export type Manifest = {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config: Descriptor;
  /** The lowest first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: ReadonlyMap<string, string>;
  readonly artifactType?: string;
  readonly subject?: Descriptor;
};

/** Several manifests, most often one for each platform. */
export type Index = {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly annotations: ReadonlyMap<string, string>;
  readonly artifactType?: string;
  readonly subject?: Descriptor;
};

/** The only one there is. */
export const LAYOUT_VERSION = "1.0.0";

const SCHEMA_VERSION = 2;

const PLATFORM_FIELDS = fieldTable<Pick<ImagePlatform, "variant">>({ variant: readOptionalString });

const DESCRIPTOR_FIELDS = fieldTable<Pick<Descriptor, "platform" | "artifactType">>({
  platform: readOptionalPlatform,
  artifactType: readOptionalString,
});

const DOCUMENT_FIELDS = fieldTable<Pick<Manifest, "artifactType" | "subject">>({
  artifactType: readOptionalString,
  subject: readOptionalDescriptor,
});

/**
 * The manifest or index of a text. `contentType` is what the registry said it is: where that names a
 * kind, the document must be of it (CVE-2021-41190). Throws `bad_input`.
 */
export function parseManifestOrIndex(text: string, contentType?: string): Manifest | Index {
  return readJson(text, "the image manifest", (place) => {
    if (hasField(place, "fsLayers")) {
      throw new TareError("unsupported", "Cannot read the image manifest: schema 1 is too old", {
        hint: "Push the image again with a tool of the last ten years",
      });
    }
    const isIndex = hasField(place, "manifests");
    if (isIndex && (hasField(place, "layers") || hasField(place, "config"))) {
      failAt(place, undefined, "it is a manifest and an index");
    }
    readInteger(place, "schemaVersion", SCHEMA_VERSION, SCHEMA_VERSION);
    const mediaType = readMediaType(place, isIndex, contentType);
    return isIndex ? readIndex(place, mediaType) : readManifest(place, mediaType);
  });
}

/** As `parseManifestOrIndex`; an index is refused. */
export function parseManifest(text: string, contentType?: string): Manifest {
  const document = parseManifestOrIndex(text, contentType);
  if (document.kind === "manifest") return document;
  throw new TareError("bad_input", "Cannot read the image manifest: it is an index");
}

/** As `parseManifestOrIndex`; a manifest is refused. Also for the `index.json` of a layout. */
export function parseIndex(text: string, contentType?: string): Index {
  const document = parseManifestOrIndex(text, contentType);
  if (document.kind === "index") return document;
  throw new TareError("bad_input", "Cannot read the image index: it is a manifest");
}

/** Checks the `oci-layout` file of a directory of blobs. Throws `bad_input`, `unsupported`. */
export function checkLayout(text: string): void {
  const version = readJson(text, "oci-layout", (place) => readString(place, "imageLayoutVersion"));
  if (version === LAYOUT_VERSION) return;
  throw new TareError(
    "unsupported",
    `Cannot read oci-layout: imageLayoutVersion: want ${LAYOUT_VERSION}, got ${quoteJson(version)}`,
  );
}

/** The document's own word, the registry's, or the type of its shape; those that speak must agree. */
function readMediaType(place: Place, isIndex: boolean, contentType: string | undefined): string {
  const isOfShape = isIndex ? isIndexType : isManifestType;
  const inside = readOptionalString(place, "mediaType");
  if (inside !== undefined && !isOfShape(inside)) {
    failAt(place, "mediaType", `${quoteJson(inside)} does not fit ${shapeOf(isIndex)}`);
  }
  const outside = essenceOf(contentType);
  if (outside === undefined) return inside ?? (isIndex ? OCI_INDEX : OCI_MANIFEST);
  if (!isOfShape(outside)) {
    failAt(place, undefined, `served as ${quoteJson(outside)}, it is ${shapeOf(isIndex)}`);
  }
  if (inside !== undefined && inside !== outside) {
    failAt(place, "mediaType", `served as ${quoteJson(outside)}, got ${quoteJson(inside)}`);
  }
  return outside;
}

function shapeOf(isIndex: boolean): string {
  return isIndex ? "an index" : "a manifest";
}

/** Without parameters, where it names a kind; `application/json` and its like say nothing. */
function essenceOf(contentType: string | undefined): string | undefined {
  const semicolon = contentType?.indexOf(";") ?? -1;
  const type = semicolon < 0 ? contentType : contentType?.slice(0, semicolon);
  const essence = type?.trim().toLowerCase();
  const isKnown = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].includes(essence ?? "");
  return isKnown ? essence : undefined;
}

function readManifest(place: Place, mediaType: string): Manifest {
  if (!hasField(place, "layers")) failAt(place, "layers", "want an array of objects, got nothing");
  return {
    kind: "manifest",
    mediaType,
    config: readDescriptor(readObject(place, "config")),
    layers: readObjects(place, "layers", readDescriptor),
    annotations: readStringMap(place, "annotations"),
    ...readFields(place, DOCUMENT_FIELDS),
  };
}

function readIndex(place: Place, mediaType: string): Index {
  return {
    kind: "index",
    mediaType,
    manifests: readObjects(place, "manifests", readDescriptor),
    annotations: readStringMap(place, "annotations"),
    ...readFields(place, DOCUMENT_FIELDS),
  };
}

function readOptionalDescriptor(place: Place, key: string): Descriptor | undefined {
  const inner = readOptionalObject(place, key);
  return inner === undefined ? undefined : readDescriptor(inner);
}

function readDescriptor(place: Place): Descriptor {
  return {
    mediaType: readString(place, "mediaType"),
    digest: readDigest(place, "digest"),
    size: readInteger(place, "size", 0, Number.MAX_SAFE_INTEGER),
    urls: readStrings(place, "urls"),
    annotations: readStringMap(place, "annotations"),
    ...readFields(place, DESCRIPTOR_FIELDS),
  };
}

function readDigest(place: Place, key: string): Digest {
  const text = readString(place, key);
  try {
    return parseDigest(text);
  } catch {
    return failAt(place, key, `${quoteJson(text)} is no digest`);
  }
}

function readOptionalPlatform(place: Place, key: string): ImagePlatform | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  const osVersion = readOptionalString(inner, "os.version");
  const platform = {
    os: readString(inner, "os"),
    architecture: readString(inner, "architecture"),
    osFeatures: readStrings(inner, "os.features"),
    ...readFields(inner, PLATFORM_FIELDS),
  };
  return osVersion === undefined ? platform : { ...platform, osVersion };
}
