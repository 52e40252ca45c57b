/**
 * Id-mapped mounts: a detached tree whose owners are shown through the maps of a user namespace.
 * Source: mount_setattr(2).
 */

import { TareError } from "@tare/spec/error.ts";
import type { IdMapping } from "@tare/spec/oci-runtime.ts";
import type { Maps } from "../container/id-maps.ts";
import type { IdMap } from "../container/step.ts";
import { openUserNamespace } from "../container/user-namespace.ts";
import { EINVAL } from "../sys/abi-errno.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, O_RDONLY } from "../sys/abi-file.ts";
import { MOUNT_ATTR_IDMAP } from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** The user namespace whose maps are meant: one that is there, or one that only carries them. */
export function openMaps(sys: Sys, idmap: IdMap): OwnedFd {
  return idmap.namespace === undefined
    ? openUserNamespace(sys, mapsOf(idmap))
    : openNamespaceFile(sys, idmap.namespace);
}

/** Maps the owners of a detached tree by those of a user namespace; `path` is for the error. */
export function mapOwners(
  sys: Sys,
  tree: Fd,
  maps: Fd,
  { recursive, path }: { readonly recursive: boolean; readonly path: string },
): void {
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  const ret = sys.mount_setattr(tree, "", flags, MOUNT_ATTR_IDMAP, 0, 0, maps);
  if (errnoOf(ret) === EINVAL) {
    throw new TareError(
      "unsupported",
      `Cannot map the ids of "${path}": its file system cannot be id-mapped`,
    );
  }
  check(ret, "mount_setattr MOUNT_ATTR_IDMAP", path);
}

function openNamespaceFile(sys: Sys, path: string): OwnedFd {
  return new OwnedFd(sys, check(openAt(sys, AT_FDCWD, path, O_RDONLY, 0), "openat2", path));
}

/**
 * The maps in the words of crun's option: `uids=FILE-SEEN-SIZE#FILE-SEEN-SIZE;gids=...`. With `@` in
 * front, the second number is an id of the container. Source: crun.1, "idmap mount options".
 */
export function mapsOf(idmap: IdMap): Maps {
  const { words } = idmap;
  if (words === undefined) return idmap;
  const fields = new Map(
    words.split(";").map((field): [string, string] => {
      const equals = field.indexOf("=");
      return [field.slice(0, Math.max(equals, 0)), field.slice(equals + 1)];
    }),
  );
  const [uids, gids] = [fields.get("uids"), fields.get("gids")];
  if (uids === undefined || gids === undefined || fields.size !== 2) throw badMaps(words);
  return {
    uidMappings: readMaps(uids, idmap.uidMappings),
    gidMappings: readMaps(gids, idmap.gidMappings),
  };
}

function readMaps(text: string, container: readonly IdMapping[]): IdMapping[] {
  return text.split("#").map((triple) => {
    const relative = triple.startsWith("@");
    const numbers = (relative ? triple.slice(1) : triple).split("-").map(readId);
    const [containerID = 0, seen = 0, size = 0] = numbers;
    if (numbers.length !== 3 || size === 0) throw badMaps(text);
    return { containerID, hostID: relative ? hostIdOf(seen, container, triple) : seen, size };
  });
}

function readId(text: string): number {
  const id = Number(text);
  const isId = text !== "" && [...text].every((digit) => digit >= "0" && digit <= "9");
  if (!isId || id > 0xffffffff) throw badMaps(text);
  return id;
}

function hostIdOf(id: number, container: readonly IdMapping[], triple: string): number {
  const map = container.find(
    ({ containerID, size }) => id >= containerID && id < containerID + size,
  );
  if (map !== undefined) return map.hostID + id - map.containerID;
  throw new TareError("bad_input", `Cannot map ids "${triple}": the user namespace has no such id`);
}

function badMaps(text: string): TareError {
  return new TareError("bad_input", `Cannot read the maps of an id-mapped mount "${text}"`, {
    hint: "Write idmap=uids=0-1000-10;gids=0-1000-10",
  });
}
