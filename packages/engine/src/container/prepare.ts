/**
 * Turns a request into everything a container is made of, without making anything: whatever is
 * wrong with a request shows here, and nothing has changed.
 */
import { existsSync, statSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { type ImageDefaults, parseImageConfig } from "@tare/spec/oci-image-config.ts";
import type { Config } from "@tare/spec/oci-runtime.ts";
import type { ResolvedMount } from "../bundle/mounts.ts";
import { NO_DEFAULTS } from "../bundle/process.ts";
import { hostnameOf, toConfig } from "../bundle/to-config.ts";
import type { Engine } from "../engine.ts";
import { type Accounts, readAccounts } from "../helper.ts";
import { readHostFacts } from "../host/facts.ts";
import { findImage, layersOf } from "../image/lookup.ts";
import { layerPath } from "../store/store.ts";
import { allDevices, findDevices } from "./devices.ts";
import { generatedFiles, generatedTargets } from "./generated-files.ts";
import { type IdMappings, idMappings } from "./id-mappings.ts";
import { containerPath } from "./records.ts";
import type { ContainerRequest, MountRequest } from "./request.ts";
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
  /** Directories to make for mounts: those of the container and those of the store. */
  readonly directories: readonly string[];
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

/** Where `-v NAME:/path` finds its directory, and where a nameless volume of the container is. */
type MountPlaces = { readonly volumes: string; readonly own: string };

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
  const places = { volumes: `${engine.store.root}/volumes`, own: `${directory}/volumes` };
  const { mounts, directories } = resolveMounts(request, source.defaults, places);
  const files = generatedFiles(request, hostnameOf(id, request, host));
  const targets = generatedTargets(request, [...files.keys()]);
  const maps = idMappings(request.userNamespace);
  const config = toConfig({
    id,
    request,
    image: source.defaults,
    user: resolveAccount(request.user ?? source.defaults.user ?? "", await source.accounts()),
    host,
    rootfs: rootfsPath(source.root, maps),
    mounts,
    generated: new Map(targets.map((name) => [`/etc/${name}`, `${directory}/${name}`])),
    devices: request.privileged ? allDevices() : findDevices(request.devices),
    initPath: request.init ? engine.settings.init : undefined,
    seccomp: await chooseSeccomp(request, host),
    idMappings: maps,
    hiddenPaths: source.hiddenPaths,
    newestRuntime: runtime.own,
  });
  const { root, image, name: imageName } = source;
  return { id, config, root, image, imageName, idMappings: maps, files, directories };
}

/** Relative to the bundle where we mount it, else the caller's directory itself. */
function rootfsPath(root: RootPlan, maps: IdMappings): string {
  return root.kind === "directory" && maps.uid.length === 0 ? root.path : "rootfs";
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

type MountPlan = { readonly mounts: ResolvedMount[]; readonly directories: string[] };

/** Volumes become bind mounts of directories that are made when the container is. */
function resolveMounts(
  request: ContainerRequest,
  defaults: ImageDefaults,
  places: MountPlaces,
): MountPlan {
  const directories: string[] = [];
  const wanted = [...request.mounts, ...imageVolumes(request, defaults)];
  const mounts = wanted.map((mount, index): ResolvedMount => {
    if (mount.kind === "tmpfs") return mount;
    if (mount.kind === "bind") {
      if (mount.createSource) directories.push(mount.source);
      else if (!existsSync(mount.source)) throw sourceMissing(mount.source);
      return mount;
    }
    const source =
      mount.name === undefined ? `${places.own}/${index}` : `${places.volumes}/${mount.name}/data`;
    directories.push(source);
    const { target, readonly } = mount;
    return {
      kind: "bind",
      source,
      target,
      readonly,
      recursive: true,
      propagation: "rprivate",
      createSource: true,
    };
  });
  return { mounts, directories: directories.filter((path) => !existsSync(path)) };
}

/**
 * An image's volumes are in the container's writable layer, with the content and owner that the
 * image gives them; only under a read-only root they need a directory of their own.
 */
function imageVolumes(request: ContainerRequest, defaults: ImageDefaults): MountRequest[] {
  if (!request.readOnly) return [];
  const taken = new Set(request.mounts.map((mount) => mount.target));
  return defaults.volumes
    .filter((target) => isPathInside(target) && !taken.has(target))
    .map((target) => ({ kind: "volume", target, readonly: false }));
}

/** A volume with ".." could name a place outside; the root itself is none (CVE-2022-23648). */
function isPathInside(target: string): boolean {
  const parts = target.split("/").filter((part) => part !== "");
  return target.startsWith("/") && parts.length > 0 && !parts.includes("..");
}

function sourceMissing(path: string): TareError {
  return new TareError("not_found", `Cannot mount "${path}": it does not exist`, {
    hint: "-v makes a missing directory, --mount does not",
  });
}
