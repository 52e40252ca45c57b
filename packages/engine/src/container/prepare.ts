/**
 * Turns a request into everything a container is made of, without making anything: whatever is
 * wrong with a request shows here, and nothing has changed.
 */

import { existsSync, statSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { type ImageDefaults, parseImageConfig } from "@tare/spec/oci-image-config.ts";
import type { Config } from "@tare/spec/oci-runtime.ts";
import type { OwnerIds } from "@tare/spec/storage-work.ts";
import { NO_DEFAULTS } from "../bundle/process.ts";
import { hostnameOf, toConfig } from "../bundle/to-config.ts";
import type { Engine } from "../engine.ts";
import { type Accounts, readAccounts } from "../helper.ts";
import { readHostFacts } from "../host/facts.ts";
import { findImage, layersOf } from "../image/lookup.ts";
import { layerPath } from "../store/store.ts";
import { imageVolumes, planStorage, type StoragePlan } from "../volume/plan.ts";
import { allDevices, findDevices } from "./devices.ts";
import { generatedFiles, generatedTargets } from "./generated-files.ts";
import { type IdMappings, idMappings } from "./id-mappings.ts";
import { containerPath } from "./records.ts";
import type { ContainerRequest } from "./request.ts";
import { chooseSeccomp } from "./seccomp.ts";
import { resolveAccount } from "./user.ts";

/** How the root file system is put together. */
export type RootPlan =
  | { readonly kind: "overlay"; readonly lower: readonly string[] }
  | { readonly kind: "directory"; readonly path: string };

export type Prepared = {
  readonly id: string;
  readonly config: Config;
  readonly root: RootPlan;
  readonly image: Digest | undefined;
  readonly imageName: string;
  readonly idMappings: IdMappings;
  /** Files to write into the container's directory, by name. */
  readonly files: ReadonlyMap<string, string>;
  readonly storage: StoragePlan;
};

export type RuntimeTraits = {
  /** Absolute path. */
  readonly path: string;
  /** Ours: it knows time namespaces and ends its container when the engine dies. */
  readonly own: boolean;
};

type RootSource = {
  readonly root: RootPlan;
  readonly defaults: ImageDefaults;
  readonly accounts: () => Promise<Accounts>;
  readonly image: Digest | undefined;
  readonly name: string;
  readonly hiddenPaths: readonly string[];
};

/** @throws TareError `bad_input`, `not_found` */
export async function prepare(
  engine: Engine,
  request: ContainerRequest,
  id: string,
  runtime: RuntimeTraits,
): Promise<Prepared> {
  const host = readHostFacts();
  const source = await findRoot(engine, request);
  const directory = containerPath(engine.store, id);
  const maps = idMappings(request.userNamespace);
  const user = resolveAccount(request.user ?? source.defaults.user ?? "", await source.accounts());
  const storage = planStorage({
    store: engine.store,
    mounts: [...request.mounts, ...imageVolumes(request, source.defaults.volumes)],
    directory,
    thrownAway: isThrownAway(request),
    user: outsideIds(user, maps),
    hasSelinux: existsSync("/sys/fs/selinux/enforce"),
  });
  const files = generatedFiles(request, hostnameOf(id, request, host));
  const targets = generatedTargets(request, [...files.keys()]);
  const config = toConfig({
    id,
    request,
    image: source.defaults,
    user,
    host,
    rootfs: rootfsPath(source.root, maps, storage),
    mounts: storage.mounts,
    generated: new Map(targets.map((name) => [`/etc/${name}`, `${directory}/${name}`])),
    devices: request.privileged ? allDevices() : findDevices(request.devices),
    initPath: request.init ? engine.settings.init : undefined,
    seccomp: await chooseSeccomp(request, host),
    idMappings: maps,
    hiddenPaths: source.hiddenPaths,
    newestRuntime: runtime.own,
  });
  const { root, image, name: imageName } = source;
  return { id, config, root, image, imageName, idMappings: maps, files, storage };
}

/** Relative to the bundle where we mount it, else the caller's directory itself. */
function rootfsPath(root: RootPlan, maps: IdMappings, storage: StoragePlan): string {
  return root.kind === "directory" && !needsHelper(root, maps, storage) ? root.path : "rootfs";
}

/** Whether tare-helper has anything to mount or to do before the runtime starts. */
export function needsHelper(root: RootPlan, maps: IdMappings, storage: StoragePlan): boolean {
  return root.kind === "overlay" || maps.uid.length > 0 || storage.work.length > 0;
}

/** A view of the host is always thrown away: that is its promise. */
export function isThrownAway(request: ContainerRequest): boolean {
  return request.remove || request.root.kind === "host";
}

function outsideIds({ uid, gid }: OwnerIds, maps: IdMappings): OwnerIds {
  return { uid: (maps.uid[0]?.hostID ?? 0) + uid, gid: (maps.gid[0]?.hostID ?? 0) + gid };
}

async function findRoot(engine: Engine, request: ContainerRequest): Promise<RootSource> {
  const { root } = request;
  switch (root.kind) {
    case "image":
      return imageRoot(engine, root.reference);
    case "host":
      return hostRoot(engine);
    case "directory":
      return directoryRoot(engine, root.path);
  }
}

function imageRoot(engine: Engine, reference: string): RootSource {
  const image = findImage(engine.store, reference);
  const layers = layersOf(engine.store, image.id).map((id) => layerPath(engine.store, id));
  if (layers.length === 0) {
    throw new TareError("bad_input", `Cannot run "${reference}": the image has no layers`);
  }
  return {
    root: { kind: "overlay", lower: layers },
    defaults: parseImageConfig(image.config).defaults,
    accounts: async () => ({ passwd: image.passwd, group: image.groups }),
    image: image.id,
    name: reference,
    hiddenPaths: [],
  };
}

/** File systems mounted below / do not show through an overlay; the engine's own data is hidden. */
function hostRoot(engine: Engine): RootSource {
  return {
    root: { kind: "overlay", lower: ["/"] },
    defaults: { ...NO_DEFAULTS, cmd: ["/bin/sh"] },
    accounts: () => readAccounts(engine, ["/"]),
    image: undefined,
    name: "@host",
    hiddenPaths: [engine.store.root],
  };
}

function directoryRoot(engine: Engine, path: string): RootSource {
  if (!existsSync(path) || !statSync(path).isDirectory()) {
    throw new TareError("not_found", `Cannot use --rootfs "${path}": it is no directory`);
  }
  return {
    root: { kind: "directory", path },
    defaults: { ...NO_DEFAULTS, cmd: ["/bin/sh"] },
    accounts: () => readAccounts(engine, [path]),
    image: undefined,
    name: path,
    hiddenPaths: [],
  };
}
