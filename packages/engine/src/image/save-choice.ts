/** Which images the words of `save` stand for, under which names, and of which blobs they are made. */
import { closeSync, openSync } from "node:fs";
import { type Digest, digestHex, isDigest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { parseImageConfig } from "@tare/spec/oci-image-config.ts";
import { fitsPlatform, formatPlatform, type Platform } from "@tare/spec/platform.ts";
import { formatReference, parseNamed, parseReference } from "@tare/spec/reference.ts";
import { knownBlob, manifestsOf, readDocument, referencesOf } from "../store/blobs.ts";
import { findName } from "../store/names.ts";
import { blobPath, type Store } from "../store/store.ts";
import { readPiece } from "./archive.ts";
import { knownLayer } from "./commit.ts";
import { type Compression, detectCompression, MAGIC_BYTES } from "./compression.ts";
import { chainIds } from "./digest.ts";
import { listImages } from "./list.ts";
import { findImage } from "./lookup.ts";
import type { SavedImage, SavedLayer } from "./save-plan.ts";

/**
 * The images of the words, each once, in the order of the words. A repository without a tag is all of
 * its tags, as in Docker; an id is an image without a name.
 * @throws TareError `not_found`
 */
export function chooseImages(
  store: Store,
  words: readonly string[],
  platform: Platform | undefined,
): SavedImage[] {
  const names = new Map<Digest, string[]>();
  for (const { id, name } of words.flatMap((word) => resolveWord(store, word, platform))) {
    const known = names.get(id) ?? [];
    if (name !== undefined && !known.includes(name)) known.push(name);
    names.set(id, known);
  }
  return [...names].map(([id, known]) => describeImage(store, id, known));
}

type Choice = { readonly id: Digest; readonly name: string | undefined };

function resolveWord(store: Store, word: string, platform: Platform | undefined): Choice[] {
  const named = tryNamed(word);
  if (named !== undefined && named.tag === undefined && named.digest === undefined) {
    const rows = listImages(store, word).filter(({ tag }) => tag !== undefined);
    if (rows.length > 0) {
      return rows.map(({ repository, tag }) =>
        choose(store, formatReference(parseReference(`${repository}:${tag}`)), platform, true),
      );
    }
  }
  const isName =
    named?.tag !== undefined && !isDigest(word) && findName(store, named) !== undefined;
  return [choose(store, isName ? formatReference(named) : word, platform, isName)];
}

function tryNamed(word: string) {
  try {
    return parseNamed(word);
  } catch {
    return undefined;
  }
}

function choose(
  store: Store,
  word: string,
  platform: Platform | undefined,
  isName: boolean,
): Choice {
  const { id } = findImage(store, word);
  const name = isName ? word : undefined;
  if (platform === undefined) return { id, name };
  const target = isName ? findName(store, parseReference(word))?.target : undefined;
  const others = target === undefined ? [] : referencesOf(store, target);
  const ids = [id, ...others.flatMap(({ child }) => knownBlob(store, child)?.image ?? [])];
  const chosen = ids.find((each) => {
    const config = parseImageConfig(findImage(store, each).config);
    return fitsPlatform(config, platform);
  });
  if (chosen !== undefined) return { id: chosen, name };
  throw new TareError(
    "not_found",
    `Cannot save image "${word}": the store has none for ${formatPlatform(platform)}`,
  );
}

function describeImage(store: Store, id: Digest, names: readonly string[]): SavedImage {
  const { config } = findImage(store, id);
  const { diffIds } = parseImageConfig(config);
  for (const digest of manifestsOf(store, id)) {
    const layers = layersOfManifest(store, digest, diffIds);
    if (layers === undefined) continue;
    const mediaType = knownBlob(store, digest)?.mediaType ?? "";
    return {
      id,
      config,
      names,
      layers,
      manifest: { text: readDocument(store, digest), mediaType },
    };
  }
  const layers = chainIds(diffIds).flatMap((chainId, index) => {
    const layer = knownLayer(store, chainId);
    const diffId = diffIds[index];
    return layer === undefined || diffId === undefined
      ? []
      : [describeLayer(store, layer.blob, diffId)];
  });
  return { id, config, names, layers, manifest: undefined };
}

/** Undefined where the store lacks one of them: it had the layer already, packed in another way. */
function layersOfManifest(
  store: Store,
  manifest: Digest,
  diffIds: readonly Digest[],
): SavedLayer[] | undefined {
  const blobs = referencesOf(store, manifest).filter(({ role }) => role === "layer");
  if (blobs.length !== diffIds.length) return undefined;
  const layers = blobs
    .sort((a, b) => a.position - b.position)
    .flatMap(({ child }, index) => {
      const diffId = diffIds[index];
      const there = knownBlob(store, child) !== undefined && diffId !== undefined;
      return there ? [describeLayer(store, child, diffId)] : [];
    });
  return layers.length === blobs.length ? layers : undefined;
}

function describeLayer(store: Store, blob: Digest, diffId: Digest): SavedLayer {
  const size = knownBlob(store, blob)?.size;
  if (size === undefined) {
    throw new TareError("corrupt", `Cannot save the image: blob "${digestHex(blob)}" is missing`, {
      hint: 'Find out what else is: "tare system check"',
    });
  }
  return { blob, diffId, size, compression: compressionOf(blobPath(store, blob)) };
}

function compressionOf(path: string): Compression {
  const fd = openSync(path, "r");
  try {
    return detectCompression(readPiece({ fd, offset: 0, size: MAGIC_BYTES }));
  } finally {
    closeSync(fd);
  }
}
