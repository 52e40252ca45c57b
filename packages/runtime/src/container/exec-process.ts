/**
 * The process that `exec` starts: the container's own with what the flags change, or that of a file.
 * As in runc, a file stands for itself but for what it does not say. Pure.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Capabilities, Process } from "@tare/spec/oci-runtime.ts";
import { parseUserIds } from "@tare/spec/user.ts";

/** Flags of `exec`; an empty text counts as absent. */
export type ProcessFlags = {
  readonly args: readonly string[];
  readonly cwd: string | undefined;
  readonly env: readonly string[];
  readonly user: string | undefined;
  readonly additionalGids: readonly string[];
  readonly terminal: boolean;
  readonly label: string | undefined;
  readonly apparmor: string | undefined;
  readonly noNewPrivileges: boolean;
  readonly capabilities: readonly string[];
};

const NO_CAPABILITIES: Capabilities = {
  bounding: [],
  permitted: [],
  inheritable: [],
  effective: [],
  ambient: [],
};

/** For a container whose configuration has no process. */
const NO_PROCESS: Process = {
  terminal: false,
  cwd: "/",
  env: [],
  args: [],
  rlimits: [],
  capabilities: NO_CAPABILITIES,
  noNewPrivileges: false,
  user: { uid: 0, gid: 0, additionalGids: [] },
};

/** The container's process with other arguments, and what the flags say. Throws `bad_input`. */
export function processOfFlags(flags: ProcessFlags, own: Process = NO_PROCESS): Process {
  if (flags.args.length === 0) {
    throw new TareError("bad_input", "Cannot exec: the command is missing", {
      hint: "Give it behind the container's ID, or a file with --process",
    });
  }
  const { consoleSize: _size, ...rest } = own;
  return {
    ...rest,
    args: flags.args,
    cwd: flags.cwd ? absolute(flags.cwd) : own.cwd,
    env: withVariables(own.env, flags.env),
    terminal: flags.terminal,
    user: withUser(own.user, flags),
    capabilities: withCapabilities(own.capabilities, flags.capabilities),
    noNewPrivileges: own.noNewPrivileges || flags.noNewPrivileges,
    ...(flags.label ? { selinuxLabel: flags.label } : {}),
    ...(flags.apparmor ? { apparmorProfile: flags.apparmor } : {}),
  };
}

/** The process of a file; limits, labels and scheduling that it leaves out are the container's. */
export function processOfFile(file: Process, own: Process = NO_PROCESS): Process {
  const { selinuxLabel, apparmorProfile, scheduler, ioPriority, execCPUAffinity, oomScoreAdj } =
    own;
  const umask = file.user.umask ?? own.user.umask;
  const usual = {
    ...(selinuxLabel === undefined ? {} : { selinuxLabel }),
    ...(apparmorProfile === undefined ? {} : { apparmorProfile }),
    ...(scheduler === undefined ? {} : { scheduler }),
    ...(ioPriority === undefined ? {} : { ioPriority }),
    ...(execCPUAffinity === undefined ? {} : { execCPUAffinity }),
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
  };
  return {
    ...usual,
    ...file,
    rlimits: file.rlimits.length === 0 ? own.rlimits : file.rlimits,
    user: umask === undefined ? file.user : { ...file.user, umask },
  };
}

function absolute(cwd: string): string {
  if (cwd.startsWith("/")) return cwd;
  throw new TareError("bad_input", `Cannot use --cwd "${cwd}": want an absolute path`);
}

/** A variable that is there already is replaced: programs disagree on which of two counts. */
function withVariables(own: readonly string[], added: readonly string[]): readonly string[] {
  if (added.length === 0) return own;
  const wrong = added.find((entry) => entry.indexOf("=") < 1);
  if (wrong !== undefined) {
    throw new TareError("bad_input", `Cannot use --env "${wrong}": want NAME=VALUE`);
  }
  const variables = new Map<string, string>();
  for (const entry of [...own, ...added]) variables.set(nameOf(entry), entry);
  return [...variables.values()];
}

/** The container's own entries may be without a name, or without a value. */
function nameOf(entry: string): string {
  const equals = entry.indexOf("=");
  return equals > 0 ? entry.slice(0, equals) : entry;
}

/** A user without a group keeps the container's group, as in runc. */
function withUser(own: Process["user"], flags: ProcessFlags): Process["user"] {
  const added = parseGroups(flags.additionalGids);
  const ids = flags.user === undefined ? {} : parseUserIds(flags.user);
  return { ...own, ...ids, additionalGids: [...own.additionalGids, ...added] };
}

/** The ids of --additional-gids. Throws `bad_input`. */
export function parseGroups(texts: readonly string[]): number[] {
  return texts.map((text) => {
    if (!text.includes(":")) return parseUserIds(text).uid;
    throw new TareError("bad_input", `Cannot use --additional-gids "${text}": want an id`);
  });
}

/**
 * Never inheritable: a file's inheritable capabilities would become the program's (CVE-2022-29162).
 * Ambient are those that the container's inheritable set allows; the others are left out later, and
 * so are names that are none, as SYS_ADMIN.
 */
function withCapabilities(own: Capabilities, names: readonly string[]): Capabilities {
  if (names.length === 0) return own;
  const add = (set: readonly string[]): readonly string[] => [...new Set([...set, ...names])];
  return {
    bounding: add(own.bounding),
    permitted: add(own.permitted),
    effective: add(own.effective),
    ambient: add(own.ambient),
    inheritable: own.inheritable,
  };
}
