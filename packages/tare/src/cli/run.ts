/** `tare run`: a command in a new container, in the foreground. */

import { accessSync, closeSync, constants, openSync, readSync } from "node:fs";
import type { RuntimeTraits } from "@tare/engine/container/prepare.ts";
import { sweepContainers } from "@tare/engine/container/records.ts";
import type { ContainerRequest } from "@tare/engine/container/request.ts";
import { runContainer, type Stdio } from "@tare/engine/container/run.ts";
import { type Engine, openEngine } from "@tare/engine/engine.ts";
import { reasonOf } from "@tare/engine/host/failure.ts";
import { hasImage, hasImageFor, wantPlatform } from "@tare/engine/image/lookup.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { printFailure, runStatus } from "./failure.ts";
import { type ParsedLine, parseLine, UnknownFlag } from "./flag.ts";
import { RUN_FLAGS, type RunValues, toRequest } from "./run-flags.ts";
import { type Expand, openShortNames, storedName } from "./short-names.ts";

const OWN_RUNTIME = "tare-runtime";
const FILE_BYTES_MAX = 4 * 1024 * 1024;

export const RUN: Command = {
  summary: {
    name: "run",
    usage: "IMAGE [COMMAND [ARG...]]",
    help: "Run a command in a new container, in the foreground",
  },
  flags: RUN_FLAGS,
  interspersed: false,
  needsRoot: true,
  run: runRun,
};

async function runRun(words: readonly string[], around: Surroundings): Promise<number> {
  const line = await parseRun(words);
  if (line.help) {
    const { commandHelp } = await import("./help.ts");
    around.print(commandHelp(RUN));
    return 0;
  }
  const asked = toRequest(line.values, line.positionals, { ...around, readFile });
  const runtime = findRuntime(line.values.runtime ?? OWN_RUNTIME, around);
  const engine = openEngine(around.settings);
  const named = withNames(engine, asked, await openShortNames(around));
  const request = await withImage(engine, named, line.values, around);
  const stdio = await chooseStdio(request, around);
  // What a crash left is swept while the container runs: it costs the user no time.
  let sweep: Promise<string[]> = Promise.resolve([]);
  const outcome = await runContainer(engine, request, {
    runtime,
    stdio,
    onStart: (kill) => {
      around.onSignal(kill);
      sweep = sweepContainers(engine);
    },
  });
  for (const warning of [...outcome.warnings, ...(await sweep)])
    around.complain(`tare: ${warning}\n`);
  if (outcome.failure === undefined) return outcome.exitCode;
  if (!outcome.printed) around.complain(printFailure(outcome.failure));
  return runStatus(outcome.failure);
}

async function parseRun(words: readonly string[]): Promise<ParsedLine<typeof RUN_FLAGS>> {
  try {
    return parseLine(RUN_FLAGS, words, { interspersed: false, shortHelp: false });
  } catch (error) {
    if (!(error instanceof UnknownFlag)) throw error;
    const { nearestToRunFlag } = await import("./not-yet.ts");
    throw new UnknownFlag(error.flag, nearestToRunFlag(error.flag));
  }
}

async function chooseStdio(request: ContainerRequest, around: Surroundings): Promise<Stdio> {
  if (request.terminal && request.interactive && !(await around.isTerminal(0))) {
    throw new TareError("bad_input", "Cannot use -t: standard input is not a terminal", {
      hint: "Leave -t out when the input is a pipe or a file",
    });
  }
  return [request.interactive ? "inherit" : "ignore", "inherit", "inherit"];
}

/** Ours lies beside this program; others are looked up as a shell does. */
function findRuntime(name: string, around: Surroundings): RuntimeTraits {
  if (name === OWN_RUNTIME) return { path: `${around.programs}/${OWN_RUNTIME}`, own: true };
  const path = name.includes("/")
    ? absolute(name, around.directory)
    : Bun.which(name, { PATH: around.env.get("PATH") ?? "" });
  if (path !== null && isExecutable(path)) return { path, own: path.endsWith(`/${OWN_RUNTIME}`) };
  throw new TareError("not_found", `Cannot use --runtime "${name}": there is no such program`, {
    hint: "An OCI runtime such as crun or runc, by its name in PATH or its absolute path",
  });
}

function absolute(path: string, directory: string): string {
  return path.startsWith("/") ? path : `${directory}/${path}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The request, with complete names of images. */
function withNames(engine: Engine, request: ContainerRequest, expand: Expand): ContainerRequest {
  const { root, mounts } = request;
  const complete = <T extends { readonly reference: string }>(named: T): T => ({
    ...named,
    reference: storedName(engine.store, expand, named.reference),
  });
  return {
    ...request,
    root: root.kind === "image" ? complete(root) : root,
    mounts: mounts.map((mount) => (mount.kind === "image" ? complete(mount) : mount)),
  };
}

/** The request, with its image in the store if it can be; the code that fetches is loaded for that alone. */
async function withImage(
  engine: Engine,
  request: ContainerRequest,
  { pull = "missing", platform }: RunValues,
  around: Surroundings,
): Promise<ContainerRequest> {
  const { root } = request;
  if (root.kind !== "image") return request;
  if (pull === "never") {
    if (hasImage(engine.store, root.reference))
      wantPlatform(engine.store, root.reference, platform);
    return request;
  }
  if (pull === "missing" && hasImageFor(engine.store, root.reference, platform)) return request;
  const { fetchImage } = await import("./fetch-image.ts");
  const reference = await fetchImage(engine, root.reference, { pull, platform }, around);
  return { ...request, root: { kind: "image", reference } };
}

/** The text of a file that a flag names; a pipe of the shell's, `<(...)`, is one too. */
function readFile(path: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readAtMost(path, FILE_BYTES_MAX + 1);
  } catch (cause) {
    throw new TareError("not_found", `Cannot read "${path}": ${reasonOf(cause)}`, {
      cause,
    });
  }
  if (bytes.length <= FILE_BYTES_MAX) return new TextDecoder().decode(bytes);
  throw new TareError("bad_input", `Cannot read "${path}": it is larger than 4 MiB`);
}

/** The first bytes: some files, such as /dev/zero, have no end. */
function readAtMost(path: string, bytesMax: number): Uint8Array {
  const fd = openSync(path, "r");
  try {
    const bytes = new Uint8Array(bytesMax);
    let length = 0;
    while (length < bytesMax) {
      const count = readSync(fd, bytes, length, bytesMax - length, null);
      if (count === 0) break;
      length += count;
    }
    return bytes.subarray(0, length);
  } finally {
    closeSync(fd);
  }
}
