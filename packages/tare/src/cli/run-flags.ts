/**
 * The flags of `tare run`, one object each, with Docker's names and meanings, and the step from
 * their values to what the engine takes. Nothing here looks anything up but the files a flag names.
 */
import type {
  ContainerRequest,
  MountRequest,
  ResourceRequest,
  RootChoice,
  SeccompRequest,
  UserNamespaceRequest,
} from "@tare/engine/container/request.ts";
import { TareError } from "@tare/spec/error.ts";
import { envFileLines } from "./env-file.ts";
import { BadValue, type FlagValues } from "./flag.ts";
import { type MountText, parseMount } from "./mount-syntax.ts";
import { PLATFORM_FLAG } from "./platform-flag.ts";
import {
  isDigits,
  parseCpus,
  parseCpuset,
  parseDevice,
  parseHostname,
  parseInteger,
  parseName,
  parsePair,
  parseSize,
  parseSizeOrUnlimited,
  parseSwitch,
  parseText,
  parseUlimit,
} from "./values.ts";

export const RUN_FLAGS = {
  capAdd: {
    name: "cap-add",
    arg: "CAPABILITY",
    help: "Add a capability; ALL adds every one",
    repeat: true,
    parse: parseText,
  },
  capDrop: {
    name: "cap-drop",
    arg: "CAPABILITY",
    help: "Drop a capability; ALL drops every one",
    repeat: true,
    parse: parseText,
  },
  cgroupParent: {
    name: "cgroup-parent",
    arg: "PATH",
    help: "Parent of the container's cgroup (default /tare)",
    parse: parseCgroupParent,
  },
  cpuShares: {
    name: "cpu-shares",
    short: "c",
    arg: "WEIGHT",
    help: "Relative weight for processor time (1024 is the kernel's default)",
    parse: parseInteger,
  },
  cpus: {
    name: "cpus",
    arg: "NUMBER",
    help: "Processors it may keep busy, as 1.5",
    parse: parseCpus,
  },
  cpusetCpus: {
    name: "cpuset-cpus",
    arg: "LIST",
    help: "Processors it may run on, as 0-2,7",
    parse: parseCpuset,
  },
  device: {
    name: "device",
    arg: "HOST[:INSIDE[:rwm]]",
    help: "Give the container a device of the host",
    repeat: true,
    parse: parseDevice,
  },
  entrypoint: {
    name: "entrypoint",
    arg: "PROGRAM",
    help: "Run this instead of the image's entrypoint; empty for none",
    parse: parseText,
  },
  env: {
    name: "env",
    short: "e",
    arg: "KEY[=VALUE]",
    help: "Set a variable; without a value, the caller's",
    repeat: true,
    parse: parseEnv,
  },
  envFile: {
    name: "env-file",
    arg: "FILE",
    help: "Set the variables of a file, a line each",
    repeat: true,
    parse: parseText,
  },
  hostname: {
    name: "hostname",
    short: "h",
    arg: "NAME",
    help: "Host name inside",
    parse: parseHostname,
  },
  init: {
    name: "init",
    help: "Run a small init as process 1: it forwards signals and reaps orphans",
    parse: parseSwitch,
  },
  interactive: {
    name: "interactive",
    short: "i",
    help: "Keep standard input open",
    parse: parseSwitch,
  },
  memory: {
    name: "memory",
    short: "m",
    arg: "SIZE",
    help: "Memory limit, as 512m; at least 6m",
    parse: parseSize,
  },
  memorySwap: {
    name: "memory-swap",
    arg: "SIZE",
    help: "Limit of memory and swap together; -1 for no limit on swap",
    parse: parseSizeOrUnlimited,
  },
  mount: {
    name: "mount",
    arg: "FIELDS",
    help: "Mount, as type=bind,source=/a,target=/b,readonly (bind, volume, tmpfs, image)",
    repeat: true,
    parse: (text: string): MountText => ({ flag: "--mount", text }),
  },
  name: { name: "name", arg: "NAME", help: "Name of the container", parse: parseName },
  network: {
    name: "network",
    alias: "net",
    arg: "none|host",
    help: "A network of its own with only loopback (none, the default), or the host's",
    parse: parseNetwork,
  },
  pidsLimit: {
    name: "pids-limit",
    arg: "NUMBER",
    help: "Most processes and threads (default 2048; -1 for no limit)",
    parse: parseInteger,
  },
  platform: PLATFORM_FLAG,
  privileged: {
    name: "privileged",
    help: "Every capability and device, no filter, nothing masked: as good as root on the host",
    parse: parseSwitch,
  },
  pull: {
    name: "pull",
    arg: "missing|always|never",
    help: "When to fetch the image from its registry (default missing)",
    parse: parsePull,
  },
  readOnly: { name: "read-only", help: "Mount the root file system read-only", parse: parseSwitch },
  remove: { name: "rm", help: "Remove the container when it ends", parse: parseSwitch },
  rootfs: {
    name: "rootfs",
    arg: "DIR",
    help: "Use a directory as root file system, in place of an image; writes land in it",
    parse: parseText,
  },
  runtime: {
    name: "runtime",
    arg: "PROGRAM",
    help: "OCI runtime to use: a name in PATH or an absolute path (default tare-runtime)",
    parse: parseText,
  },
  securityOpt: {
    name: "security-opt",
    arg: "OPTION",
    help: "Security setting: seccomp=FILE, seccomp=unconfined, no-new-privileges",
    repeat: true,
    parse: parseText,
  },
  sysctl: {
    name: "sysctl",
    arg: "KEY=VALUE",
    help: "Set a kernel setting of the container's own namespaces",
    repeat: true,
    parse: parsePair,
  },
  terminal: { name: "tty", short: "t", help: "Give it a terminal", parse: parseSwitch },
  tmpfs: {
    name: "tmpfs",
    arg: "PATH[:OPTIONS]",
    help: "Mount an empty file system in memory",
    repeat: true,
    parse: (text: string): MountText => ({ flag: "--tmpfs", text }),
  },
  ulimit: {
    name: "ulimit",
    arg: "NAME=SOFT[:HARD]",
    help: "Limit of a process, as nofile=1024:2048",
    repeat: true,
    parse: parseUlimit,
  },
  user: {
    name: "user",
    short: "u",
    arg: "USER[:GROUP]",
    help: "User, by name or number, that the command runs as",
    parse: parseText,
  },
  userns: {
    name: "userns",
    arg: "host|auto|FIRST:SIZE",
    help: "Map user 0 inside to an unprivileged user outside; auto takes root's range of /etc/subuid",
    parse: parseUserns,
  },
  volume: {
    name: "volume",
    short: "v",
    arg: "[SOURCE:]TARGET[:OPTIONS]",
    help: "Mount a path of the host (/a, ./a), a named volume, or a new one; options as ro,rshared",
    repeat: true,
    parse: (text: string): MountText => ({ flag: "-v", text }),
  },
  workdir: {
    name: "workdir",
    short: "w",
    arg: "DIR",
    help: "Working directory inside; made where it is missing",
    parse: parseWorkdir,
  },
} as const;

export type RunValues = FlagValues<typeof RUN_FLAGS>;

/** What the flags need of the caller's surroundings. */
export type RunSurroundings = {
  readonly env: ReadonlyMap<string, string>;
  readonly directory: string;
  readonly readFile: (path: string) => string;
};

/** The pseudo image that is the machine itself. */
export const HOST_IMAGE = "@host";

/**
 * The engine's form of a parsed `tare run` line.
 * @throws TareError `bad_input`; `not_found` for a file that a flag names.
 */
export function toRequest(
  values: RunValues,
  positionals: readonly string[],
  around: RunSurroundings,
): ContainerRequest {
  const { root, command } = chooseRoot(values.rootfs, positionals, around.directory);
  return {
    root,
    command,
    ...given(
      "entrypoint",
      values.entrypoint === undefined ? undefined : entrypoint(values.entrypoint),
    ),
    ...given("name", values.name),
    ...given("hostname", values.hostname),
    ...given("user", values.user),
    ...given("workingDir", values.workdir),
    ...given("cgroupParent", values.cgroupParent),
    env: environment(values, around),
    interactive: values.interactive ?? false,
    terminal: values.terminal ?? false,
    remove: values.remove ?? false,
    init: values.init ?? false,
    readOnly: values.readOnly ?? false,
    privileged: values.privileged ?? false,
    ...security(values.securityOpt, values.privileged ?? false, around),
    capAdd: values.capAdd,
    capDrop: values.capDrop,
    mounts: mounts(values, around.directory),
    devices: values.device,
    ulimits: values.ulimit,
    sysctls: new Map(values.sysctl),
    resources: resources(values),
    network: values.network ?? "none",
    userNamespace: values.userns ?? { kind: "host" },
  };
}

function chooseRoot(
  rootfs: string | undefined,
  positionals: readonly string[],
  directory: string,
): { root: RootChoice; command: readonly string[] } {
  if (rootfs !== undefined) {
    const path = rootfs.startsWith("/") ? rootfs : `${directory}/${rootfs}`;
    return { root: { kind: "directory", path }, command: positionals };
  }
  const [image, ...command] = positionals;
  if (image === undefined) {
    throw new TareError("bad_input", "Cannot run: no image is given", {
      hint: "tare run [FLAGS] IMAGE [COMMAND]; the image @host is this machine's own root file system",
    });
  }
  if (image === HOST_IMAGE) return { root: { kind: "host" }, command };
  return { root: { kind: "image", reference: image }, command };
}

function entrypoint(text: string): readonly string[] {
  return text === "" ? [] : [text];
}

/** A name that the caller's environment lacks is skipped in a file; `-e` takes it from the image's. */
function environment(values: RunValues, around: RunSurroundings): string[] {
  const lines = values.envFile.flatMap((path) => envFileLines(around.readFile(path), path));
  const lookUp = (entry: string) => {
    const value = entry.includes("=") ? undefined : around.env.get(entry);
    return value === undefined ? entry : `${entry}=${value}`;
  };
  const known = lines.map(lookUp).filter((entry) => entry.includes("="));
  return [...known, ...values.env.map(lookUp)];
}

type SecurityChoice = { readonly seccomp: SeccompRequest; readonly noNewPrivileges: boolean };

function security(
  options: readonly string[],
  privileged: boolean,
  around: RunSurroundings,
): SecurityChoice {
  let seccomp: SeccompRequest = { kind: privileged ? "unconfined" : "default" };
  let noNewPrivileges = false;
  for (const option of options) {
    const [key = "", value] = splitOption(option);
    if (key === "no-new-privileges") {
      noNewPrivileges = value === undefined || parseSecuritySwitch(option, value);
    } else if (key === "seccomp" && value !== undefined && value !== "") {
      seccomp = seccompRequest(value, around);
    } else {
      throw new TareError("bad_input", `Cannot use --security-opt "${option}": not known`, {
        hint: "seccomp=FILE, seccomp=unconfined or no-new-privileges",
      });
    }
  }
  return { seccomp, noNewPrivileges };
}

/** Docker takes `key=value` and the older `key:value`. */
function splitOption(option: string): readonly [string, string | undefined] {
  const at = option.includes("=") ? option.indexOf("=") : option.indexOf(":");
  return at < 0 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)];
}

function parseSecuritySwitch(option: string, value: string): boolean {
  if (value === "true" || value === "false") return value === "true";
  throw new TareError("bad_input", `Cannot use --security-opt "${option}": want true or false`);
}

function seccompRequest(value: string, around: RunSurroundings): SeccompRequest {
  if (value === "unconfined") return { kind: "unconfined" };
  if (value === "builtin" || value === "default") return { kind: "default" };
  return { kind: "profile", text: around.readFile(value), origin: value };
}

function mounts(values: RunValues, directory: string): MountRequest[] {
  const texts: MountText[] = [...values.volume, ...values.mount, ...values.tmpfs];
  const parsed = texts.map((mount) => {
    try {
      return parseMount(mount, directory);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      const message = `Cannot use ${mount.flag} "${mount.text}": ${error.message}`;
      throw new TareError("bad_input", message, { cause: error });
    }
  });
  refuseDuplicates(parsed);
  return parsed;
}

function refuseDuplicates(mounts: readonly MountRequest[]): void {
  const seen = new Set<string>();
  for (const { target } of mounts) {
    if (seen.has(target)) {
      throw new TareError(
        "bad_input",
        `Cannot mount on "${target}" twice: the targets must differ`,
      );
    }
    seen.add(target);
  }
}

function resources(values: RunValues): ResourceRequest {
  return {
    ...given("memory", values.memory),
    ...given("memorySwap", values.memorySwap),
    ...given("nanoCpus", values.cpus),
    ...given("cpuShares", values.cpuShares),
    ...given("cpusetCpus", values.cpusetCpus),
    ...given("pidsLimit", values.pidsLimit),
  };
}

function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: V });
}

function parseEnv(text: string): string {
  if (text === "" || text.startsWith("=")) throw new BadValue("the variable has no name");
  return parseText(text);
}

function parseNetwork(text: string): "none" | "host" {
  if (text === "none" || text === "host") return text;
  throw new BadValue("want none or host (bridges come later)");
}

function parsePull(text: string): "missing" | "always" | "never" {
  if (text === "missing" || text === "always" || text === "never") return text;
  throw new BadValue("want missing, always or never");
}

/** Ids are 32 bits, and the last one means "none". */
const ID_LIMIT = 2 ** 32 - 1;

function parseUserns(text: string): UserNamespaceRequest {
  if (text === "host" || text === "auto") return { kind: text };
  const [first = "", size = "", more] = text.split(":");
  const fine = isDigits(first) && isDigits(size) && more === undefined;
  if (fine && Number(size) > 0 && Number(first) > 0 && Number(first) + Number(size) <= ID_LIMIT) {
    return { kind: "range", first: Number(first), size: Number(size) };
  }
  throw new BadValue("want host, auto or FIRST:SIZE, as 100000:65536");
}

function parseWorkdir(text: string): string {
  if (text.startsWith("/")) return parseText(text);
  throw new BadValue("want an absolute path");
}

function parseCgroupParent(text: string): string {
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length > 0 && !parts.includes("..") && !text.includes("\0"))
    return `/${parts.join("/")}`;
  throw new BadValue('want a path below the root of the cgroups, without ".."');
}
