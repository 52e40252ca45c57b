/**
 * Who a process runs as: the text `user[:group]` of an image or a flag, and the account files of the
 * image that names are looked up in. The files are hostile. Digits are always an id, never a name,
 * and an id is exact or refused: `4294967296` in /etc/passwd must not become root (CVE-2024-40635,
 * CVE-2026-30892). Who reads the files bounds them and sees to it that they are regular.
 */
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";
import { ID_MAX } from "./json-read.ts";

/** The texts of /etc/passwd and /etc/group; empty where the image has none. */
export type AccountFiles = { readonly passwd: string; readonly group: string };

/** Ids for the kernel, and what the account files say beside them. */
export type ResolvedUser = {
  readonly uid: number;
  readonly gid: number;
  /** Groups that list the user, without repetition; none where the text names a group. */
  readonly additionalGids: readonly number[];
  /** Absolute; `/` where no line tells. */
  readonly home: string;
  /** The name of the line in /etc/passwd, if there is one. */
  readonly name?: string;
};

/** In UTF-16 units, of each file (CVE-2024-9676 and its kin read without end). */
const FILE_LENGTH_MAX = 10 * 1024 * 1024;

/** More groups than a process can have: NGROUPS_MAX of limits.h. */
const GROUPS_MAX = 65536;

const NAME_LENGTH_MAX = 256;
const ID_DIGITS_MAX = 10;

type Who = { readonly id: number } | { readonly name: string } | undefined;

/**
 * The ids of `uid[:gid]`, digits only, as `exec --user` of the runtime has them.
 * Throws `bad_input` for names, signs, spaces and ids beyond 2^32-2.
 */
export function parseUserIds(text: string): { readonly uid: number; readonly gid?: number } {
  const colon = text.indexOf(":");
  const uid = parseId(colon < 0 ? text : text.slice(0, colon));
  if (uid === undefined) fail(text, "want uid or uid:gid, in digits");
  if (colon < 0) return { uid };
  const gid = parseId(text.slice(colon + 1));
  if (gid === undefined) fail(text, "want uid or uid:gid, in digits");
  return { uid, gid };
}

/**
 * Resolves `user`, `uid`, `user:group` and their mixtures as moby and runc do: an empty part is 0 or
 * what /etc/passwd says, an id needs no line, a name does, the first line that fits counts.
 * Throws `bad_input` for a text that is no user, `not_found` for a name without a line.
 */
export function resolveUser(text: string, files: AccountFiles): ResolvedUser {
  const colon = text.indexOf(":");
  const user = parseWho(text, colon < 0 ? text : text.slice(0, colon));
  const group = parseWho(text, colon < 0 ? "" : text.slice(colon + 1));
  const account = findAccount(files.passwd, user ?? { id: 0 });
  if (account === undefined && user !== undefined && "name" in user) {
    throw new TareError("not_found", `Cannot find user "${user.name}": not in /etc/passwd`);
  }
  const uid = account?.uid ?? (user !== undefined && "id" in user ? user.id : 0);
  const gid = group === undefined ? (account?.gid ?? 0) : findGid(files.group, group);
  const isImplicit = group === undefined && account !== undefined;
  const additionalGids = isImplicit ? findMemberships(files.group, account.name) : [];
  const resolved = { uid, gid, additionalGids, home: account?.home ?? "/" };
  return account === undefined ? resolved : { ...resolved, name: account.name };
}

/**
 * The ids of groups given by name or id, as for `--group-add`. Throws `bad_input` for a text that is
 * no group, `not_found` for a name without a line.
 */
export function resolveGroups(texts: readonly string[], group: string): readonly number[] {
  const gids = new Set<number>();
  for (const text of texts) {
    const who = parseWho(text, text);
    if (who === undefined) fail(text, "it is empty");
    gids.add(findGid(group, who));
  }
  return [...gids];
}

function fail(text: string, why: string): never {
  throw new TareError("bad_input", `Cannot use user ${quoteJson(text)}: ${why}`);
}

/** Undefined for an empty part. A sign and digits look like a number and are none. */
function parseWho(text: string, part: string): Who {
  if (part === "") return undefined;
  if (part.length > NAME_LENGTH_MAX)
    fail(text, `a name of more than ${NAME_LENGTH_MAX} characters`);
  const start = part.startsWith("-") || part.startsWith("+") ? 1 : 0;
  if (isDigits(part, start)) {
    const id = parseId(part);
    if (id === undefined) fail(text, `an id is 0 to ${ID_MAX}`);
    return { id };
  }
  for (let at = 0; at < part.length; at++) {
    const code = part.charCodeAt(at);
    if (code <= 0x20 || code === 0x7f || code === 0x3a || code === 0x2f) {
      fail(text, "a name has no spaces, colons, slashes and control characters");
    }
  }
  return { name: part };
}

/** Undefined unless it is digits up to `ID_MAX`; leading zeros change nothing. */
function parseId(text: string): number | undefined {
  if (!isDigits(text, 0)) return undefined;
  let start = 0;
  while (start < text.length - 1 && text.charCodeAt(start) === 0x30) start++;
  if (text.length - start > ID_DIGITS_MAX) return undefined;
  const id = Number(text.slice(start));
  return id <= ID_MAX ? id : undefined;
}

function isDigits(text: string, start: number): boolean {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x30 || code > 0x39) return false;
  }
  return text.length > start;
}

type Account = {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
};

/** passwd(5): name:password:UID:GID:GECOS:directory:shell. A line without proper ids is no account. */
function findAccount(passwd: string, who: { id: number } | { name: string }): Account | undefined {
  for (const line of linesOf(passwd, "/etc/passwd")) {
    const [name = "", , uidText = "", gidText = "", , directory = ""] = line.split(":", 6);
    const uid = parseId(uidText);
    const isMatch = "id" in who ? uid === who.id : name === who.name;
    if (!isMatch) continue;
    const gid = parseId(gidText);
    if (uid === undefined || gid === undefined) {
      throw new TareError("bad_input", `Cannot use user "${name}": /etc/passwd has no ids for it`);
    }
    return { name, uid, gid, home: homeIn(directory) };
  }
  return undefined;
}

/** The home of an id, for HOME: an absolute path of the first line that fits; `/` where there is none. */
export function findHome(passwd: string, uid: number): string {
  for (const line of linesOf(passwd, "/etc/passwd")) {
    const [, , uidText = "", , , directory = ""] = line.split(":", 6);
    if (parseId(uidText) === uid) return homeIn(directory);
  }
  return "/";
}

function homeIn(directory: string): string {
  return directory.startsWith("/") && !directory.includes("\0") ? directory : "/";
}

/** group(5): name:password:GID:users. An id needs no line. */
function findGid(group: string, who: { id: number } | { name: string }): number {
  if ("id" in who) return who.id;
  for (const line of linesOf(group, "/etc/group")) {
    const [name, , gidText = ""] = line.split(":", 3);
    if (name !== who.name) continue;
    const gid = parseId(gidText);
    if (gid !== undefined) return gid;
    throw new TareError("bad_input", `Cannot use group "${name}": /etc/group has no id for it`);
  }
  throw new TareError("not_found", `Cannot find group "${who.name}": not in /etc/group`);
}

/** The groups that list a user; lines without a proper id give nothing. */
function findMemberships(group: string, name: string): readonly number[] {
  const gids = new Set<number>();
  for (const line of linesOf(group, "/etc/group")) {
    const [, , gidText = "", users = ""] = line.split(":", 4);
    const gid = parseId(gidText);
    if (gid !== undefined && users.split(",").includes(name)) gids.add(gid);
    if (gids.size > GROUPS_MAX) {
      throw new TareError("bad_input", `Cannot use user "${name}": more than ${GROUPS_MAX} groups`);
    }
  }
  return [...gids];
}

/** Lines that are not empty and no comment, without the blanks around them; one at a time. */
function* linesOf(text: string, what: string): Generator<string> {
  if (text.length > FILE_LENGTH_MAX) {
    throw new TareError("bad_input", `Cannot read ${what}: more than ${FILE_LENGTH_MAX} bytes`);
  }
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, end).trim();
    if (line !== "" && !line.startsWith("#")) yield line;
    start = end + 1;
  }
}
