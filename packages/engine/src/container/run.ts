/**
 * Runs a container in the foreground: make its directory, write its row, start the runtime (through
 * the helper, which mounts the root file system in a namespace that dies with it), wait, clean up.
 * Killed at any point, this leaves nothing that `sweepContainers` does not find.
 */
import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { TareError, toReport } from "@tare/spec/error.ts";
import { printConfig } from "../bundle/print.ts";
import type { Engine } from "../engine.ts";
import { ownTag } from "../store/owner.ts";
import type { IdMappings } from "./id-mappings.ts";
import { type Prepared, prepare, type RuntimeTraits } from "./prepare.ts";
import {
  checkNameFree,
  confirmImage,
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

/** A view of the host is always thrown away: that is its promise. */
function isThrownAway(request: ContainerRequest): boolean {
  return request.remove || request.root.kind === "host";
}

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
  const owner: OwnerFile = { owner: ownTag(), runtime: runtime.path, image: prepared.image };
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
    const record = {
      id,
      name: request.name,
      image: prepared.image,
      imageName: prepared.imageName,
      command: prepared.config.process?.args ?? [],
      owner: owner.owner,
      runtime: runtime.path,
      removes: isThrownAway(request),
    };
    if (hasRow(record)) insertContainer(store, record);
    else if (record.image !== undefined) confirmImage(store, record.image, record.imageName);
    const volumes = [`${path}/volumes`, `${store.root}/volumes`];
    for (const directory of prepared.directories) makeSource(directory, volumes, root);
  } catch (error) {
    discard(engine, request, id);
    throw error;
  }
}

/** The group of the container's root may pass, nobody else: below are programs with setuid bits. */
function makeDirectories(aside: string, prepared: Prepared, root: Ids): void {
  mkdirSync(aside, { mode: 0o710 });
  chownSync(aside, 0, root.gid);
  mkdirSync(`${aside}/rootfs`, { mode: 0o755 });
  if (prepared.root.kind === "directory") return;
  mkdirSync(`${aside}/work`, { mode: 0o700 });
  // The upper directory is the container's "/": its mode is what a process inside sees.
  mkdirSync(`${aside}/upper`, { mode: 0o755 });
  giveTo(`${aside}/upper`, root);
}

/**
 * Directories of the caller's belong to root; those of volumes to the container's root, in one that
 * only its group may pass.
 */
function makeSource(directory: string, volumes: readonly string[], root: Ids): void {
  makeParents(directory);
  if (!volumes.some((room) => directory.startsWith(`${room}/`))) return;
  const parent = directory.slice(0, directory.lastIndexOf("/"));
  chmodSync(parent, 0o710);
  chownSync(parent, 0, root.gid);
  giveTo(directory, root);
}

function makeParents(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
  } catch (cause) {
    const message = `Cannot make the directory "${directory}" to mount: ${(cause as Error).message}`;
    throw new TareError("bad_input", message, { cause });
  }
}

type Ids = { readonly uid: number; readonly gid: number };

/** The outside ids of the container's root. */
function rootOwner(maps: IdMappings): Ids {
  return { uid: maps.uid[0]?.hostID ?? 0, gid: maps.gid[0]?.hostID ?? 0 };
}

function writeOwned(path: string, text: string, owner: Ids): void {
  writeFileSync(path, text, { mode: 0o644 });
  giveTo(path, owner);
}

function giveTo(path: string, owner: Ids): void {
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
  const child = Bun.spawn(commandLine(engine, request, prepared, options.runtime, path, log), {
    stdio: [...options.stdio, "pipe"] as const,
    env: RUNTIME_ENVIRONMENT,
    // Without a terminal of its own, ^C reaches the container once: through us.
    detached: !request.terminal,
  });
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
  const mapped = mapOption(prepared.idMappings);
  if (prepared.root.kind === "directory" && mapped.length === 0) return run;
  const mount =
    prepared.root.kind === "directory"
      ? ["--directory", prepared.root.path]
      : overlayOptions(engine, request, prepared.root.lower, path);
  const target = ["--target", `${path}/rootfs`, "--log", log];
  return [engine.settings.helper, "with-rootfs", ...mount, ...mapped, ...target, "--", ...run];
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
