/**
 * The mount list of a container: Docker's defaults, the generated files of /etc, then what the
 * caller asked for, parents before children. Pure: sources are already resolved paths.
 */
import type { Mount } from "@tare/spec/oci-runtime.ts";
import type { MountRequest } from "../container/request.ts";

const SHM_BYTES = 64 * 1024 * 1024;

/** A mount whose source on the host is known. */
export type ResolvedMount =
  | Exclude<MountRequest, { kind: "volume" | "image" }>
  | {
      readonly kind: "filesystem";
      readonly type: string;
      readonly source: string;
      readonly options: readonly string[];
      readonly target: string;
    };

/** Files the engine writes for each container, by their place inside. */
export type GeneratedFiles = ReadonlyMap<string, string>;

export type MountWish = {
  readonly requested: readonly ResolvedMount[];
  readonly generated: GeneratedFiles;
  /** The init program of the host, where one is wanted. */
  readonly initPath: string | undefined;
  readonly privileged: boolean;
  /** A new sysfs shows the network namespace it is mounted in, so the kernel refuses one that is not ours. */
  readonly sysfs: "new" | "bind";
};

export const INIT_TARGET = "/sbin/tare-init";

/** Where the engine mounts something of its own; below these everything is the kernel's, too. */
const ENGINE_TREES = ["/proc", "/sys", "/dev"];
const ENGINE_FILES = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", INIT_TARGET];

/** Whether a normal path is one that only the caller, and no image, may cover. */
export function isEnginesPlace(path: string): boolean {
  if (ENGINE_FILES.includes(path)) return true;
  return ENGINE_TREES.some((tree) => path === tree || path.startsWith(`${tree}/`));
}

/** The whole list, in the order of mounting. */
export function planMounts(wish: MountWish): Mount[] {
  const requested = wish.requested.map(toMount);
  const taken = new Set(requested.map((mount) => normalise(mount.destination)));
  const own = [...defaultMounts(wish), ...generatedMounts(wish)];
  const kept = own.filter((mount) => !taken.has(mount.destination));
  return sortByDepth([...kept, ...requested]);
}

/** What the rootfs itself must propagate so that the volumes' propagation can work. */
export function rootPropagation(requested: readonly ResolvedMount[]): string | undefined {
  const asked = requested.map((mount) => (mount.kind === "bind" ? mount.propagation : "rprivate"));
  if (asked.some((value) => value === "shared" || value === "rshared")) return "shared";
  if (asked.some((value) => value === "slave" || value === "rslave")) return "rslave";
  return undefined;
}

function defaultMounts(wish: MountWish): Mount[] {
  const access = wish.privileged ? "rw" : "ro";
  const sysfs =
    wish.sysfs === "new"
      ? mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", access])
      : mount("/sys", "bind", "/sys", ["rbind", "nosuid", "noexec", "nodev", access]);
  const shm = ["nosuid", "noexec", "nodev", "mode=1777", `size=${SHM_BYTES}`];
  const pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
  return [
    mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    mount("/dev/pts", "devpts", "devpts", pts),
    sysfs,
    mount("/sys/fs/cgroup", "cgroup", "cgroup", [access, "nosuid", "noexec", "nodev"]),
    mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    mount("/dev/shm", "tmpfs", "shm", shm),
  ];
}

function generatedMounts(wish: MountWish): Mount[] {
  const files = [...wish.generated].map(([target, source]) =>
    mount(target, "bind", source, ["rbind", "rprivate"]),
  );
  if (wish.initPath === undefined) return files;
  return [...files, mount(INIT_TARGET, "bind", wish.initPath, ["bind", "ro"])];
}

function toMount(request: ResolvedMount): Mount {
  if (request.kind === "tmpfs") {
    return mount(request.target, "tmpfs", "tmpfs", request.options);
  }
  if (request.kind === "filesystem") {
    return mount(request.target, request.type, request.source, request.options);
  }
  const options = [request.recursive ? "rbind" : "bind", request.propagation];
  // "ro" is the topmost mount alone: what is mounted below it would stay writable.
  if (request.readonly) options.push(...(request.recursive ? ["ro", "rro"] : ["ro"]));
  if (request.idmap !== undefined) options.push(request.idmap);
  return mount(request.target, "bind", request.source, options);
}

function mount(
  destination: string,
  type: string,
  source: string,
  options: readonly string[],
): Mount {
  return { destination, type, source, options, uidMappings: [], gidMappings: [] };
}

/** Parents first; the order of equals is kept, so a later request covers an earlier one. */
function sortByDepth(mounts: readonly Mount[]): Mount[] {
  const depth = (path: string) => normalise(path).split("/").length;
  return [...mounts].sort((a, b) => depth(a.destination) - depth(b.destination));
}

/** `/a//b/` and `/a/b` are one place; only for comparing, the kernel resolves the real one. */
function normalise(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return `/${parts.join("/")}`;
}
