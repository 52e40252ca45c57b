/**
 * What files an archive of images has, and in what order. Pure: the same images give the same list.
 * Sources: OCI image-spec, image-layout.md; moby's image specification v1.2, "Combined Image JSON".
 */
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { OCI_CONFIG, OCI_MANIFEST } from "@tare/spec/media-type.ts";
import { LAYOUT_VERSION } from "@tare/spec/oci-image.ts";
import { formatFamiliar, parseReference } from "@tare/spec/reference.ts";
import type { Compression } from "./compression.ts";
import { digestOf } from "./digest.ts";

/** An OCI layout, what `docker save` wrote before version 25, or the first with the second's list in it. */
export type SaveFormat = "docker" | "oci" | "both";

export type SavedLayer = {
  readonly blob: Digest;
  readonly diffId: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  readonly compression: Compression;
};

export type SavedImage = {
  readonly id: Digest;
  /** The text of the configuration. */
  readonly config: string;
  /** Complete names; perhaps none. */
  readonly names: readonly string[];
  /** As it came; undefined where no manifest names just these blobs. */
  readonly manifest: { readonly text: string; readonly mediaType: string } | undefined;
  /** Bottom first. */
  readonly layers: readonly SavedLayer[];
};

export type ArchiveFile =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "text"; readonly path: string; readonly text: string }
  | { readonly kind: "layer"; readonly path: string; readonly layer: SavedLayer };

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
const FULL_NAME = "io.containerd.image.name";
const SHORT_NAME = "org.opencontainers.image.ref.name";

/** The files, in the order in which they are written. */
export function planArchive(images: readonly SavedImage[], format: SaveFormat): ArchiveFile[] {
  if (format === "docker") return planDocker(images);
  const blobs = new Map<string, ArchiveFile>();
  const descriptors = images.flatMap((image) => planLayout(image, blobs));
  const text = (path: string, value: unknown): ArchiveFile => ({
    kind: "text",
    path,
    text: JSON.stringify(value),
  });
  const sorted = [...blobs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
  const list = images.map((image) =>
    dockerEntry(image, blobPlace(image.id), ({ blob }) => blobPlace(blob)),
  );
  return [
    { kind: "directory", path: "blobs" },
    { kind: "directory", path: "blobs/sha256" },
    ...sorted,
    text("index.json", {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: descriptors,
    }),
    ...(format === "both" ? [text("manifest.json", list)] : []),
    text("oci-layout", { imageLayoutVersion: LAYOUT_VERSION }),
  ];
}

/** Adds an image's blobs, and answers its descriptors: one for each name. */
function planLayout(image: SavedImage, blobs: Map<string, ArchiveFile>): object[] {
  const add = (text: string): Digest => {
    const digest = digestOf(text);
    blobs.set(digest, { kind: "text", path: blobPlace(digest), text });
    return digest;
  };
  add(image.config);
  for (const layer of image.layers) {
    blobs.set(layer.blob, { kind: "layer", path: blobPlace(layer.blob), layer });
  }
  const { text, mediaType } = image.manifest ?? makeManifest(image);
  const size = new TextEncoder().encode(text).length;
  const descriptor = { mediaType, digest: add(text), size };
  if (image.names.length === 0) return [descriptor];
  return image.names.map((name) => {
    const { tag } = parseReference(name);
    return { ...descriptor, annotations: { [FULL_NAME]: name, [SHORT_NAME]: tag } };
  });
}

/** A manifest of our own, for an image that came without one. */
function makeManifest(image: SavedImage): { readonly text: string; readonly mediaType: string } {
  const size = new TextEncoder().encode(image.config).length;
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: OCI_CONFIG, digest: image.id, size },
    layers: image.layers.map(({ blob, size, compression }) => ({
      mediaType: compression === "plain" ? LAYER_TYPE : `${LAYER_TYPE}+${compression}`,
      digest: blob,
      size,
    })),
  });
  return { text, mediaType: OCI_MANIFEST };
}

/** Layers are plain: readers of that time know no other, or only gzip. */
function planDocker(images: readonly SavedImage[]): ArchiveFile[] {
  const files = new Map<string, ArchiveFile>();
  const config = ({ id }: SavedImage) => `${digestHex(id)}.json`;
  const place = ({ diffId }: SavedLayer) => `${digestHex(diffId)}.tar`;
  for (const image of images) {
    files.set(config(image), { kind: "text", path: config(image), text: image.config });
    for (const layer of image.layers) {
      files.set(place(layer), { kind: "layer", path: place(layer), layer });
    }
  }
  const list = images.map((image) => dockerEntry(image, config(image), place));
  return [...files.values(), { kind: "text", path: "manifest.json", text: JSON.stringify(list) }];
}

function dockerEntry(
  image: SavedImage,
  config: string,
  place: (layer: SavedLayer) => string,
): object {
  const names = image.names.map((name) => formatFamiliar(parseReference(name)));
  return { Config: config, RepoTags: names, Layers: image.layers.map(place) };
}

function blobPlace(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}
