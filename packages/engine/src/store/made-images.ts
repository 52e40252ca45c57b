/** Images for tests of the store: small, and made without any archive. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "@tare/spec/media-type.ts";
import { parseReference, repositoryName } from "@tare/spec/reference.ts";
import { commitImage, stagedBlob } from "../image/commit.ts";
import { digestOf } from "../image/digest.ts";
import type { StagedDocument } from "./blob-rows.ts";
import { Staging, type Store } from "./store.ts";

/** Bytes in a staging directory, as a blob. */
export class StagedBlobs {
  readonly files = new Map<Digest, string>();
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  add(text: string): Digest {
    const digest = digestOf(text);
    const path = stagedBlob(this.#directory, digest);
    writeFileSync(path, text);
    this.files.set(digest, path);
    return digest;
  }
}

/** An image of layers that hold one file each; no manifest. Answers its id. */
export async function bringImage(
  store: Store,
  name: string,
  layers: readonly string[],
): Promise<Digest> {
  using staging = new Staging(store);
  const blobs = new StagedBlobs(staging.path);
  const config = JSON.stringify({ name, layers });
  const id = blobs.add(config);
  await commitImage(store, {
    id,
    config,
    created: "2026-01-01T00:00:00Z",
    accounts: { passwd: "", group: "" },
    layers: stageLayers(staging.path, blobs, layers),
    names: [parseReference(name)],
    blobs: blobs.files,
  });
  return id;
}

function stageLayers(directory: string, blobs: StagedBlobs, layers: readonly string[]) {
  return layers.map((text, index) => {
    const path = `${directory}/layer-${index}`;
    mkdirSync(path);
    writeFileSync(`${path}/file`, text);
    const diffId = digestOf(text);
    const blob = blobs.add(`blob ${text}`);
    return { chainId: diffId, diffId, blob, size: text.length, path };
  });
}

export type PulledImage = {
  readonly id: Digest;
  readonly manifest: Digest;
  readonly index: Digest;
};

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

/** As from a registry: a manifest for this machine in an index that names another one, too, which is not here. */
export async function pullImage(store: Store, name: string, layer: string): Promise<PulledImage> {
  using staging = new Staging(store);
  const blobs = new StagedBlobs(staging.path);
  const config = JSON.stringify({ name, layer });
  const id = blobs.add(config);
  const layers = stageLayers(staging.path, blobs, [layer]);
  const document = (mediaType: string, fields: object, image?: Digest): StagedDocument => {
    const text = JSON.stringify({ schemaVersion: 2, mediaType, ...fields });
    return { digest: blobs.add(text), mediaType, text, image };
  };
  const named = (mediaType: string, digest: Digest) => ({ mediaType, digest, size: 1 });
  const manifest = document(
    OCI_MANIFEST,
    {
      config: named(OCI_CONFIG, id),
      layers: layers.map(({ blob }) => named(LAYER_TYPE, blob)),
    },
    id,
  );
  const absent = named(OCI_MANIFEST, digestOf("another platform"));
  const manifests = [absent, named(OCI_MANIFEST, manifest.digest)];
  const index = document(OCI_INDEX, { manifests });
  const reference = parseReference(name);
  const repository = repositoryName(reference);
  await commitImage(store, {
    id,
    config,
    created: "2026-01-01T00:00:00Z",
    accounts: { passwd: "", group: "" },
    layers,
    names: [reference],
    blobs: blobs.files,
    documents: [manifest, index],
    target: index.digest,
    repoDigests: [{ repository, digest: index.digest }],
    sources: [{ repository, digests: layers.map(({ blob }) => blob) }],
  });
  return { id, manifest: manifest.digest, index: index.digest };
}
