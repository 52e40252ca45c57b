/** `checkpoint` and `restore`: a container as files, by criu. Options, names and defaults are runc's. */

import { TareError } from "@tare/spec/error.ts";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import type { CreateRequest } from "../container/create.ts";
import { destroy } from "../container/destroy.ts";
import { toState } from "../container/store.ts";
import { dump, removeSaved } from "../criu/dump.ts";
import { CGROUP_MODES, NETWORK_LOCKS, type OptionName } from "../criu/messages.ts";
import type { DumpWishes, Wishes } from "../criu/options.ts";
import { requireCriu } from "../criu/program.ts";
import { type Restored, restore } from "../criu/restore.ts";
import { runPoststopHooks } from "../hooks/hooks.ts";
import { normalize } from "../mounts/plan.ts";
import { exitStatus, waitFor } from "../process/wait.ts";
import { AT_FDCWD, F_GETFD, S_IFDIR, S_IFMT } from "../sys/abi-file.ts";
import { check, during } from "../sys/check.ts";
import { readText } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { catchSignals, relay } from "../terminal/relay.ts";
import type { Arguments } from "./arguments.ts";
import type { Commands } from "./command.ts";
import { absolutePath, type Context, containerId, effectiveUser, writePidFile } from "./context.ts";
import { type ConsoleTaker, consoleTaker, inForeground } from "./foreground.ts";
import { known, wrongState } from "./known.ts";

const COMMON_OPTIONS = {
  "image-path": "value",
  "work-path": "value",
  "tcp-established": "flag",
  "ext-unix-sk": "flag",
  "shell-job": "flag",
  "file-locks": "flag",
  "lazy-pages": "flag",
  "auto-dedup": "flag",
  "manage-cgroups-mode": "value",
  "network-lock": "value",
  "empty-ns": "list",
} as const;

const CHECKPOINT_OPTIONS = {
  ...COMMON_OPTIONS,
  "parent-path": "value",
  "leave-running": "flag",
  "tcp-skip-in-flight": "flag",
  "link-remap": "flag",
  "status-fd": "value",
  "page-server": "value",
  "pre-dump": "flag",
} as const;

const RESTORE_OPTIONS = {
  ...COMMON_OPTIONS,
  bundle: "value",
  b: { short: "bundle" },
  detach: "flag",
  d: { short: "detach" },
  "pid-file": "value",
  "console-socket": "value",
  "no-subreaper": "flag",
  "no-pivot": "flag",
  "tcp-close": "flag",
  "lsm-profile": "value",
  "lsm-mount-context": "value",
} as const;

/** Options that criu has, too. */
const CRIU_FLAGS: readonly (readonly [option: string, flag: OptionName])[] = [
  ["leave-running", "leave_running"],
  ["tcp-established", "tcp_established"],
  ["tcp-skip-in-flight", "tcp_skip_in_flight"],
  ["tcp-close", "tcp_close"],
  ["link-remap", "link_remap"],
  ["ext-unix-sk", "ext_unix_sk"],
  ["shell-job", "shell_job"],
  ["file-locks", "file_locks"],
  ["lazy-pages", "lazy_pages"],
  ["auto-dedup", "auto_dedup"],
];

const DEFAULT_IMAGES = "checkpoint";
const CONFIG_BYTES_MAX = 4 * 1024 * 1024;
const PORT_MAX = 65_535;

export const COMMANDS: Commands = {
  checkpoint: { options: CHECKPOINT_OPTIONS, mixed: true, words: 1, run: runCheckpoint },
  restore: { options: RESTORE_OPTIONS, mixed: true, words: 1, run: runRestore },
};

function runCheckpoint(context: Context): number {
  const { sys, args } = context;
  const wishes = dumpWishes(sys, args);
  const { directory, record, status } = known(context, containerId(args));
  if (status !== "running" && status !== "paused") {
    throw wrongState("checkpoint", record.id, status, "Only a running one can be saved");
  }
  const config = readConfig(sys, `${record.bundle}/config.json`);
  requireCriu(sys, "checkpoint");
  dump(sys, { record, config, wishes });
  const goesOn = wishes.preDump || args.flags.has("leave-running");
  if (!goesOn) removeSaved(sys, directory, record);
  return 0;
}

function readConfig(sys: Sys, path: string): Config {
  const text = readText(sys, path, CONFIG_BYTES_MAX);
  if (text !== undefined) return parseConfig(text);
  throw new TareError("not_found", `Cannot read "${path}": no such file`, {
    hint: "Which mounts are the host's stands there",
  });
}

/** What `checkpoint` was asked for, checked. */
export function dumpWishes(sys: Sys, args: Arguments): DumpWishes {
  const wishes = commonWishes(sys, args);
  const parent = args.options.get("parent-path");
  const pageServer = args.options.get("page-server");
  const statusFd = args.options.get("status-fd");
  if (parent !== undefined) checkParent(sys, wishes.images, parent);
  return {
    ...wishes,
    preDump: args.flags.has("pre-dump"),
    ...(parent === undefined ? {} : { parent }),
    ...(pageServer === undefined ? {} : { pageServer: parsePageServer(pageServer) }),
    ...(statusFd === undefined ? {} : { statusFd: openStatusFd(sys, statusFd) }),
  };
}

function commonWishes(sys: Sys, { options, flags, lists }: Arguments): Wishes {
  const images = absolutePath(sys, options.get("image-path") || DEFAULT_IMAGES);
  const work = options.get("work-path");
  const other = (lists.get("empty-ns") ?? []).find((name) => name !== "network");
  if (other !== undefined) {
    throw new TareError("bad_input", `Cannot use --empty-ns "${other}": want network`);
  }
  return {
    images,
    work: work === undefined || work === "" ? images : absolutePath(sys, work),
    manageCgroups: oneOf(CGROUP_MODES, "manage-cgroups-mode", options) ?? "soft",
    ...networkLock(options),
    flags: CRIU_FLAGS.filter(([option]) => flags.has(option)).map(([, flag]) => flag),
  };
}

function networkLock(options: Arguments["options"]): Pick<Wishes, "networkLock"> {
  const method = oneOf(NETWORK_LOCKS, "network-lock", options);
  return method === undefined ? {} : { networkLock: method };
}

/** The word of an option that has a few; undefined where it is not given. */
function oneOf<Word extends string>(
  words: { readonly [word in Word]: number },
  option: string,
  options: Arguments["options"],
): Word | undefined {
  const word = options.get(option) ?? "";
  if (word === "") return undefined;
  if (Object.hasOwn(words, word)) return word as Word;
  throw new TareError("bad_input", `Cannot use --${option} "${word}": unknown mode`, {
    hint: `Use one of ${Object.keys(words).join(", ")}`,
  });
}

/** criu takes it from the directory of the images. */
function checkParent(sys: Sys, images: string, parent: string): void {
  if (parent.startsWith("/")) {
    throw new TareError("bad_input", `Cannot use --parent-path "${parent}": it must be relative`, {
      hint: "It begins at the directory of --image-path",
    });
  }
  // The directory of the images need not be there yet.
  const path = normalize(`${images}/${parent}`);
  const { mode } = during(
    () => "Cannot use --parent-path",
    () => statAt(sys, AT_FDCWD, path, 0),
  );
  if ((mode & S_IFMT) === S_IFDIR) return;
  throw new TareError("bad_input", `Cannot use --parent-path "${path}": it is no directory`);
}

/** `HOST:PORT`; an IPv6 address stands in brackets. Pure. */
export function parsePageServer(text: string): NonNullable<DumpWishes["pageServer"]> {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, Math.max(colon, 0));
  const address = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
  const port = Number(text.slice(colon + 1) || "0");
  if (address !== "" && Number.isInteger(port) && port > 0 && port <= PORT_MAX) {
    return { address, port };
  }
  throw new TareError("bad_input", `Cannot use --page-server "${text}": want ADDRESS:PORT`);
}

function openStatusFd(sys: Sys, text: string): number {
  const fd = Number(text);
  if (Number.isInteger(fd) && fd >= 0) {
    check(sys.fcntl(fd as Fd, F_GETFD, 0), "fcntl F_GETFD", `--status-fd ${text}`);
    return fd;
  }
  throw new TareError("bad_input", `Cannot use --status-fd "${text}": want a descriptor`);
}

/** `restore`: waits as `run` does, unless detached; the exit status is the program's. */
function runRestore(context: Context): number {
  const { sys, args } = context;
  const wishes = commonWishes(sys, args);
  requireCriu(sys, "restore");
  const taker = consoleTaker(sys, args.options.get("console-socket"));
  const create = requestOf(context, taker);
  const lsmProfile = args.options.get("lsm-profile");
  const lsmMountContext = args.options.get("lsm-mount-context");
  const labels = {
    ...(lsmProfile === undefined ? {} : { lsmProfile }),
    ...(lsmMountContext === undefined ? {} : { lsmMountContext }),
  };
  using signals = catchSignals(sys);
  const restored = restore(sys, { create, wishes, labels });
  return args.flags.has("detach") ? 0 : wait(sys, restored, taker, signals.fd);
}

function requestOf(context: Context, taker: ConsoleTaker): CreateRequest {
  const { sys, args, log } = context;
  const detached = args.flags.has("detach");
  const bundle = absolutePath(sys, args.options.get("bundle") || ".");
  return {
    id: containerId(args),
    bundle,
    configFile: `${bundle}/config.json`,
    manager: context.manager,
    rootless: context.rootless,
    root: context.root,
    startElsewhere: false,
    preserveFds: 0,
    // The image says which keyring and which root the processes have.
    keyring: false,
    pivot: true,
    console: args.options.has("console-socket") ? "send" : detached ? "none" : "keep",
    onConsole: taker.take,
    onPid: (pid) => writePidFile({ sys, args }, pid),
    owner: effectiveUser(sys),
    debug: log.debug,
    warn: log.warn,
    activation: undefined,
  };
}

function wait(
  sys: Sys,
  { directory, record, config, pid }: Restored,
  { taken }: ConsoleTaker,
  signals: Fd,
): number {
  {
    using pidfd = new OwnedFd(sys, check(sys.pidfd_open(pid, 0), "pidfd_open"));
    const nothing = { lifeline: undefined, beside: undefined };
    inForeground(sys, taken, (terminal) =>
      relay(sys, { pidfd: pidfd.fd, signals, terminal, ...nothing }),
    );
  }
  const status = exitStatus(waitFor(sys, pid));
  // It was waited for: there is nobody to look for any more.
  const { pid: _reaped, ...ended } = record;
  destroy(sys, directory, ended);
  runPoststopHooks(sys, config.hooks.poststop, toState(record, "stopped"));
  return status;
}
