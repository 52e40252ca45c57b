/**
 * Runs a container in the foreground: make its directory, write its row, start the runtime (through
 * the helper, which mounts the root file system in a namespace that dies with it), wait, clean up.
 * Killed at any point, this leaves nothing that `sweepContainers` does not find.
 */

import { chownSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { TareError, toReport } from "@tare/spec/error.ts";
import type { OwnerIds } from "@tare/spec/storage-work.ts";
import { printConfig } from "../bundle/print.ts";
import type { Engine } from "../engine.ts";
import { reasonOf, starting } from "../host/failure.ts";
import { ownTag } from "../store/owner.ts";
import type { Store } from "../store/store.ts";
import { DRIVER } from "../volume/options.ts";
import {
  createVolume,
  findVolume,
  makeRoom,
  removeVolume,
  sweepVolumes,
} from "../volume/records.ts";
import type { IdMappings } from "./id-mappings.ts";
import {
  isThrownAway,
  needsHelper,
  type Prepared,
  prepare,
  type RuntimeTraits,
} from "./prepare.ts";
import {
  checkNameFree,
  confirmUse,
  containerPath,
  deleteContainer,
  deleteDirectory,
  forceDelete,
  hasRow,
  insertContainer,
  type OwnerFile,
  RUNTIME_ENVIRONMENT,
  recordExit,
  runtimeRoot,
} from "./records.ts";
import type { ContainerRequest } from "./request.ts";
import { readRuntimeLog } from "./runtime-log.ts";
import { wordsOf } from "./words.ts";

/** Descriptors that become the container's 0, 1 and 2. */
export type Stdio = readonly [
  stdin: "inherit" | "ignore" | number,
  stdout: "inherit" | number,
  stderr: "inherit" | number,
];

export type RunOptions = {
  readonly runtime: RuntimeTraits;
  readonly stdio: Stdio;
  /** Gets a way to send signals as soon as the container starts. */
  readonly onStart: (kill: (signal: NodeJS.Signals) => void) => void;
};

export type RunOutcome = {
  /** The command's exit status, 128 + n after signal n. */
  readonly exitCode: number;
  /** Why it never ran. */
  readonly failure: TareError | undefined;
  /** Whether the runtime has printed the reason itself. */
  readonly printed: boolean;
  readonly warnings: readonly string[];
};

/** Descriptor in the runtime that is closed when we are gone. */
const LIVENESS_FD = 3;
const ID_BYTES = 32;

/**
 * @throws TareError for a request that cannot be met; nothing was changed then.
 */
export async function runContainer(
  engine: Engine,
  request: ContainerRequest,
  options: RunOptions,
): Promise<RunOutcome> {
  if (request.name !== undefined) checkNameFree(engine.store, request.name);
  const id = crypto.getRandomValues(new Uint8Array(ID_BYTES)).toHex();
  const prepared = await prepare(engine, request, id, options.runtime);
  makeContainer(engine, request, prepared, options.runtime);
  try {
    const outcome = await execute(engine, request, prepared, options);
    const faults = finish(engine, request, id, outcome.exitCode);
    return { ...outcome, warnings: [...outcome.warnings, ...faults] };
  } catch (error) {
    finish(engine, request, id, EXIT_ENGINE_FAILED);
    throw error;
  }
}

const EXIT_ENGINE_FAILED = 125;

/** What cannot be tidied is told, but the command's exit status stands. */
function finish(engine: Engine, request: ContainerRequest, id: string, exitCode: number): string[] {
  try {
    if (isThrownAway(request)) discard(engine, request, id);
    else recordExit(engine.store, id, exitCode);
    return [];
  } catch (error) {
    return [`Cannot clean up container "${id}": ${toReport(error).message}`];
  }
}

function discard(engine: Engine, request: ContainerRequest, id: string): void {
  const removes = isThrownAway(request);
  if (hasRow({ name: request.name, removes })) deleteContainer(engine.store, id);
  else deleteDirectory(engine.store, id);
}

/** Everything aside, then one rename, then the row. */
function makeContainer(
  engine: Engine,
  request: ContainerRequest,
  prepared: Prepared,
  runtime: RuntimeTraits,
): void {
  const { store } = engine;
  const { id } = prepared;
  const removes = isThrownAway(request);
  const volumes = prepared.storage.volumes.flatMap(({ name }) => name ?? []);
  const mountedImages = prepared.storage.images;
  const row = { name: request.name, removes };
  const owner: OwnerFile = {
    owner: ownTag(),
    runtime: runtime.path,
    image: prepared.image,
    mountedImages,
    volumes,
    hasRow: hasRow(row),
  };
  const aside = `${store.root}/tmp/${owner.owner}-${id}`;
  const path = containerPath(store, id);
  const root = rootOwner(prepared.idMappings);
  makeDirectories(aside, prepared, root);
  for (const [name, text] of prepared.files) writeOwned(`${aside}/${name}`, text, root);
  writeFileSync(`${aside}/config.json`, printConfig(prepared.config), { mode: 0o600 });
  writeFileSync(`${aside}/owner.json`, JSON.stringify(owner), { mode: 0o600 });
  if (hasRow({ name: request.name, removes: isThrownAway(request) })) {
    writeFileSync(`${aside}/words.json`, JSON.stringify(wordsOf(request)), { mode: 0o600 });
  }
  renameSync(aside, path);
  try {
    makeVolumes(store, prepared, root);
    const record = {
      ...row,
      id,
      image: prepared.image,
      imageName: prepared.imageName,
      command: prepared.config.process?.args ?? [],
      owner: owner.owner,
      runtime: runtime.path,
      volumes,
      mountedImages,
    };
    if (hasRow(row)) insertContainer(store, record);
    else confirmUse(store, record);
    for (const directory of prepared.storage.directories) makeParents(directory);
  } catch (error) {
    discard(engine, request, id);
    dropAnonymous(store, prepared);
    throw error;
  }
}

/** Named ones that are missing get their rows; those of the container alone only a directory. */
function makeVolumes(store: Store, prepared: Prepared, root: OwnerIds): void {
  for (const { name, anonymous, room } of prepared.storage.volumes) {
    if (name === undefined) makeRoom(room, root);
    else if (findVolume(store, name) === undefined || !existsSync(room)) {
      sweepVolumes(store);
      const empty = new Map<string, string>();
      createVolume(store, { name, driver: DRIVER, options: empty, labels: empty, anonymous }, root);
    }
  }
}

/** What was made for a container that never was. */
function dropAnonymous(store: Store, prepared: Prepared): void {
  for (const { name, anonymous } of prepared.storage.volumes) {
    if (anonymous && name !== undefined) removeVolume(store, name, { force: true });
  }
}

/** The group of the container's root may pass, nobody else: below are programs with setuid bits. */
function makeDirectories(aside: string, prepared: Prepared, root: OwnerIds): void {
  mkdirSync(aside, { mode: 0o710 });
  chownSync(aside, 0, root.gid);
  mkdirSync(`${aside}/rootfs`, { mode: 0o755 });
  if (prepared.storage.work.length > 0) {
    const work = JSON.stringify(prepared.storage.work);
    writeFileSync(`${aside}/storage.json`, work, { mode: 0o600 });
    mkdirSync(`${aside}/mounts`, { mode: 0o711 });
  }
  if (prepared.root.kind === "directory") return;
  mkdirSync(`${aside}/work`, { mode: 0o700 });
  // The upper directory is the container's "/": its mode is what a process inside sees.
  mkdirSync(`${aside}/upper`, { mode: 0o755 });
  giveTo(`${aside}/upper`, root);
}

/** Directories of the caller's belong to root. */
function makeParents(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
  } catch (cause) {
    const message = `Cannot make the directory "${directory}" to mount: ${reasonOf(cause)}`;
    throw new TareError("bad_input", message, { cause });
  }
}

/** The outside ids of the container's root. */
function rootOwner(maps: IdMappings): OwnerIds {
  return { uid: maps.uid[0]?.hostID ?? 0, gid: maps.gid[0]?.hostID ?? 0 };
}

function writeOwned(path: string, text: string, owner: OwnerIds): void {
  writeFileSync(path, text, { mode: 0o644 });
  giveTo(path, owner);
}

function giveTo(path: string, owner: OwnerIds): void {
  if (owner.uid !== 0 || owner.gid !== 0) chownSync(path, owner.uid, owner.gid);
}

async function execute(
  engine: Engine,
  request: ContainerRequest,
  prepared: Prepared,
  options: RunOptions,
): Promise<RunOutcome> {
  const path = containerPath(engine.store, prepared.id);
  const log = `${path}/runtime.log`;
  const words = commandLine(engine, request, prepared, options.runtime, path, log);
  const child = starting(words[0] ?? "", () =>
    Bun.spawn(words, {
      stdio: [...options.stdio, "pipe"] as const,
      env: RUNTIME_ENVIRONMENT,
      // Without a terminal of its own, ^C reaches the container once: through us.
      detached: !request.terminal,
    }),
  );
  options.onStart((signal) => child.kill(signal));
  await child.exited;
  if (child.signalCode !== null) {
    await forceDelete(engine, options.runtime.path, prepared.id);
    const exitCode = EXIT_SIGNAL_BASE + signalNumber(child.signalCode);
    return { exitCode, failure: undefined, printed: false, warnings: [] };
  }
  return { exitCode: child.exitCode ?? EXIT_ENGINE_FAILED, ...readRuntimeLog(log) };
}

const EXIT_SIGNAL_BASE = 128;

function signalNumber(signal: NodeJS.Signals | number): number {
  if (typeof signal === "number") return signal;
  return (SIGNAL_NUMBERS as Readonly<Record<string, number>>)[signal] ?? 0;
}

/** Those that a runtime can die of; signal(7). */
const SIGNAL_NUMBERS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
};

function commandLine(
  engine: Engine,
  request: ContainerRequest,
  prepared: Prepared,
  runtime: RuntimeTraits,
  path: string,
  log: string,
): string[] {
  const liveness = runtime.own ? ["--kill-on-close", `${LIVENESS_FD}`] : [];
  const global = [
    "--root",
    runtimeRoot(engine, runtime.path),
    "--log",
    log,
    "--log-format",
    "json",
  ];
  const run = [runtime.path, ...global, "run", "--bundle", path, ...liveness, prepared.id];
  if (!needsHelper(prepared.root, prepared.idMappings, prepared.storage)) return run;
  const mapped = mapOption(prepared.idMappings);
  const storage = prepared.storage.work.length === 0 ? [] : ["--storage", `${path}/storage.json`];
  const mount =
    prepared.root.kind === "directory"
      ? ["--directory", prepared.root.path]
      : overlayOptions(engine, request, prepared.root.lower, path);
  const target = ["--target", `${path}/rootfs`, "--log", log];
  return [
    engine.settings.helper,
    "with-rootfs",
    ...mount,
    ...mapped,
    ...storage,
    ...target,
    "--",
    ...run,
  ];
}

function overlayOptions(
  engine: Engine,
  request: ContainerRequest,
  lower: readonly string[],
  path: string,
): string[] {
  const layers = ["--lower", lower.join(":"), "--upper", `${path}/upper`, "--work", `${path}/work`];
  const thrownAway = isThrownAway(request) ? ["--volatile"] : [];
  return [...layers, ...thrownAway, ...(engine.settings.rootless ? ["--user-xattr"] : [])];
}

function mapOption(maps: IdMappings): string[] {
  const [uid, gid] = [maps.uid[0], maps.gid[0]];
  if (uid === undefined || gid === undefined) return [];
  return ["--map", `${uid.hostID}:${uid.size}:${gid.hostID}:${gid.size}`];
}
