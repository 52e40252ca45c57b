/**
 * The option words of an OCI mount, as attributes for the new mount interface.
 * Source: runtime-spec config.md, "Linux mount options"; mount_setattr(2). Pure.
 */

import {
  MOUNT_ATTR_ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_RELATIME,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from "../sys/abi-mount.ts";

/** Attributes to set and to clear, as masks of mount_setattr(2). */
export type Attributes = { readonly set: number; readonly clear: number };

export type Propagation = { readonly flag: number; readonly recursive: boolean };

export type MountOptions = {
  readonly bind: "none" | "bind" | "rbind";
  /** Of the mount itself. */
  readonly attributes: Attributes;
  /** Of the mount and all below it. */
  readonly recursive: Attributes;
  readonly propagation: readonly Propagation[];
  readonly idmap: "none" | "idmap" | "ridmap";
  /** Copy what the directory held into the new tmpfs. */
  readonly copyUp: boolean;
  /** Everything that is the file system's own: `mode=755`, `newinstance`, `sync`. */
  readonly data: readonly string[];
};

const ATTRIBUTES: ReadonlyMap<string, Attributes> = new Map([
  ["ro", { set: MOUNT_ATTR_RDONLY, clear: 0 }],
  ["rw", { set: 0, clear: MOUNT_ATTR_RDONLY }],
  ["nosuid", { set: MOUNT_ATTR_NOSUID, clear: 0 }],
  ["suid", { set: 0, clear: MOUNT_ATTR_NOSUID }],
  ["nodev", { set: MOUNT_ATTR_NODEV, clear: 0 }],
  ["dev", { set: 0, clear: MOUNT_ATTR_NODEV }],
  ["noexec", { set: MOUNT_ATTR_NOEXEC, clear: 0 }],
  ["exec", { set: 0, clear: MOUNT_ATTR_NOEXEC }],
  ["nodiratime", { set: MOUNT_ATTR_NODIRATIME, clear: 0 }],
  ["diratime", { set: 0, clear: MOUNT_ATTR_NODIRATIME }],
  ["nosymfollow", { set: MOUNT_ATTR_NOSYMFOLLOW, clear: 0 }],
  ["symfollow", { set: 0, clear: MOUNT_ATTR_NOSYMFOLLOW }],
  // The access time modes are one field: the kernel wants it cleared whole before a mode is set.
  ["noatime", { set: MOUNT_ATTR_NOATIME, clear: MOUNT_ATTR_ATIME }],
  ["strictatime", { set: MOUNT_ATTR_STRICTATIME, clear: MOUNT_ATTR_ATIME }],
  ["relatime", { set: MOUNT_ATTR_RELATIME, clear: MOUNT_ATTR_ATIME }],
  ["atime", { set: MOUNT_ATTR_RELATIME, clear: MOUNT_ATTR_ATIME }],
  ["norelatime", { set: MOUNT_ATTR_STRICTATIME, clear: MOUNT_ATTR_ATIME }],
  ["nostrictatime", { set: MOUNT_ATTR_RELATIME, clear: MOUNT_ATTR_ATIME }],
]);

const PROPAGATION: ReadonlyMap<string, number> = new Map([
  ["private", MS_PRIVATE],
  ["shared", MS_SHARED],
  ["slave", MS_SLAVE],
  ["unbindable", MS_UNBINDABLE],
]);

/** Words of mount(8) that change nothing here: defaults, and flags that only undo a default. */
const NOTHING: ReadonlySet<string> = new Set([
  "defaults",
  "async",
  "loud",
  "silent",
  "nolazytime",
  "nomand",
  "noiversion",
  "remount",
  "bind",
  "rbind",
  "idmap",
  "ridmap",
  "tmpcopyup",
]);

const NO_ATTRIBUTES: Attributes = { set: 0, clear: 0 };

/** The later word wins, as in mount(8). */
function merge(before: Attributes, next: Attributes): Attributes {
  return {
    set: (before.set & ~next.clear) | next.set,
    clear: (before.clear & ~(next.set & ~MOUNT_ATTR_ATIME)) | next.clear,
  };
}

/** Reads the words of one mount. Unknown words are the file system's, which refuses what it cannot use. */
export function parseMountOptions(words: readonly string[]): MountOptions {
  const known = words.map(meaningOf);
  const all = (scope: "attributes" | "recursive") =>
    known.reduce((sum, { [scope]: next }) => (next ? merge(sum, next) : sum), NO_ATTRIBUTES);
  return {
    bind: words.includes("rbind") ? "rbind" : words.includes("bind") ? "bind" : "none",
    attributes: all("attributes"),
    recursive: all("recursive"),
    propagation: known.flatMap(({ propagation }) => propagation ?? []),
    idmap: words.includes("ridmap") ? "ridmap" : words.includes("idmap") ? "idmap" : "none",
    copyUp: words.includes("tmpcopyup"),
    data: known.flatMap(({ data }) => data ?? []),
  };
}

type Meaning = {
  readonly attributes?: Attributes;
  readonly recursive?: Attributes;
  readonly propagation?: Propagation;
  readonly data?: string;
};

/** One word; an "r" before a known one is the same with everything below. */
function meaningOf(word: string): Meaning {
  const attributes = ATTRIBUTES.get(word);
  if (attributes !== undefined) return { attributes };
  const flag = PROPAGATION.get(word);
  if (flag !== undefined) return { propagation: { flag, recursive: false } };
  if (NOTHING.has(word) || word === "") return {};
  const rest = word.startsWith("r") ? word.slice(1) : "";
  const recursive = ATTRIBUTES.get(rest);
  if (recursive !== undefined) return { recursive };
  const flagBelow = PROPAGATION.get(rest);
  if (flagBelow !== undefined) return { propagation: { flag: flagBelow, recursive: true } };
  return { data: word };
}

/** The mask for fsmount(2), which knows only attributes that are set. */
export function fsmountAttributes(options: MountOptions): number {
  return options.attributes.set | options.recursive.set;
}

/** The option words that `features` lists. */
export function knownMountOptions(): readonly string[] {
  const words = [...ATTRIBUTES.keys(), ...PROPAGATION.keys()];
  const own = ["dirsync", "iversion", "lazytime", "mand", "sync"];
  return [...words, ...words.map((word) => `r${word}`), ...NOTHING, ...own].sort();
}
