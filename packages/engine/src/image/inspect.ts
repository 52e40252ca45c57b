/** All that the store knows of an image, in the fields of Docker's `image inspect` and `history`. */
import type { Digest } from "@tare/spec/digest.ts";
import { type ImageConfig, parseImageConfig } from "@tare/spec/oci-image-config.ts";
import { formatFamiliar, parseReference } from "@tare/spec/reference.ts";
import { knownBlob, manifestsOf } from "../store/blobs.ts";
import { namesOf, repoDigestsOf } from "../store/names.ts";
import { layerPath, type Store } from "../store/store.ts";
import { knownLayer } from "./commit.ts";
import { chainIds } from "./digest.ts";
import { findImage, layersOf } from "./lookup.ts";

/** As Docker spells it; `Config` is the image's own, unread. */
export type InspectedImage = Readonly<Record<string, unknown>>;

type Row = {
  readonly created: string;
  readonly size: number;
  readonly parent: string | null;
  readonly added: string;
};

/**
 * The image of a name or an id.
 * @throws TareError `not_found`
 */
export function inspectImage(store: Store, word: string): InspectedImage {
  const { id, config: text } = findImage(store, word);
  const config = parseImageConfig(text);
  const raw = JSON.parse(text) as { readonly config?: unknown; readonly comment?: unknown };
  const row = store.db
    .query<Row, [string]>("SELECT created, size, parent, added FROM images WHERE id = ?")
    .get(id);
  const names = namesOf(store, id);
  const tagged = names.map((name) => name.tagged).filter((time) => time !== "");
  return {
    Id: id,
    RepoTags: names.map(({ name }) => formatFamiliar(parseReference(name))),
    RepoDigests: repoDigestsOf(store, id).map(
      ({ repository, digest }) => `${familiar(repository)}@${digest}`,
    ),
    Parent: row?.parent ?? "",
    Comment: typeof raw.comment === "string" ? raw.comment : (config.history.at(-1)?.comment ?? ""),
    Created: config.created ?? "",
    Author: config.author ?? "",
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    Size: row?.size ?? 0,
    Config: raw.config ?? {},
    GraphDriver: { Name: "overlay2", Data: layerDirectories(store, id) },
    RootFS: { Type: "layers", Layers: config.diffIds },
    Metadata: { LastTagTime: tagged.sort().at(-1) ?? row?.added ?? "" },
    ...descriptorOf(store, id),
  };
}

function familiar(repository: string): string {
  return formatFamiliar(parseReference(repository)).replace(/:latest$/, "");
}

/** In Docker's names for the options of an overlay. */
function layerDirectories(store: Store, id: Digest): Readonly<Record<string, string>> {
  const [top, ...below] = layersOf(store, id).map((chainId) => layerPath(store, chainId));
  return {
    ...(below.length === 0 ? {} : { LowerDir: below.join(":") }),
    ...(top === undefined ? {} : { UpperDir: top }),
  };
}

/** Of the manifest that the image came with. */
function descriptorOf(store: Store, id: Digest): InspectedImage {
  const [digest] = manifestsOf(store, id);
  const blob = digest === undefined ? undefined : knownBlob(store, digest);
  if (blob === undefined) return {};
  return { Descriptor: { mediaType: blob.mediaType, digest: blob.digest, size: blob.size } };
}

export type HistoryStep = {
  /** Of the image itself only: what was below it is no image here. */
  readonly id: Digest | undefined;
  /** ISO 8601, or empty. */
  readonly created: string;
  readonly createdBy: string;
  readonly comment: string;
  /** Bytes of file content in the step's layer; 0 where it made none. */
  readonly size: number;
  readonly tags: readonly string[];
};

/**
 * How an image was made, the newest step first.
 * @throws TareError `not_found`
 */
export function imageHistory(store: Store, word: string): HistoryStep[] {
  const { id, config: text } = findImage(store, word);
  const config = parseImageConfig(text);
  const sizes = layerSizes(store, config);
  const steps = stepsOf(config).map(({ created, createdBy, comment, emptyLayer }) => ({
    id: undefined,
    created: created ?? "",
    createdBy: createdBy ?? "",
    comment: comment ?? "",
    size: emptyLayer ? 0 : (sizes.shift() ?? 0),
    tags: [],
  }));
  const [top, ...below] = steps.reverse();
  const tags = namesOf(store, id).map(({ name }) => formatFamiliar(parseReference(name)));
  return top === undefined ? [] : [{ ...top, id, tags }, ...below];
}

/** Images without a history have a layer a step. */
function stepsOf(config: ImageConfig): ImageConfig["history"] {
  if (config.history.length > 0) return config.history;
  const step = config.created === undefined ? {} : { created: config.created };
  return config.diffIds.map(() => ({ ...step, emptyLayer: false }));
}

/** Bottom first. */
function layerSizes(store: Store, config: ImageConfig): number[] {
  return chainIds(config.diffIds).map((chainId) => knownLayer(store, chainId)?.size ?? 0);
}

export type TreeLayer = {
  readonly chainId: Digest;
  readonly size: number;
  /** Images that end with this layer. */
  readonly topOf: readonly string[];
};

/** The layers of an image, bottom first. */
export function imageTree(store: Store, word: string): readonly TreeLayer[] {
  const { config } = findImage(store, word);
  return chainIds(parseImageConfig(config).diffIds).map((chainId) => ({
    chainId,
    size: knownLayer(store, chainId)?.size ?? 0,
    topOf: imagesEndingWith(store, chainId),
  }));
}

function imagesEndingWith(store: Store, chainId: Digest): string[] {
  const sql = `SELECT image FROM image_layers AS one WHERE chain_id = ? AND position =
    (SELECT max(position) FROM image_layers WHERE image = one.image) ORDER BY image`;
  const rows = store.db.query<{ image: string }, [string]>(sql).all(chainId);
  return rows.flatMap(({ image }) => {
    const names = namesOf(store, image as Digest).map(({ name }) => name);
    return names.length > 0 ? names.map((name) => formatFamiliar(parseReference(name))) : [image];
  });
}
