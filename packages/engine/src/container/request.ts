/**
 * What a caller asks of a container, as data: every word is already parsed, nothing is looked up yet.
 * Sizes are bytes, times microseconds; what is absent takes the image's or the engine's default.
 */

/** Where the root file system comes from. */
export type RootChoice =
  /** An image of the store. */
  | { readonly kind: "image"; readonly reference: string }
  /** A copy-on-write view of the machine's own root file system. */
  | { readonly kind: "host" }
  /** A directory of the caller's, used as it is: writes land in it. */
  | { readonly kind: "directory"; readonly path: string };

export type Propagation = "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave";

export type MountRequest =
  | {
      readonly kind: "bind";
      /** Absolute path on the host. */
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      readonly recursive: boolean;
      readonly propagation: Propagation;
      /** Make the source a directory where it is missing, as `-v` does and `--mount` does not. */
      readonly createSource: boolean;
      /** Give all of it to the container's user, as podman's `U`. */
      readonly chown?: boolean;
      /** `z`, `Z`: let SELinux pass. */
      readonly relabel?: boolean;
      /** Show other owners: `idmap`, those of the user namespace, or `idmap=uids=...;gids=...`. */
      readonly idmap?: string;
    }
  | {
      readonly kind: "volume";
      /** Absent: a new one that nobody else has. */
      readonly name?: string;
      readonly target: string;
      readonly readonly: boolean;
      /** Leave a new volume empty, whatever the image has there. */
      readonly noCopy?: boolean;
      /** A file or directory in the volume, in place of all of it. */
      readonly subpath?: string;
      readonly chown?: boolean;
      readonly relabel?: boolean;
      readonly idmap?: string;
    }
  | {
      /** The files of an image, read-only. */
      readonly kind: "image";
      readonly reference: string;
      readonly target: string;
      readonly subpath?: string;
    }
  | { readonly kind: "tmpfs"; readonly target: string; readonly options: readonly string[] };

export type UlimitRequest = { readonly name: string; readonly soft: bigint; readonly hard: bigint };

export type DeviceRequest = {
  readonly source: string;
  readonly target: string;
  /** Some of the letters r, w, m. */
  readonly access: string;
};

/** How ids inside map to ids outside. */
export type UserNamespaceRequest =
  | { readonly kind: "host" }
  /** A range of the caller's in /etc/subuid and /etc/subgid. */
  | { readonly kind: "auto" }
  /** Id 0 inside is `first` outside, for `size` ids. */
  | { readonly kind: "range"; readonly first: number; readonly size: number };

export type SeccompRequest =
  | { readonly kind: "default" }
  | { readonly kind: "unconfined" }
  /** The text of a profile in Docker's format. */
  | { readonly kind: "profile"; readonly text: string; readonly origin: string };

export type ResourceRequest = {
  readonly memory?: bigint;
  /** Memory and swap together; -1 is no limit. */
  readonly memorySwap?: bigint;
  /** Billionths of one cpu. */
  readonly nanoCpus?: bigint;
  readonly cpuShares?: bigint;
  readonly cpusetCpus?: string;
  /** 0 and -1 are no limit. */
  readonly pidsLimit?: bigint;
};

export type ContainerRequest = {
  readonly root: RootChoice;
  /** Empty: the image's command. */
  readonly command: readonly string[];
  /** Absent: the image's; empty: none, and the image's command is dropped too. */
  readonly entrypoint?: readonly string[];
  readonly name?: string;
  readonly hostname?: string;
  /** `KEY=value`, the last of a key wins. */
  readonly env: readonly string[];
  readonly user?: string;
  readonly workingDir?: string;
  readonly interactive: boolean;
  readonly terminal: boolean;
  /** Remove the container and its anonymous volumes when it ends. */
  readonly remove: boolean;
  readonly init: boolean;
  readonly readOnly: boolean;
  readonly privileged: boolean;
  readonly noNewPrivileges: boolean;
  readonly seccomp: SeccompRequest;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly mounts: readonly MountRequest[];
  readonly devices: readonly DeviceRequest[];
  readonly ulimits: readonly UlimitRequest[];
  readonly sysctls: ReadonlyMap<string, string>;
  readonly resources: ResourceRequest;
  readonly network: "none" | "host";
  readonly userNamespace: UserNamespaceRequest;
  /** Parent of the container's cgroup, below the hierarchy's root. */
  readonly cgroupParent?: string;
};
