/**
 * The option words of an OCI mount, as attributes for the new mount interface.
 * Sources: runtime-spec config.md, "Linux mount options"; mount_setattr(2); mount(8). Pure.
 */

import { TareError } from "@tare/spec/error.ts";
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

/** Access times as the words ask for them: nothing, or one of the kernel's three modes. */
export type AccessTime = "keep" | "noatime" | "relatime" | "strictatime";

export type MountOptions = {
  readonly bind: "none" | "bind" | "rbind";
  /** Change the mount that is there, instead of making one. */
  readonly remount: boolean;
  /** Flags that are asked for (`set`) or asked to be off (`clear`), without the access time modes. */
  readonly attributes: Attributes;
  readonly accessTime: AccessTime;
  /** Whether a word asks that access times be other than now: `atime`, `norelatime`, `nostrictatime`. */
  readonly accessTimeOff: readonly AccessTime[];
  /** Of the mount and all below it. */
  readonly recursive: Attributes;
  readonly propagation: readonly Propagation[];
  /** `idmap` or `ridmap`, with crun's own maps behind `=`; undefined where neither is named. */
  readonly idmap: string | undefined;
  /** Copy what the directory held into the new tmpfs. */
  readonly copyUp: boolean;
  /** crun's: links are not followed at the source or the target, or are made again. */
  readonly links: ReadonlySet<LinkWord>;
  /** Flags of the whole file system: sync, dirsync, lazytime, mand, iversion. */
  readonly superblock: readonly string[];
  /** Everything that is the file system's own: `mode=755`, `newinstance`. */
  readonly data: readonly string[];
};

export type LinkWord = "copy-symlink" | "src-nofollow" | "dest-nofollow";

const FLAGS: ReadonlyMap<string, Attributes> = new Map([
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
]);

/**
 * The access time modes are one field: the kernel wants it cleared whole before a mode is set. With
 * everything below they are always set; alone, a word that names no mode keeps what there is.
 */
const ACCESS_TIMES: ReadonlyMap<string, number> = new Map([
  ["noatime", MOUNT_ATTR_NOATIME],
  ["strictatime", MOUNT_ATTR_STRICTATIME],
  ["relatime", MOUNT_ATTR_RELATIME],
  ["atime", MOUNT_ATTR_RELATIME],
  ["norelatime", MOUNT_ATTR_STRICTATIME],
  ["nostrictatime", MOUNT_ATTR_RELATIME],
]);

const ACCESS_TIME_OFF: ReadonlyMap<string, AccessTime> = new Map([
  ["atime", "noatime"],
  ["norelatime", "relatime"],
  ["nostrictatime", "strictatime"],
]);

const PROPAGATION: ReadonlyMap<string, number> = new Map([
  ["private", MS_PRIVATE],
  ["shared", MS_SHARED],
  ["slave", MS_SLAVE],
  ["unbindable", MS_UNBINDABLE],
]);

/** Flags of the file system itself, and the words that take them back. */
const SUPERBLOCK: ReadonlyMap<string, readonly [flag: string, on: boolean]> = new Map([
  ["sync", ["sync", true]],
  ["async", ["sync", false]],
  ["dirsync", ["dirsync", true]],
  ["lazytime", ["lazytime", true]],
  ["nolazytime", ["lazytime", false]],
  ["mand", ["mand", true]],
  ["nomand", ["mand", false]],
  ["iversion", ["iversion", true]],
  ["noiversion", ["iversion", false]],
]);

const LINK_WORDS: readonly LinkWord[] = ["copy-symlink", "src-nofollow", "dest-nofollow"];

/** Words that are read elsewhere, or ask for what is so anyway; nobody hears a kernel that is loud. */
const OTHERS: ReadonlySet<string> = new Set([
  "defaults",
  "loud",
  "silent",
  "remount",
  "bind",
  "rbind",
  "idmap",
  "ridmap",
  "tmpcopyup",
  ...LINK_WORDS,
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
    remount: words.includes("remount"),
    attributes: all("attributes"),
    ...accessTimes(words),
    recursive: all("recursive"),
    propagation: known.flatMap(({ propagation }) => propagation ?? []),
    idmap: words.findLast(isIdmap),
    copyUp: words.includes("tmpcopyup"),
    links: new Set(LINK_WORDS.filter((word) => words.includes(word))),
    superblock: superblockFlags(words),
    data: known.flatMap(({ data }) => data ?? []),
  };
}

function isIdmap(word: string): boolean {
  const name = word.startsWith("r") ? word.slice(1) : word;
  return name === "idmap" || name.startsWith("idmap=");
}

function accessTimes(words: readonly string[]): Pick<MountOptions, "accessTime" | "accessTimeOff"> {
  let accessTime: AccessTime = "keep";
  const accessTimeOff: AccessTime[] = [];
  for (const word of words) {
    const off = ACCESS_TIME_OFF.get(word);
    if (off === undefined) {
      if (ACCESS_TIMES.has(word)) accessTime = word as AccessTime;
      continue;
    }
    accessTimeOff.push(off);
    if (accessTime === off) accessTime = "keep";
  }
  return { accessTime, accessTimeOff };
}

function superblockFlags(words: readonly string[]): string[] {
  const flags = new Set<string>();
  for (const word of words) {
    const [flag, on] = SUPERBLOCK.get(word) ?? [];
    if (flag === undefined) continue;
    if (on) flags.add(flag);
    else flags.delete(flag);
  }
  return [...flags];
}

type Meaning = {
  readonly attributes?: Attributes;
  readonly recursive?: Attributes;
  readonly propagation?: Propagation;
  readonly data?: string;
};

/** One word; an "r" before a known one is the same with everything below. */
function meaningOf(word: string): Meaning {
  const attributes = FLAGS.get(word);
  if (attributes !== undefined) return { attributes };
  const flag = PROPAGATION.get(word);
  if (flag !== undefined) return { propagation: { flag, recursive: false } };
  if (OTHERS.has(word) || SUPERBLOCK.has(word) || ACCESS_TIMES.has(word)) return {};
  if (word === "" || isIdmap(word)) return {};
  const rest = word.startsWith("r") ? word.slice(1) : "";
  const below = FLAGS.get(rest);
  if (below !== undefined) return { recursive: below };
  const mode = ACCESS_TIMES.get(rest);
  if (mode !== undefined) return { recursive: { set: mode, clear: MOUNT_ATTR_ATIME } };
  const flagBelow = PROPAGATION.get(rest);
  if (flagBelow !== undefined) return { propagation: { flag: flagBelow, recursive: true } };
  return { data: word };
}

/** The mask for fsmount(2), which knows only attributes that are set. */
export function fsmountAttributes(options: MountOptions): number {
  return options.attributes.set | modeOf(options.accessTime) | options.recursive.set;
}

function modeOf(accessTime: AccessTime): number {
  return accessTime === "keep" ? 0 : (ACCESS_TIMES.get(accessTime) ?? 0);
}

const EXACT =
  MOUNT_ATTR_RDONLY |
  MOUNT_ATTR_NOSUID |
  MOUNT_ATTR_NODEV |
  MOUNT_ATTR_NOEXEC |
  MOUNT_ATTR_NOSYMFOLLOW;

/**
 * What the words of a bind make of the flags that its source has, as in runc and mount(8): without a
 * word about flags all are kept; with one, they are what the words say and no more. Access times are
 * kept unless a mode is named.
 */
export function bindAttributes(options: MountOptions): Attributes {
  const { attributes, accessTime, accessTimeOff } = options;
  if ((attributes.set | attributes.clear) === 0 && accessTime === "keep") {
    if (accessTimeOff.length === 0) return NO_ATTRIBUTES;
  }
  const set = attributes.set | modeOf(accessTime);
  const named = accessTime !== "keep" || (attributes.set & MOUNT_ATTR_NODIRATIME) !== 0;
  const times = named ? MOUNT_ATTR_ATIME | MOUNT_ATTR_NODIRATIME : 0;
  return { set, clear: (EXACT | times) & ~(set & ~MOUNT_ATTR_ATIME) };
}

/**
 * A word that a bind cannot honour, because it would be of the whole file system below it. Words that
 * have a value, as `mode=755`, are passed over on a bind, by mount(2) itself and so by runc and crun; one
 * without may be a misspelt flag.
 */
export function refuseForBind(options: MountOptions, target: string): void {
  const flags = options.data.filter((each) => !each.includes("="));
  const [word] = [...options.superblock, ...flags];
  if (word === undefined) return;
  throw new TareError(
    "bad_input",
    `Cannot bind on "${target}": option "${word}" is the file system's, which is mounted already`,
    { hint: "Mount the file system itself with it, or leave it out" },
  );
}

/** The option words that `features` lists. */
export function knownMountOptions(): readonly string[] {
  const each = [...FLAGS.keys(), ...ACCESS_TIMES.keys(), ...PROPAGATION.keys()];
  const alone = [...SUPERBLOCK.keys(), ...OTHERS];
  return [...each, ...each.map((word) => `r${word}`), ...alone].sort();
}
