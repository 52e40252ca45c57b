/**
 * `load`: images out of an archive, of `docker save` (manifest.json) or in OCI layout (index.json).
 * Each byte that is kept is hashed while it is written: blobs against their digests, layers against
 * the diff ids of the configuration. Nothing shows in the store before all of it is right.
 * Sources: OCI image-spec, image-layout.md; moby's image specification v1.2.
 */
import { type Digest, digestHex } from "@tare/spec/digest.ts";
import { parseArchiveManifest } from "@tare/spec/docker-archive.ts";
import { TareError } from "@tare/spec/error.ts";
import { isIndexType } from "@tare/spec/media-type.ts";
import { checkLayout, type Descriptor, parseIndex, parseManifest } from "@tare/spec/oci-image.ts";
import { formatPlatform, type Platform, selectPlatform } from "@tare/spec/platform.ts";
import { parseReference, type Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import type { StagedDocument } from "../store/blob-rows.ts";
import { Staging, sweepStaging } from "../store/store.ts";
import {
  type Archive,
  type ArchiveSource,
  openArchive,
  type Piece,
  readPiece,
  wantPiece,
} from "./archive.ts";
import { checkDigest, pieceChunks } from "./blob.ts";
import { checkAlgorithm, checkImageManifest, machinePlatform, readUsableConfig } from "./config.ts";
import { digestOf } from "./digest.ts";
import { bringIn, type IncomingLayer } from "./stage.ts";

/** Of a manifest, an index or a configuration. */
const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024;
const INDEX_DEPTH_MAX = 4;
/** Of one archive. */
const IMAGES_MAX = 10_000;
/** Layers that are unpacked at a time. */
const AT_ONCE = 3;

export type LoadedImage = { readonly id: Digest; readonly names: readonly Reference[] };

/** What an archive says of one image. */
type ArchivedImage = {
  readonly names: readonly Reference[];
  readonly manifest: string | undefined;
  readonly config: string;
  readonly layers: readonly ArchivedLayer[];
};

/** The digest is known only where a manifest names it. */
type ArchivedLayer = { readonly piece: Piece; readonly digest: Digest | undefined };

/**
 * Brings each image of the archive into the store.
 * @throws TareError `corrupt`, `bad_input`, `not_found`, `unsupported`; images before the faulty one stay.
 */
export async function loadImages(
  engine: Engine,
  source: ArchiveSource,
  platform?: Platform,
): Promise<LoadedImage[]> {
  sweepStaging(engine.store);
  using staging = new Staging(engine.store);
  using archive = await openArchive(source, `${staging.path}/spool`);
  const loaded: LoadedImage[] = [];
  for (const image of listImages(archive, platform)) {
    loaded.push(await loadImage(engine, image, platform));
  }
  return loaded;
}

/** Of an archive that is both, the layout is read: its digests are checked, and the manifest is kept. */
function listImages(archive: Archive, platform: Platform | undefined): ArchivedImage[] {
  const [docker, index] = [archive.find("manifest.json"), archive.find("index.json")];
  const layout = archive.find("oci-layout");
  if (index !== undefined && (layout !== undefined || docker === undefined)) {
    if (layout !== undefined) checkLayout(readText(layout, "oci-layout"));
    return listOciImages(archive, index, platform);
  }
  if (docker !== undefined) return listDockerImages(archive, docker);
  throw new TareError(
    "bad_input",
    "Cannot load: the archive has no manifest.json and no index.json",
    {
      hint: 'It is not an image. For the tarball of a root file system use "tare import"',
    },
  );
}

function listDockerImages(archive: Archive, manifest: Piece): ArchivedImage[] {
  return parseArchiveManifest(readText(manifest, "manifest.json")).map((image) => ({
    names: image.names.map(parseReference),
    manifest: undefined,
    config: readText(wantPiece(archive, image.config), "the image's configuration"),
    layers: image.layers.map((path) => ({ piece: wantPiece(archive, path), digest: undefined })),
  }));
}

function listOciImages(
  archive: Archive,
  index: Piece,
  platform: Platform | undefined,
): ArchivedImage[] {
  const { manifests } = parseIndex(readText(index, "index.json"));
  if (manifests.length > IMAGES_MAX) {
    throw new TareError("corrupt", `Cannot load: index.json names more than ${IMAGES_MAX} images`);
  }
  return manifests.map((descriptor) => {
    const text = findManifest(archive, descriptor, platform, INDEX_DEPTH_MAX);
    const manifest = parseManifest(text);
    checkImageManifest(manifest);
    return {
      names: namesOf(descriptor),
      manifest: text,
      config: readDocument(archive, manifest.config),
      layers: manifest.layers.map((layer) => ({
        piece: wantBlob(archive, layer),
        digest: layer.digest,
      })),
    };
  });
}

/** Down through indexes to the manifest for this machine, or for what was asked for. */
function findManifest(
  archive: Archive,
  descriptor: Descriptor,
  platform: Platform | undefined,
  depth: number,
): string {
  const text = readDocument(archive, descriptor);
  if (!isIndexType(descriptor.mediaType)) return text;
  const wanted = platform ?? machinePlatform();
  const chosen = selectPlatform(parseIndex(text).manifests, wanted);
  if (chosen !== undefined && depth > 0) return findManifest(archive, chosen, platform, depth - 1);
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
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readPiece(piece));
  } catch (cause) {
    throw new TareError("corrupt", `Cannot read ${what}: it is not UTF-8`, { cause });
  }
}

async function loadImage(
  engine: Engine,
  image: ArchivedImage,
  platform: Platform | undefined,
): Promise<LoadedImage> {
  const id = await bringIn(
    engine,
    {
      names: image.names,
      configText: image.config,
      config: readUsableConfig(image.config, platform),
      documents: image.manifest === undefined ? [] : [documentOf(image.manifest)],
      layers: image.layers.map(toIncoming),
    },
    { parallel: AT_ONCE },
  );
  return { id, names: image.names };
}

function documentOf(text: string): Omit<StagedDocument, "image"> {
  return { digest: digestOf(text), mediaType: parseManifest(text).mediaType, text };
}

function toIncoming({ piece, digest }: ArchivedLayer): IncomingLayer {
  return { digest, size: piece.size, open: () => pieceChunks(piece) };
}
