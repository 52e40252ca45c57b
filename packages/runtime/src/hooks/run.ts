/**
 * Runs hooks: programs of the configuration, in order, with the container's state on their standard
 * input and a time limit. Source: runtime-spec config.md "POSIX-platform Hooks".
 */

import { TareError } from "@tare/spec/error.ts";
import type { Hook, HookName, State } from "@tare/spec/oci-runtime.ts";
import { describeStatus, waitFor } from "../process/wait.ts";
import { ENOENT, errnoText } from "../sys/abi-errno.ts";
import { CLOSE_RANGE_CLOEXEC, NO_FD } from "../sys/abi-file.ts";
import { SIG_SETMASK, SIGCHLD, SIGKILL } from "../sys/abi-process.ts";
import { POLLIN } from "../sys/abi-socket.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { retried, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Confinement } from "./hooks.ts";

const EXIT_NOT_STARTED = 127;
const MFD_CLOEXEC = 1;

/** Kinds that run in the container's namespaces; the others begin in the bundle, as with runc and crun. */
const INSIDE: ReadonlySet<HookName> = new Set(["createContainer", "startContainer"]);

/** What is alike for all hooks of one kind. */
type Setting = {
  readonly state: State;
  /** The directory that they begin in; undefined: that of this process. */
  readonly cwd: string | undefined;
  readonly confinement: Confinement | undefined;
};

/** Runs all hooks of one kind; the first that fails ends it with an error that names it. */
export function runHooks(
  sys: Sys,
  name: HookName,
  hooks: readonly Hook[],
  state: State,
  confinement?: Confinement,
): void {
  const cwd = INSIDE.has(name) ? undefined : state.bundle;
  for (const [index, hook] of hooks.entries()) {
    const failure = runHook(sys, hook, { state, cwd, confinement });
    if (failure !== undefined) throw failed(name, index, hook, failure);
  }
}

/** Runs all poststop hooks: one that fails is told and does not stop the others (runtime.md, "Lifecycle"). */
export function runPoststopHooks(sys: Sys, hooks: readonly Hook[], state: State): void {
  for (const [index, hook] of hooks.entries()) {
    const failure = runHook(sys, hook, { state, cwd: state.bundle, confinement: undefined });
    if (failure === undefined) continue;
    const words = `poststop hook failed with ${failure}: #${index} "${hook.path}"`;
    sys.write(2 as Fd, sys.encode_utf8(`tare-runtime: warning: ${words}\n`));
  }
}

function failed(name: HookName, index: number, hook: Hook, failure: string): TareError {
  // As far as the colon it is what runc says, and what its callers look for.
  const what = `error running ${name} hook #${index}`;
  return new TareError("hook_failed", `Cannot go on: ${what}: "${hook.path}": ${failure}`);
}

/** What went wrong with a hook, or undefined; one that could not even begin has failed, too. */
function runHook(sys: Sys, hook: Hook, setting: Setting): string | undefined {
  try {
    return runToEnd(sys, hook, setting);
  } catch (error) {
    if (error instanceof SysError) return error.message;
    throw error;
  }
}

function runToEnd(sys: Sys, hook: Hook, setting: Setting): string | undefined {
  using state = stateFile(sys, JSON.stringify(setting.state));
  const pid = check(sys.clone3(0, SIGCHLD, NO_FD), "clone3");
  if (pid === 0) return becomeHook(sys, hook, state.fd, setting);
  const done = endsInTime(sys, pid, hook.timeout);
  const status = waitFor(sys, pid);
  if (!done) return `it ran longer than ${hook.timeout} s`;
  return status === 0 ? undefined : describeStatus(status);
}

/** One that does not, or that cannot be watched, is killed. */
function endsInTime(sys: Sys, pid: number, timeoutSeconds: number | undefined): boolean {
  let done = false;
  try {
    using pidfd = new OwnedFd(sys, check(sys.pidfd_open(pid, 0), "pidfd_open"));
    done = waitReadable(sys, pidfd.fd, timeoutSeconds);
  } finally {
    // Our own child, which nobody has waited for: the number is still its.
    if (!done) sys.kill(pid, SIGKILL);
  }
  return done;
}

/** A file in memory, not a pipe: a hook that never reads it can neither block us nor break us (SIGPIPE). */
function stateFile(sys: Sys, input: string): OwnedFd {
  const file = new OwnedFd(sys, check(sys.memfd_create("state", MFD_CLOEXEC), "memfd_create"));
  writeAll(sys, file.fd, sys.encode_utf8(input), "the state for a hook");
  check(sys.lseek(file.fd, 0, 0), "lseek");
  return file;
}

/** In the child: standard input is the state, everything else is the runtime's; never returns. */
function becomeHook(sys: Sys, hook: Hook, input: Fd, { cwd, confinement }: Setting): never {
  const env = hook.env ?? confinement?.env ?? sys.environ();
  const why = execute(sys, hook, { input, env, cwd, confinement });
  sys.write(2 as Fd, sys.encode_utf8(`${hook.path}: ${why}\n`));
  sys.exit_group(EXIT_NOT_STARTED);
  throw new TareError("internal", "exit_group returned");
}

/** Why it could not be executed: it is left only then. */
function execute(
  sys: Sys,
  hook: Hook,
  {
    input,
    env,
    cwd,
    confinement,
  }: {
    readonly input: Fd;
    readonly env: readonly string[];
    readonly cwd: string | undefined;
    readonly confinement: Confinement | undefined;
  },
): string {
  try {
    check(sys.dup3(input, 0 as Fd, 0), "dup3");
    sys.sigprocmask(SIG_SETMASK, 0);
    check(sys.close_range(3, 0x7fffffff, CLOSE_RANGE_CLOEXEC), "close_range");
    if (cwd !== undefined) enterBundle(sys, cwd);
    confinement?.enter();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const argv = hook.args.length > 0 ? hook.args : [hook.path];
  return errnoText(errnoOf(sys.execve(hook.path, argv, env)));
}

/** When a container is deleted, its bundle may be gone already. */
function enterBundle(sys: Sys, bundle: string): void {
  const ret = sys.chdir(bundle);
  if (errnoOf(ret) !== ENOENT) check(ret, "chdir", bundle);
}

function waitReadable(sys: Sys, fd: Fd, timeoutSeconds: number | undefined): boolean {
  const set = Int32Array.of(fd, POLLIN, 0);
  const timeoutMs = timeoutSeconds === undefined ? -1 : timeoutSeconds * 1000;
  return (
    check(
      retried(() => sys.poll(set, timeoutMs)),
      "poll",
    ) > 0
  );
}
