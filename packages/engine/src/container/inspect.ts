/** What is known of a container, in the fields of Docker's `container inspect`; what is not known is left out. */
import { existsSync, readFileSync } from "node:fs";
import type { Engine } from "../engine.ts";
import type { Store } from "../store/store.ts";
import { diskUsage } from "../store/usage.ts";
import { findContainer, isRunning, type StoredContainer } from "./find.ts";
import { containerPath } from "./records.ts";

type Mount = {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
};

/** The part of a bundle's configuration that is shown. */
type Bundle = {
  readonly hostname?: string;
  readonly root?: { readonly readonly?: boolean };
  readonly process?: {
    readonly terminal?: boolean;
    readonly env?: readonly string[];
    readonly cwd?: string;
    readonly user?: { readonly uid: number; readonly gid: number };
  };
  readonly mounts?: readonly Mount[];
};

/**
 * The container of a name or an id; `size` counts what it wrote, too.
 * @throws TareError `not_found`
 */
export function inspectContainer(
  engine: Engine,
  word: string,
  { size }: { readonly size: boolean },
): Readonly<Record<string, unknown>> {
  const container = findContainer(engine, word);
  const path = containerPath(engine.store, container.id);
  const bundle = readBundle(path);
  const [program = "", ...args] = container.command;
  const upper = `${path}/upper`;
  const hasUpper = existsSync(upper);
  return {
    Id: container.id,
    Created: container.created,
    Path: program,
    Args: args,
    State: stateOf(container),
    Image: container.image ?? "",
    Name: `/${container.name ?? container.id}`,
    Platform: "linux",
    HostConfig: {
      ReadonlyRootfs: bundle.root?.readonly === true,
      Runtime: container.runtime.slice(container.runtime.lastIndexOf("/") + 1),
    },
    GraphDriver: { Name: "overlay2", Data: hasUpper ? { UpperDir: upper } : {} },
    ...(size ? { SizeRw: hasUpper ? diskUsage(upper).bytes : 0 } : {}),
    Mounts: mountsOf(engine, bundle.mounts ?? []),
    Config: {
      Hostname: bundle.hostname ?? "",
      User: userOf(bundle),
      Tty: bundle.process?.terminal === true,
      Env: bundle.process?.env ?? [],
      Cmd: container.command,
      Image: container.imageName,
      WorkingDir: bundle.process?.cwd ?? "",
    },
  };
}

function readBundle(path: string): Bundle {
  try {
    return JSON.parse(readFileSync(`${path}/config.json`, "utf8")) as Bundle;
  } catch (error) {
    // A crash between its directory and its row.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
}

function stateOf(container: StoredContainer) {
  const running = isRunning(container);
  return {
    Status: running ? "running" : "exited",
    Running: running,
    ...(running ? {} : { ExitCode: container.exitCode ?? 0 }),
  };
}

function userOf({ process }: Bundle): string {
  return process?.user === undefined ? "" : `${process.user.uid}:${process.user.gid}`;
}

/** The caller's and the image's; those of every container, as /proc, are not shown. */
function mountsOf({ store }: Engine, mounts: readonly Mount[]) {
  return mounts.flatMap(({ destination, type, source = "", options = [] }) => {
    const isBind = type === "bind" || options.includes("bind") || options.includes("rbind");
    const kind = isBind ? kindOf(store, source) : undefined;
    if (kind === undefined) return [];
    const RW = !options.includes("ro");
    return [{ ...kind, Source: source, Destination: destination, RW }];
  });
}

/** By where the source lies; undefined for the files that the engine makes for each container. */
function kindOf(store: Store, source: string) {
  const [room, name, inside, place = ""] = source.startsWith(`${store.root}/`)
    ? source.slice(store.root.length + 1).split("/")
    : [];
  if (room === "volumes") return { Type: "volume", Name: name, Driver: "local" };
  if (room !== "containers") return { Type: "bind" };
  if (inside === "volumes" || place.endsWith(".part")) return { Type: "volume", Driver: "local" };
  return inside === "mounts" ? { Type: "image" } : undefined;
}
