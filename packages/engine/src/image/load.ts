/**
 * `load`: images out of an archive, of `docker save` (manifest.json) or in OCI layout (index.json).
 * Each byte that is kept is hashed while it is written: blobs against their digests, layers against
 * the diff ids of the configuration. Nothing shows in the store before all of it is right.
 */
import type { Digest } from "@tare/spec/digest.ts";
import { parseManifestOrIndex } from "@tare/spec/oci-image.ts";
import type { Platform } from "@tare/spec/platform.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import type { StagedDocument } from "../store/blob-rows.ts";
import { Staging, sweepStaging } from "../store/store.ts";
import { type ArchiveSource, openArchive } from "./archive.ts";
import { type ArchivedImage, type ArchivedLayer, archivedImages } from "./archived-images.ts";
import { pieceChunks } from "./blob.ts";
import { readUsableConfig } from "./config.ts";
import { digestOf } from "./digest.ts";
import { bringIn, type IncomingLayer } from "./stage.ts";

/** Layers that are unpacked at a time. */
const AT_ONCE = 3;

export type LoadedImage = { readonly id: Digest; readonly names: readonly Reference[] };

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
  for (const image of archivedImages(archive, platform)) {
    loaded.push(await loadImage(engine, image, platform));
  }
  return loaded;
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
      documents: image.documents.map(documentOf),
      layers: image.layers.map(toIncoming),
    },
    { parallel: AT_ONCE },
  );
  return { id, names: image.names };
}

function documentOf(text: string): Omit<StagedDocument, "image"> {
  return { digest: digestOf(text), mediaType: parseManifestOrIndex(text).mediaType, text };
}

function toIncoming({ piece, digest }: ArchivedLayer): IncomingLayer {
  return { digest, size: piece.size, open: () => pieceChunks(piece) };
}
