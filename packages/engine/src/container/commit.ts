/** `commit`: an image of a container, which is its image with one layer more: what it has changed. */
import { statfsSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import { applyChanges, type RunConfig } from "../image/changes.ts";
import { findImage } from "../image/lookup.ts";
import { makeImage } from "../image/make.ts";
import { UsageCount } from "../store/usage.ts";
import type { StoredContainer } from "./find.ts";
import { whilePaused } from "./pause.ts";
import { containerPath } from "./records.ts";
import { packChanges } from "./tree.ts";
import { applyWords, readWords } from "./words.ts";

export type CommitOptions = {
  readonly names: readonly Reference[];
  readonly author: string | undefined;
  /** What the history says of it. */
  readonly message: string | undefined;
  /** Instructions of a Dockerfile. */
  readonly changes: readonly string[];
  /** Whether a running container is held still meanwhile. */
  readonly pause: boolean;
  /** ISO 8601. */
  readonly created: string;
  /** Ends it early; a container that was paused runs on. */
  readonly signal?: AbortSignal | undefined;
};

/** The fields of an image configuration that change; others stay as they are. */
type ImageDocument = {
  readonly config?: RunConfig;
  readonly history?: readonly object[];
  readonly rootfs: { readonly diff_ids: readonly Digest[] };
  readonly [field: string]: unknown;
};

/**
 * Makes the image; answers its id.
 * @throws TareError `unsupported` for a container without an image, `bad_input` for a change that is none,
 * `system` where the disk has no room for it; the signal's reason
 */
export async function commitContainer(
  engine: Engine,
  container: StoredContainer,
  options: CommitOptions,
): Promise<Digest> {
  const { image } = container;
  if (image === undefined) throw noImage(container);
  const base = JSON.parse(findImage(engine.store, image).config) as ImageDocument;
  const words = applyWords(base.config ?? {}, readWords(engine.store, container.id));
  const config = applyChanges(words, options.changes);
  const make = () => {
    checkSpace(engine, container);
    return makeImage(engine, {
      below: base.rootfs.diff_ids,
      layer: packChanges(engine, container),
      created: options.created,
      names: options.names,
      parent: image,
      signal: options.signal,
      describe: (diffIds) => describe(base, config, diffIds, container, options),
    });
  };
  return options.pause ? await whilePaused(engine, container, make) : await make();
}

/** A layer is kept packed and unpacked. */
const COPIES = 2;

/**
 * Better said before the disk is full. Holes take nothing here, but are zeros in the layer: of a file
 * with terabytes of them hours of work, for an image that nobody else could unpack.
 */
function checkSpace({ store }: Engine, container: StoredContainer): void {
  const changed = new UsageCount();
  changed.add(`${containerPath(store, container.id)}/upper`);
  const wanted = Math.max(changed.bytes * COPIES, changed.contentBytes);
  const { bavail, bsize } = statfsSync(store.root);
  if (wanted <= bavail * bsize) return;
  throw new TareError(
    "system",
    `Cannot commit container "${container.id.slice(0, 12)}": no room on the disk for what it changed`,
    { hint: `That takes ${wanted} bytes, holes of files too; there are ${bavail * bsize} left` },
  );
}

function describe(
  base: ImageDocument,
  config: RunConfig,
  diffIds: readonly Digest[],
  container: StoredContainer,
  { created, author, message }: CommitOptions,
): string {
  const isEmpty = diffIds.length === base.rootfs.diff_ids.length;
  const step = {
    created,
    created_by: container.command.join(" "),
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { comment: message }),
    ...(isEmpty ? { empty_layer: true } : {}),
  };
  return JSON.stringify({
    ...base,
    ...(author === undefined ? {} : { author }),
    created,
    config,
    rootfs: { type: "layers", diff_ids: diffIds },
    history: [...(base.history ?? []), step],
  });
}

function noImage(container: StoredContainer): TareError {
  return new TareError(
    "unsupported",
    `Cannot commit container "${container.id.slice(0, 12)}": it was made of no image`,
    { hint: 'Its whole root file system becomes one by "tare export" and "tare import"' },
  );
}
