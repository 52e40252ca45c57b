/**
 * Turns the mounts of a request, and the volumes of its image, into binds with sources that are known:
 * which volumes are used, which are made, and what tare-helper does with them before the runtime starts.
 * Nothing is made here.
 */
import { existsSync, readdirSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import type { OwnerIds, StorageWork } from "@tare/spec/storage-work.ts";
import { isEnginesPlace, type ResolvedMount } from "../bundle/mounts.ts";
import type { ContainerRequest, MountRequest } from "../container/request.ts";
import { findImage, layersOf } from "../image/lookup.ts";
import { layerPath, type Store } from "../store/store.ts";
import { type VolumeForm, volumeForm } from "./options.ts";
import { findVolume, randomName, volumeRoom } from "./records.ts";

export type VolumeUse = {
  /** Absent: it is in the container's own directory and goes with it. */
  readonly name: string | undefined;
  readonly anonymous: boolean;
  /** The directory that holds `data`. */
  readonly room: string;
};

export type StoragePlan = {
  readonly mounts: readonly ResolvedMount[];
  /** Sources of the caller's binds that are to be made. */
  readonly directories: readonly string[];
  readonly volumes: readonly VolumeUse[];
  /** Images that are mounted: they must stay as long as the container. */
  readonly images: readonly Digest[];
  readonly work: readonly StorageWork[];
};

export type StorageWish = {
  readonly store: Store;
  readonly mounts: readonly MountRequest[];
  /** Absolute path of the container's directory. */
  readonly directory: string;
  /** The container goes at its end, and with it what nobody named. */
  readonly thrownAway: boolean;
  /** Outside ids of the container's user, for `:U`. */
  readonly user: OwnerIds;
  /** Whether SELinux runs: without it, `z` and `Z` ask for nothing. */
  readonly hasSelinux: boolean;
};

/** @throws TareError `not_found`, `bad_input` */
export function planStorage(wish: StorageWish): StoragePlan {
  const planner = new StoragePlanner(wish);
  for (const [index, mount] of wish.mounts.entries()) planner.add(mount, index);
  return planner;
}

type VolumeMount = Extract<MountRequest, { kind: "volume" }>;

class StoragePlanner implements StoragePlan {
  readonly mounts: ResolvedMount[] = [];
  readonly directories: string[] = [];
  readonly volumes: VolumeUse[] = [];
  readonly images: Digest[] = [];
  readonly #first: StorageWork[] = [];
  readonly #last: StorageWork[] = [];
  readonly #wish: StorageWish;

  constructor(wish: StorageWish) {
    this.#wish = wish;
  }

  /** Volumes are filled before parts of them are shown, and owners change last. */
  get work(): StorageWork[] {
    return [...this.#first, ...this.#last];
  }

  add(mount: MountRequest, index: number): void {
    if ("relabel" in mount && this.#wish.hasSelinux) throw noLabels(mount.target);
    switch (mount.kind) {
      case "tmpfs":
        this.mounts.push(mount);
        return;
      case "bind":
        this.#bind(mount);
        return;
      case "image":
        this.#image(mount, index);
        return;
      case "volume":
        this.#volume(mount, index);
    }
  }

  #bind(mount: Extract<MountRequest, { kind: "bind" }>): void {
    const missing = !existsSync(mount.source);
    if (missing && !mount.createSource) throw sourceMissing(mount.source);
    if (missing) this.directories.push(mount.source);
    if (mount.chown === true) this.#chown(mount.source);
    this.mounts.push(mount);
  }

  #chown(path: string): void {
    this.#last.push({ op: "chown", path, ...this.#wish.user });
  }

  #image(mount: Extract<MountRequest, { kind: "image" }>, index: number): void {
    const { store, directory } = this.#wish;
    const { id } = findImage(store, mount.reference);
    const lower = layersOf(store, id).map((layer) => layerPath(store, layer));
    if (lower.length === 0) {
      throw new TareError("bad_input", `Cannot mount image "${mount.reference}": it has no layers`);
    }
    this.images.push(id);
    const place = `${directory}/mounts/${index}`;
    this.#last.push({ op: "layers", lower, place });
    const { target, subpath } = mount;
    this.#show(subpath === undefined ? place : this.#part(place, subpath, index), target, true);
  }

  #part(root: string, path: string, index: number): string {
    const place = `${this.#wish.directory}/mounts/${index}.part`;
    this.#last.push({ op: "subpath", root, path, place });
    return place;
  }

  #volume(mount: VolumeMount, index: number): void {
    const { store, directory } = this.#wish;
    const form = formOf(store, mount.name);
    const use = this.#use(mount.name, `${directory}/volumes/${index}`);
    this.volumes.push(use);
    const { target, readonly } = mount;
    if (form.kind === "filesystem") {
      if (mount.subpath !== undefined) throw noPart(mount.name ?? "", form.type);
      this.mounts.push({ ...form, options: [...form.options, ...roWord(readonly)], target });
    } else if (form.kind === "bind") {
      if (!existsSync(form.source)) throw sourceMissing(form.source);
      const isReadonly = readonly || form.options.includes("ro");
      this.#directory({ ...mount, readonly: isReadonly }, form.source, index);
    } else {
      const fills = mount.noCopy !== true && !isFilled(use.room);
      if (fills) this.#first.push({ op: "populate", volume: use.room, target });
      this.#directory(mount, `${use.room}/data`, index);
    }
  }

  #directory(mount: VolumeMount, root: string, index: number): void {
    const { subpath } = mount;
    if (mount.chown === true) this.#chown(root);
    const source = subpath === undefined ? root : this.#part(root, subpath, index);
    this.#show(source, mount.target, mount.readonly, mount.idmap);
  }

  #use(name: string | undefined, own: string): VolumeUse {
    const { store, thrownAway } = this.#wish;
    if (name !== undefined) return { name, anonymous: false, room: volumeRoom(store, name) };
    if (thrownAway) return { name: undefined, anonymous: true, room: own };
    const made = randomName();
    return { name: made, anonymous: true, room: volumeRoom(store, made) };
  }

  #show(source: string, target: string, readonly: boolean, idmap?: string): void {
    this.mounts.push({
      kind: "bind",
      source,
      target,
      readonly,
      recursive: true,
      propagation: "rprivate",
      createSource: false,
      ...(idmap === undefined ? {} : { idmap }),
    });
  }
}

/** A volume that is not there yet will be a directory. */
function formOf(store: Store, name: string | undefined): VolumeForm {
  const known = name === undefined ? undefined : findVolume(store, name);
  return volumeForm(known?.options ?? new Map());
}

function roWord(readonly: boolean): readonly string[] {
  return readonly ? ["ro"] : [];
}

/** Has content, and no crash is to be made good: then tare-helper has nothing to do. */
function isFilled(room: string): boolean {
  try {
    return !existsSync(`${room}/incoming`) && readdirSync(`${room}/data`).length > 0;
  } catch {
    return false;
  }
}

function noPart(name: string, type: string): TareError {
  return new TareError(
    "unsupported",
    `Cannot mount a subpath of volume "${name}": it is a file system of type ${type}`,
  );
}

function noLabels(target: string): TareError {
  const message = `Cannot mount "${target}" with z or Z: tare gives no files SELinux labels`;
  return new TareError("unsupported", message, {
    hint: "Leave it out, and label them with chcon -t container_file_t",
  });
}

function sourceMissing(path: string): TareError {
  return new TareError("not_found", `Cannot mount "${path}": it does not exist`, {
    hint: "-v makes a missing directory, --mount does not",
  });
}

/** More than any image means: each is a directory, a row and a mount. */
const IMAGE_VOLUMES_MAX = 128;

/**
 * The volumes that an image wants, but where the caller mounts something or the engine does: an image
 * must not take /sys, /dev/pts or /etc/hosts away. A name with ".." could be a place outside; the root
 * itself is none (CVE-2022-23648).
 * @throws TareError `bad_input` for too many
 */
export function imageVolumes(
  request: ContainerRequest,
  volumes: readonly string[],
): MountRequest[] {
  if (volumes.length > IMAGE_VOLUMES_MAX) {
    const message = `Cannot use the image: it has ${volumes.length} volumes, the limit is ${IMAGE_VOLUMES_MAX}`;
    throw new TareError("bad_input", message);
  }
  const partsOf = (path: string) => path.split("/").filter((part) => part !== "" && part !== ".");
  const taken = new Set(request.mounts.map(({ target }) => partsOf(target).join("/")));
  return volumes.flatMap((target): MountRequest[] => {
    const parts = partsOf(target);
    const isPlace = target.startsWith("/") && parts.length > 0 && !parts.includes("..");
    const place = `/${parts.join("/")}`;
    if (!isPlace || taken.has(parts.join("/")) || isEnginesPlace(place)) return [];
    return [{ kind: "volume", target: place, readonly: false }];
  });
}
