/**
 * The files of a container, running or not: what it changed, and all of them as an archive. The
 * reading is tare-helper's; here is where they are.
 */
import { existsSync, readFileSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import type { Engine } from "../engine.ts";
import { askHelper, runHelper, streamHelper } from "../helper.ts";
import { layersOf } from "../image/lookup.ts";
import { layerPath } from "../store/store.ts";
import type { StoredContainer } from "./find.ts";
import { containerPath } from "./records.ts";

/**
 * Where a runtime makes mount points, for what the engine mounts in each container. In an image they
 * would say nothing; Docker hides them in a layer of their own.
 */
const STUBS = ["dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf"];

export type ChangeKind = "A" | "C" | "D";

/** A path that the container added, changed or deleted; its bytes as the kernel has them. */
export type FileChange = { readonly kind: ChangeKind; readonly path: Uint8Array };

/**
 * What the container has changed, by path.
 * @throws TareError `unsupported` where it has no layer of its own
 */
export async function containerChanges(
  engine: Engine,
  container: StoredContainer,
): Promise<FileChange[]> {
  const said = await askHelper(engine, ["changes", ...upperWords(engine, container)]);
  const changes: FileChange[] = [];
  for (let at = 0; at < said.length; ) {
    const end = said.indexOf(0, at);
    const kind = said.toString("latin1", at, at + 1) as ChangeKind;
    changes.push({ kind, path: said.subarray(at + 2, end) });
    at = end + 1;
  }
  return changes.sort((a, b) => Buffer.compare(a.path, b.path));
}

/** Writes the whole root file system of the container to the descriptor `out`, as a tar archive. */
export async function exportContainer(
  engine: Engine,
  container: StoredContainer,
  out: number,
): Promise<void> {
  const words = isOverlay(engine, container)
    ? upperWords(engine, container)
    : ["--directory", container.imageName];
  await runHelper(engine, ["pack", ...words], out);
}

/** What the container has changed, as a layer of an image. */
export function packChanges(
  engine: Engine,
  container: StoredContainer,
): AsyncGenerator<Uint8Array> {
  return streamHelper(engine, ["pack", "--layer", ...upperWords(engine, container)]);
}

/** A container of `--rootfs DIR` writes into that directory. */
function isOverlay(engine: Engine, container: StoredContainer): boolean {
  return existsSync(`${containerPath(engine.store, container.id)}/upper`);
}

function upperWords(engine: Engine, container: StoredContainer): string[] {
  const path = containerPath(engine.store, container.id);
  if (!isOverlay(engine, container)) {
    throw new TareError(
      "unsupported",
      `Cannot tell what container "${container.id.slice(0, 12)}" changed: it writes into a directory of the host`,
      { hint: `That is "${container.imageName}"; "tare export" packs all of it` },
    );
  }
  const layers =
    container.image === undefined
      ? ["/"]
      : layersOf(engine.store, container.image).map((id) => layerPath(engine.store, id));
  const marks = engine.settings.rootless ? ["--user-xattr"] : [];
  return [
    ...["--upper", `${path}/upper`, "--lower", layers.join(":"), "--target", `${path}/rootfs`],
    ...["--stubs", STUBS.join(":"), ...marks, ...mapWords(path)],
  ];
}

type Mapping = { readonly hostID: number; readonly size: number };

/** On the disk, files of a container with a user namespace have the ids outside. */
function mapWords(path: string): string[] {
  const { linux } = JSON.parse(readFileSync(`${path}/config.json`, "utf8")) as {
    readonly linux?: {
      readonly uidMappings?: readonly Mapping[];
      readonly gidMappings?: readonly Mapping[];
    };
  };
  const [uid, gid] = [linux?.uidMappings?.[0], linux?.gidMappings?.[0]];
  if (uid === undefined || gid === undefined) return [];
  return ["--map", `${uid.hostID}:${uid.size}:${gid.hostID}:${gid.size}`];
}
