/**
 * tare-helper: the privileged steps of the engine that are no runtime's. Verbs:
 *   with-rootfs   mount a root file system in a namespace of our own, then become another program
 *   unpack        an image layer, or any tree, from standard input, by descriptors
 *   merge         move a tree into a directory that others use meanwhile
 *   quota         limit a directory by its file system's project quotas
 *   accounts      print passwd and group of a root file system
 *   pack          a directory, a container's root or what it changed, as a tar archive to standard output
 *   changes       print what a container changed
 * Called by the engine only. An error is one JSON line, on standard error or in `--log FILE`.
 */

import * as sys from "tare:sys";
import { type ErrorReport, TareError, toReport } from "@tare/spec/error.ts";
import { openUserNamespace } from "../container/user-namespace.ts";
import { readAccounts } from "../rootfs/accounts.ts";
import { enterMountNamespace, mountDirectory, mountOverlay } from "../rootfs/overlay.ts";
import { AT_FDCWD, O_APPEND, O_CREAT, O_WRONLY } from "../sys/abi-file.ts";
import { check } from "../sys/check.ts";
import { openAt, writeAll } from "../sys/file.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd } from "../sys/types.ts";
import type { UpperOptions } from "../verb/pack.ts";

const STDOUT = 1 as Fd;
const STDERR = 2 as Fd;
const EXIT_FAILURE = 125;

/** Words after the verb: `--name value`, switches, and what follows `--`. */
class Words {
  readonly #values = new Map<string, string>();
  readonly rest: readonly string[];

  constructor(words: readonly string[], switches: readonly string[]) {
    const end = words.indexOf("--");
    const own = end < 0 ? words : words.slice(0, end);
    this.rest = end < 0 ? [] : words.slice(end + 1);
    for (let at = 0; at < own.length; at++) {
      const name = own[at] ?? "";
      this.#values.set(name, switches.includes(name) ? "" : (own[++at] ?? ""));
    }
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  want(name: string): string {
    const value = this.#values.get(name);
    if (value !== undefined) return value;
    throw new TareError("internal", `tare-helper is called without ${name}`);
  }

  list(name: string): readonly string[] {
    const text = this.#values.get(name);
    return text === undefined || text === "" ? [] : text.split(":");
  }
}

const SWITCHES = ["--volatile", "--user-xattr", "--ask", "--layer", "--tree"];

/** Called by the host; the answer is the exit status. */
export function main(): number {
  const [, verb = "", ...others] = sys.argv();
  const words = new Words(others, SWITCHES);
  try {
    if (verb === "with-rootfs") withRootfs(words);
    else if (verb === "unpack") unpackLayer(words);
    else if (verb === "merge") merge(words);
    else if (verb === "quota") quota(words);
    else if (verb === "accounts") printAccounts(words);
    else if (verb === "pack") pack(words);
    else if (verb === "changes") {
      loadPart(sys, "tare-helper~pack").printChanges(sys, upperOptions(words), STDOUT);
    } else throw new TareError("bad_input", `Cannot do "${verb}": there is no such verb`);
    return 0;
  } catch (error) {
    complain(toReport(error), words.get("--log"));
    return EXIT_FAILURE;
  }
}

/** `--lower A:B --upper U --work W` or `--directory D`; `--target T [--map FIRST:SIZE:FIRST:SIZE] [--storage FILE] -- PROGRAM ARGS`. */
function withRootfs(words: Words): void {
  const target = words.want("--target");
  enterMountNamespace(sys);
  const userns = mappedNamespace(words);
  const directory = words.get("--directory");
  if (directory !== undefined) {
    mountDirectory(sys, directory, target, userns);
  } else {
    const plan = {
      lower: words.list("--lower"),
      upper: words.want("--upper"),
      work: words.want("--work"),
      target,
      volatile: words.has("--volatile"),
      userXattr: words.has("--user-xattr"),
    };
    mountOverlay(sys, plan, userns);
  }
  const storage = words.get("--storage");
  if (storage !== undefined) {
    loadPart(sys, "tare-helper~volume").applyStorage(sys, storage, target, userns);
  }
  if (userns !== undefined) sys.close(userns);
  become(words.rest);
}

function mappedNamespace(words: Words): Fd | undefined {
  const map = words.list("--map").map(Number);
  const [uidFirst, uidSize, gidFirst, gidSize] = map;
  if (uidFirst === undefined || uidSize === undefined) return undefined;
  const range = (hostID: number, size: number) => [{ containerID: 0, hostID, size }];
  return openUserNamespace(sys, {
    uidMappings: range(uidFirst, uidSize),
    gidMappings: range(gidFirst ?? uidFirst, gidSize ?? uidSize),
  }).release();
}

/** The program keeps our environment, process id and the descriptors that the engine gave. */
function become(words: readonly string[]): void {
  const [program = ""] = words;
  check(sys.execve(program, words, sys.environ()), "execve", program);
}

/** `--dir D [--marks user] [--bytes-max N] [--ask] [--tree]`: verb/unpack.ts. */
function unpackLayer(words: Words): void {
  const most = words.get("--bytes-max");
  loadPart(sys, "tare-helper~unpack").unpackVerb(sys, {
    directory: words.want("--dir"),
    marks: words.get("--marks") === "user" ? "user" : "trusted",
    bytesMax: most === undefined ? undefined : Number(most),
    ask: words.has("--ask"),
    tree: words.has("--tree"),
  });
}

/** `--from D --room R`: volume/merge.ts. */
function merge(words: Words): void {
  loadPart(sys, "tare-helper~merge").mergeVolume(sys, words.want("--from"), words.want("--room"));
}

/** `--dir D` with `--bytes N`, or with `--like E` for the project of another directory. */
function quota(words: Words): void {
  const part = loadPart(sys, "tare-helper~quota");
  const [directory, like] = [words.want("--dir"), words.get("--like")];
  if (like === undefined) part.limitDirectory(sys, directory, BigInt(words.want("--bytes")));
  else part.joinProject(sys, directory, like);
}

/** `--directory D [--map ...]`, or the words of `upperOptions` with `--layer` for the changes alone. */
function pack(words: Words): void {
  const part = loadPart(sys, "tare-helper~pack");
  const directory = words.get("--directory");
  if (directory !== undefined) part.packDirectory(sys, directory, outsideIds(words), STDOUT);
  else if (words.has("--layer")) part.packLayer(sys, upperOptions(words), STDOUT);
  else part.packWhole(sys, upperOptions(words), STDOUT);
}

/** `--upper U --lower A:B --target T [--map FIRST:SIZE:FIRST:SIZE] [--stubs A:B] [--user-xattr]`. */
function upperOptions(words: Words): UpperOptions {
  return {
    upper: words.want("--upper"),
    lower: words.list("--lower"),
    target: words.want("--target"),
    ids: outsideIds(words),
    stubs: words.list("--stubs"),
    userXattr: words.has("--user-xattr"),
  };
}

function outsideIds(words: Words): UpperOptions["ids"] {
  const [uid, uids, gid, gids] = words.list("--map").map(Number);
  if (uid === undefined || uids === undefined) return undefined;
  return { uid, uids, gid: gid ?? uid, gids: gids ?? uids };
}

/** `--roots A:B`, topmost first: one JSON line `{passwd, group}`. */
function printAccounts(words: Words): void {
  const accounts = readAccounts(sys, words.list("--roots"));
  writeAll(sys, STDOUT, sys.encode_utf8(`${JSON.stringify(accounts)}\n`), "standard output");
}

/** The log line has the fields that runtimes write; unlike them, nothing was printed. */
function complain(report: ErrorReport, log: string | undefined): void {
  const line = { level: "error", msg: report.message, printed: false, ...report };
  const fd =
    log === undefined
      ? STDERR
      : check(openAt(sys, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0, 0o600), "openat2", log);
  writeAll(sys, fd, sys.encode_utf8(`${JSON.stringify(line)}\n`), "the log");
}
