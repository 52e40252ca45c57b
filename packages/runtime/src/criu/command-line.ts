/**
 * The words that criu is called with, from what our caller asked for and what is known of the
 * container. Pure. Source: criu(8); names of external resources are runc's, so that each runtime can
 * restore what the other has saved.
 */

/** What both directions have in common. Paths are absolute. */
export type Wishes = {
  /** Directory of the image files. */
  readonly images: string;
  /** Directory of the log and of statistics. */
  readonly work: string;
  readonly manageCgroups: "soft" | "full" | "strict" | "ignore";
  /** Options of criu that are only there or not, by their names in criu(8) without dashes. */
  readonly flags: readonly string[];
};

export type DumpWishes = Wishes & {
  /** Only memory, while the container goes on. */
  readonly preDump: boolean;
  /** Images of the dump before, relative to `images`. */
  readonly parent?: string;
  readonly pageServer?: { readonly address: string; readonly port: number };
  /** A descriptor that is written to when pages can be asked for. */
  readonly statusFd?: number;
};

/** A mount whose source is the host's. */
export type ExternalMount = {
  /** Where it lies in the container, every link followed. */
  readonly destination: string;
  /** The name that the image has for it. */
  readonly cookie: string;
  /** Its source on the host. Absolute. */
  readonly source: string;
};

/** A namespace that is not the container's own: it must be there when the container comes back. */
export type ExternalNamespace = { readonly type: "network" | "pid"; readonly inode: bigint };

export type DumpFacts = {
  readonly pid: number;
  readonly rootfs: string;
  readonly mounts: readonly ExternalMount[];
  readonly namespaces: readonly ExternalNamespace[];
  /** The cgroup that freezes all of the container, below its mountpoint's path. */
  readonly freezer: string | undefined;
};

export type RestoreFacts = {
  readonly rootfs: string;
  /** Where criu writes the pid of the first process. */
  readonly pidFile: string;
  readonly mounts: readonly ExternalMount[];
  /** Open descriptors in place of what the image only names. */
  readonly inherited: readonly { readonly fd: number; readonly name: string }[];
  readonly joined: readonly { readonly type: string; readonly path: string }[];
  /** Cgroups below the root of each hierarchy; no controllers: of all. */
  readonly cgroups: readonly { readonly controllers: readonly string[]; readonly path: string }[];
  readonly lsmProfile?: string;
  readonly lsmMountContext?: string;
};

export const DUMP_LOG = "dump.log";
export const RESTORE_LOG = "restore.log";

/** criu's and runc's names of namespaces that others keep. */
export const EXTERNAL_NAMESPACES: {
  readonly [type in ExternalNamespace["type"]]: { readonly kind: string; readonly name: string };
} = {
  network: { kind: "net", name: "extRootNetNS" },
  pid: { kind: "pid", name: "extRootPidNS" },
};

/** criu's names of the namespaces of config.json that a restored container can join. */
export const JOINED_NAMESPACES: ReadonlyMap<string, string> = new Map([
  ["user", "user"],
  ["uts", "uts"],
  ["ipc", "ipc"],
  ["mount", "mnt"],
  ["time", "time"],
]);

/** `criu dump` or `criu pre-dump`. */
export function dumpWords(wishes: DumpWishes, facts: DumpFacts): string[] {
  const { parent, pageServer, statusFd } = wishes;
  // criu reads what is external when it looks at mounts, which a pre-dump does not.
  const mounts = wishes.preDump ? [] : facts.mounts;
  return [
    wishes.preDump ? "pre-dump" : "dump",
    ...["--tree", String(facts.pid), "--root", facts.rootfs],
    ...commonWords(wishes, DUMP_LOG),
    ...(facts.freezer === undefined ? [] : ["--freeze-cgroup", facts.freezer]),
    ...(parent === undefined ? [] : ["--prev-images-dir", parent]),
    ...(parent === undefined && !wishes.preDump ? [] : ["--track-mem"]),
    ...(pageServer === undefined ? [] : pageServerWords(pageServer)),
    ...(statusFd === undefined ? [] : ["--status-fd", String(statusFd)]),
    ...facts.namespaces.flatMap(({ type, inode }) => {
      const { kind, name } = EXTERNAL_NAMESPACES[type];
      return ["--external", `${kind}[${inode}]:${name}`];
    }),
    ...mounts.flatMap(({ destination, cookie }) => ["--external", `mnt[${destination}]:${cookie}`]),
  ];
}

/** `criu restore`: the first process becomes the caller's child, and criu ends when it runs. */
export function restoreWords(wishes: Wishes, facts: RestoreFacts): string[] {
  const { lsmProfile, lsmMountContext } = facts;
  return [
    "restore",
    ...["--restore-detached", "--restore-sibling", "--pidfile", facts.pidFile],
    ...["--root", facts.rootfs],
    ...commonWords(wishes, RESTORE_LOG),
    "--evasive-devices",
    ...facts.cgroups.flatMap(cgroupRoot),
    ...facts.mounts.flatMap(({ cookie, source }) => ["--external", `mnt[${cookie}]:${source}`]),
    ...facts.inherited.flatMap(({ fd, name }) => ["--inherit-fd", `fd[${fd}]:${name}`]),
    ...facts.joined.flatMap(({ type, path }) => [
      "--join-ns",
      `${JOINED_NAMESPACES.get(type) ?? type}:${path}`,
    ]),
    ...(lsmProfile === undefined ? [] : ["--lsm-profile", lsmProfile]),
    ...(lsmMountContext === undefined ? [] : ["--lsm-mount-context", lsmMountContext]),
  ];
}

function commonWords({ images, work, manageCgroups, flags }: Wishes, log: string): string[] {
  return [
    ...["--images-dir", images, "--work-dir", work, "--log-file", log, "-v4"],
    `--manage-cgroups=${manageCgroups}`,
    // Links and addresses are the business of who made them, as with runc.
    ...["--empty-ns", "net"],
    ...flags.map((flag) => `--${flag}`),
  ];
}

function pageServerWords({ address, port }: { address: string; port: number }): string[] {
  return ["--page-server", "--address", address, "--port", String(port)];
}

function cgroupRoot({ controllers, path }: RestoreFacts["cgroups"][number]): string[] {
  return ["--cgroup-root", controllers.length === 0 ? path : `${controllers.join(",")}:${path}`];
}
