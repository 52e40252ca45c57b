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

/** Words that ask for what is so anyway; nobody hears a kernel that is loud. */
const IDLE: readonly string[] = ["", "defaults", "loud", "silent"];

const NO_ATTRIBUTES: Attributes = { set: 0, clear: 0 };

/** The later word wins, as in mount(8). */
function merge(before: Attributes, next: Attributes): Attributes {
  return {
    set: (before.set & ~next.clear) | next.set,
    clear: (before.clear & ~(next.set & ~MOUNT_ATTR_ATIME)) | next.clear,
  };
}

/** What is known of a mount while its words are read. */
type Draft = { -readonly [field in keyof MountOptions]: MountOptions[field] };

/** What a word does to the options read so far. */
type Meaning = (draft: Draft) => void;

const NO_PROPAGATION: readonly Propagation[] = [];
const NO_LINKS: ReadonlySet<LinkWord> = new Set();
const NO_WORDS: readonly never[] = [];

/**
 * Reads the words of one mount. Unknown words are the file system's, which refuses what it cannot use.
 * A container has some fifty of them: each is looked up once.
 */
export function parseMountOptions(words: readonly string[]): MountOptions {
  const draft: Draft = {
    bind: "none",
    remount: false,
    attributes: NO_ATTRIBUTES,
    accessTime: "keep",
    accessTimeOff: NO_WORDS,
    recursive: NO_ATTRIBUTES,
    propagation: NO_PROPAGATION,
    idmap: undefined,
    copyUp: false,
    links: NO_LINKS,
    superblock: NO_WORDS,
    data: NO_WORDS,
  };
  for (const word of words) {
    const meaning = MEANINGS.get(word);
    if (meaning !== undefined) meaning(draft);
    else if (isIdmap(word)) draft.idmap = word;
    else draft.data = [...draft.data, word];
  }
  return draft;
}

function isIdmap(word: string): boolean {
  return word.startsWith("idmap=") || word.startsWith("ridmap=");
}

/** Every word that has a meaning of its own, but those with a value. */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  // Before the rest: "relatime" is no "elatime" of everything below.
  ...[...FLAGS].map(([word, flags]) => wordOf(`r${word}`, (draft) => addBelow(draft, flags))),
  ...[...ACCESS_TIMES].map(([word, set]) =>
    wordOf(`r${word}`, (draft) => addBelow(draft, { set, clear: MOUNT_ATTR_ATIME })),
  ),
  ...[...PROPAGATION].flatMap(([word, flag]) => [
    wordOf(`r${word}`, (draft) => addPropagation(draft, { flag, recursive: true })),
    wordOf(word, (draft) => addPropagation(draft, { flag, recursive: false })),
  ]),
  ...[...FLAGS].map(([word, flags]) =>
    wordOf(word, (draft) => {
      draft.attributes = merge(draft.attributes, flags);
    }),
  ),
  ...[...ACCESS_TIMES.keys()].map((word) => wordOf(word, (draft) => setAccessTime(draft, word))),
  ...[...SUPERBLOCK].map(([word, [flag, on]]) =>
    wordOf(word, (draft) => setSuperblock(draft, flag, on)),
  ),
  ...LINK_WORDS.map((word) =>
    wordOf(word, (draft) => {
      draft.links = new Set([...draft.links, word]);
    }),
  ),
  ...IDLE.map((word) => wordOf(word, () => {})),
  wordOf("remount", (draft) => {
    draft.remount = true;
  }),
  wordOf("tmpcopyup", (draft) => {
    draft.copyUp = true;
  }),
  wordOf("rbind", (draft) => {
    draft.bind = "rbind";
  }),
  wordOf("bind", (draft) => {
    if (draft.bind === "none") draft.bind = "bind";
  }),
  ...["idmap", "ridmap"].map((word) =>
    wordOf(word, (draft) => {
      draft.idmap = word;
    }),
  ),
]);

function wordOf(word: string, meaning: Meaning): [string, Meaning] {
  return [word, meaning];
}

function addBelow(draft: Draft, flags: Attributes): void {
  draft.recursive = merge(draft.recursive, flags);
}

function addPropagation(draft: Draft, propagation: Propagation): void {
  draft.propagation = [...draft.propagation, propagation];
}

function setAccessTime(draft: Draft, word: string): void {
  const off = ACCESS_TIME_OFF.get(word);
  if (off === undefined) {
    draft.accessTime = word as AccessTime;
    return;
  }
  draft.accessTimeOff = [...draft.accessTimeOff, off];
  if (draft.accessTime === off) draft.accessTime = "keep";
}

function setSuperblock(draft: Draft, flag: string, on: boolean): void {
  const others = draft.superblock.filter((each) => each !== flag);
  draft.superblock = on ? [...others, flag] : others;
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
  return [...MEANINGS.keys()].filter((word) => word !== "").sort();
}
