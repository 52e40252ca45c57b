/**
 * Layers: each row has its directory, and it holds what unpacking its blob again gives. That is the
 * whole comparison: nothing was written down at unpacking that could be wrong, too.
 */
import { existsSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { takeLayer } from "../image/layer.ts";
import { replaceLayer } from "../image/replace-layer.ts";
import { syncFileSystem } from "../store/durable.ts";
import { blobPath, layerPath, Staging, type Store } from "../store/store.ts";
import type { Fault } from "./check.ts";
import { removeNeedy } from "./check-blobs.ts";
import { treeDifference } from "./tree.ts";

type Row = { readonly chain_id: string; readonly diff_id: string; readonly blob: string };

export async function layerFaults(engine: Engine, quick: boolean): Promise<Fault[]> {
  const sql = "SELECT chain_id, diff_id, blob FROM layers ORDER BY chain_id";
  const faults: Fault[] = [];
  for (const row of engine.store.db.query<Row, []>(sql).all()) {
    const why = await layerFault(engine, row, quick);
    if (why === undefined) continue;
    const message = `Layer "${row.chain_id}" ${why}`;
    const damaged = row.chain_id as Digest;
    faults.push({ message, damaged, repair: () => repairLayer(engine, row) });
  }
  return faults;
}

async function layerFault(engine: Engine, row: Row, quick: boolean): Promise<string | undefined> {
  const path = layerPath(engine.store, row.chain_id as Digest);
  if (!existsSync(path)) return "is missing";
  if (quick) return undefined;
  using staging = new Staging(engine.store);
  const fresh = `${staging.path}/layer`;
  try {
    await unpackAgain(engine, row, fresh);
  } catch (error) {
    // What is wrong with the blob has a line of its own.
    if (error instanceof TareError && error.code === "corrupt") return undefined;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw (error as Error).message.includes("ENOSPC") ? noSpace(error) : error;
  }
  const difference = treeDifference(path, fresh);
  return difference === undefined ? undefined : `has changed: ${difference}`;
}

function noSpace(cause: unknown): TareError {
  const message = "Cannot compare layers: unpacking one again needs more space than there is";
  return new TareError("system", message, { hint: "Make space, or use --quick", cause });
}

async function unpackAgain(engine: Engine, row: Row, to: string): Promise<void> {
  const { store } = engine;
  await takeLayer(engine, Bun.file(blobPath(store, row.blob as Digest)).stream(), {
    blob: undefined,
    root: to,
    digest: row.blob as Digest,
    diffId: row.diff_id as Digest,
    lower: async () => layersBelow(store, row.chain_id).map((id) => layerPath(store, id)),
  });
}

/** Topmost first; all images that have a layer have the same ones below it. */
function layersBelow(store: Store, chainId: string): Digest[] {
  const sql = `SELECT below.chain_id FROM image_layers AS below JOIN image_layers AS own
      ON below.image = own.image AND below.position < own.position
    WHERE own.chain_id = ?1 AND own.image = (SELECT image FROM image_layers WHERE chain_id = ?1 LIMIT 1)
    ORDER BY below.position DESC`;
  const rows = store.db.query<{ chain_id: string }, [string]>(sql).all(chainId);
  return rows.map(({ chain_id }) => chain_id as Digest);
}

async function repairLayer(engine: Engine, row: Row): Promise<string> {
  const { store } = engine;
  using staging = new Staging(store);
  const fresh = `${staging.path}/layer`;
  try {
    await unpackAgain(engine, row, fresh);
  } catch {
    const removed = removeNeedy(store, row.blob as Digest);
    return `its blob is damaged, too: removed with ${removed.join(", ")}`;
  }
  await syncFileSystem(store.root);
  const chainId = row.chain_id as Digest;
  store.db
    .transaction(() => replaceLayer(store, chainId, fresh, `${staging.path}/old`))
    .immediate();
  return "unpacked again from its blob";
}
