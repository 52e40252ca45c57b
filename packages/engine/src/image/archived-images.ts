/**
 * What an archive says of its images, one at a time: a document is read when its image's turn comes
 * and held no longer, for a small archive may name one large document thousands of times.
 * Sources: OCI image-spec, image-layout.md; moby's image specification v1.2.
 */
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import {
  type ArchivedImage as DockerImage,
  parseArchiveManifest,
} from "@tare/spec/docker-archive.ts";
import { TareError } from "@tare/spec/error.ts";
import { isIndexType } from "@tare/spec/media-type.ts";
import { checkLayout, type Descriptor, parseIndex, parseManifest } from "@tare/spec/oci-image.ts";
import { formatPlatform, type Platform, selectPlatform } from "@tare/spec/platform.ts";
import { parseReference, type Reference } from "@tare/spec/reference.ts";
import { type Archive, type Piece, readPiece, wantPiece } from "./archive.ts";
import { checkDigest } from "./blob.ts";
import { checkAlgorithm, checkImageManifest, machinePlatform } from "./config.ts";
import { digestOf } from "./digest.ts";
import { DOCUMENT_BYTES_MAX, decodeDocument } from "./document.ts";

const INDEX_DEPTH_MAX = 4;
/** Of one archive. */
const IMAGES_MAX = 10_000;
/** What an archive says of one image. */
export type ArchivedImage = {
  readonly names: readonly Reference[];
  /** The manifest last, with the indexes that it was chosen of in front of it; none in docker's archive. */
  readonly documents: readonly string[];
  readonly config: string;
  readonly layers: readonly ArchivedLayer[];
};

/** The digest is known only where a manifest names it. */
export type ArchivedLayer = { readonly piece: Piece; readonly digest: Digest | undefined };

/**
 * The images of an archive, each once with all of its names. Of an archive that is both, the layout is
 * read: its digests are checked, and the manifest is kept.
 * @throws TareError `corrupt`, `bad_input`, `unsupported`; those of an image at its turn
 */
export function* archivedImages(
  archive: Archive,
  platform: Platform | undefined,
): Generator<ArchivedImage> {
  const [docker, index] = [archive.find("manifest.json"), archive.find("index.json")];
  const layout = archive.find("oci-layout");
  if (index !== undefined && (layout !== undefined || docker === undefined)) {
    if (layout !== undefined) checkLayout(readText(layout, "oci-layout"));
    yield* ociImages(archive, index, platform);
  } else if (docker !== undefined) {
    yield* dockerImages(archive, docker);
  } else {
    throw new TareError(
      "bad_input",
      "Cannot load: the archive has no manifest.json and no index.json",
      {
        hint: 'It is not an image. For the tarball of a root file system use "tare import"',
      },
    );
  }
}

function* dockerImages(archive: Archive, manifest: Piece): Generator<ArchivedImage> {
  const images = parseArchiveManifest(readText(manifest, "manifest.json"));
  checkCount(images, "manifest.json");
  for (const same of groups(images, ({ config, layers }) => [config, ...layers].join("\0"))) {
    yield dockerImage(archive, same);
  }
}

function dockerImage(archive: Archive, same: readonly [DockerImage, ...DockerImage[]]) {
  const [{ config, layers }] = same;
  return {
    names: same.flatMap(({ names }) => names.map(parseReference)),
    documents: [],
    config: readText(wantPiece(archive, config), "the image's configuration"),
    layers: layers.map((path) => ({ piece: wantPiece(archive, path), digest: undefined })),
  };
}

function* ociImages(
  archive: Archive,
  index: Piece,
  platform: Platform | undefined,
): Generator<ArchivedImage> {
  const { manifests } = parseIndex(readText(index, "index.json"));
  checkCount(manifests, "index.json");
  for (const same of groups(manifests, ({ digest, mediaType }) => `${digest} ${mediaType}`)) {
    const [descriptor] = same;
    const documents = findManifest(archive, descriptor, platform, INDEX_DEPTH_MAX);
    const manifest = parseManifest(documents.at(-1) ?? "");
    checkImageManifest(manifest);
    yield {
      names: same.flatMap(namesOf),
      documents,
      config: readDocument(archive, manifest.config),
      layers: manifest.layers.map((layer) => ({
        piece: wantBlob(archive, layer),
        digest: layer.digest,
      })),
    };
  }
}

function checkCount(images: readonly unknown[], where: string): void {
  if (images.length <= IMAGES_MAX) return;
  throw new TareError("corrupt", `Cannot load: ${where} names more than ${IMAGES_MAX} images`);
}

/** Those of the same key together, in the order of their first ones. */
function groups<T>(items: readonly T[], keyOf: (item: T) => string): Iterable<[T, ...T[]]> {
  const byKey = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = byKey.get(key);
    if (group === undefined) byKey.set(key, [item]);
    else group.push(item);
  }
  return byKey.values();
}

/** Down through indexes to the manifest for this machine, or for what was asked for. */
function findManifest(
  archive: Archive,
  descriptor: Descriptor,
  platform: Platform | undefined,
  depth: number,
): string[] {
  const text = readDocument(archive, descriptor);
  if (!isIndexType(descriptor.mediaType)) return [text];
  const wanted = platform ?? machinePlatform();
  const chosen = selectPlatform(parseIndex(text).manifests, wanted);
  if (chosen !== undefined && depth > 0) {
    return [text, ...findManifest(archive, chosen, platform, depth - 1)];
  }
  throw new TareError(
    "unsupported",
    `Cannot load the image: it has nothing for ${formatPlatform(wanted)}`,
  );
}

/** Only these two annotations are looked at, and only as names. */
function namesOf(descriptor: Descriptor): Reference[] {
  const full = descriptor.annotations.get("io.containerd.image.name");
  const short = descriptor.annotations.get("org.opencontainers.image.ref.name");
  const name = full ?? short;
  return name === undefined ? [] : [parseReference(name)];
}

function readDocument(archive: Archive, descriptor: Descriptor): string {
  const text = readText(wantBlob(archive, descriptor), descriptor.digest);
  checkDigest(digestOf(text), descriptor.digest, "document");
  return text;
}

function wantBlob(archive: Archive, descriptor: Descriptor): Piece {
  checkAlgorithm(descriptor.digest);
  const piece = wantPiece(archive, `blobs/sha256/${digestHex(descriptor.digest)}`);
  if (piece.size === descriptor.size) return piece;
  throw new TareError(
    "corrupt",
    `Cannot use blob "${descriptor.digest}": it has ${piece.size} bytes, not ${descriptor.size}`,
  );
}

function readText(piece: Piece, what: string): string {
  if (piece.size > DOCUMENT_BYTES_MAX) {
    throw new TareError("corrupt", `Cannot read ${what}: it is larger than 4 MiB`);
  }
  return decodeDocument(readPiece(piece), what);
}
