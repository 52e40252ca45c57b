/**
 * A filter with a listener: SCMP_ACT_NOTIFY hands system calls to an agent on the host. From the
 * moment the filter is loaded, any call of this process may wait for that agent, also the one that
 * would send the listener. So a second process sends it, which shares the table of descriptors
 * (CLONE_FILES) and was forked before: no filter binds it. The runtime on the host passes it on.
 * Source: seccomp_unotify(2); runtime-spec config-linux.md, "The Container Process State".
 */

import { TareError } from "@tare/spec/error.ts";
import { OCI_VERSION, type State } from "@tare/spec/oci-runtime.ts";
import type { Channel } from "../container/channel.ts";
import { EBUSY } from "../sys/abi-errno.ts";
import { AT_FDCWD, F_DUPFD_CLOEXEC, F_GETFD, NO_FD, O_DIRECTORY, O_PATH } from "../sys/abi-file.ts";
import { CLONE_FILES, PR_SET_PDEATHSIG, SIGCHLD, SIGKILL } from "../sys/abi-process.ts";
import { AF_UNIX, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_STREAM } from "../sys/abi-socket.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { openAt, retried, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Agent, Filter } from "./flags.ts";

/** How long the second process looks for the listener: a filter is loaded in microseconds. */
const LOOKS_MAX = 10_000;
const LOOK_EVERY_MS = 1;
/** `sun_path` of unix(7), without the final NUL. */
const ADDRESS_BYTES_MAX = 107;

/**
 * Loads the filter into this process, and answers when the agent has the listener: calls that it
 * is asked about can be answered from then on. The other end of `channel` gets the message
 * "listener" and answers "received", as `sendListener` makes possible.
 */
export function loadNotifying(sys: Sys, filter: Filter, channel: Channel): void {
  const place = nextDescriptor(sys, channel.fd);
  const self = sys.getpid();
  const sender = check(sys.clone3(CLONE_FILES, SIGCHLD, NO_FD), "clone3 CLONE_FILES");
  if (sender === 0) handOver(sys, { self, place, channel });
  const ret = sys.seccomp_set_filter(filter.flags, filter.program);
  if (errnoOf(ret) !== 0) {
    sys.kill(sender, SIGKILL);
    waitQuietly(sys, sender);
    throw notLoaded(errnoOf(ret));
  }
  // The filter may also refuse the wait: the sender has its own hold on the table then.
  const status = waitQuietly(sys, sender);
  if (status !== 0) throw new TareError("system", "Cannot hand over the seccomp listener");
}

function notLoaded(errno: number): TareError {
  const error = new SysError("seccomp SECCOMP_SET_MODE_FILTER", undefined, errno);
  if (errno !== EBUSY) return error;
  return new TareError(
    "unsupported",
    "Cannot use SCMP_ACT_NOTIFY: a filter outside has a listener",
    {
      hint: "The kernel allows one listener for a process and all filters that it inherited",
      cause: error,
    },
  );
}

/** The lowest number that is free, which the listener will get. */
function nextDescriptor(sys: Sys, any: Fd): Fd {
  const place = check(sys.fcntl(any, F_DUPFD_CLOEXEC, 0), "fcntl F_DUPFD_CLOEXEC") as Fd;
  sys.close(place);
  return place;
}

/** The raw status of the sender; 0 where the filter does not let us ask. */
function waitQuietly(sys: Sys, pid: number): number {
  const status = new Int32Array(1);
  retried(() => sys.wait4(pid, status, 0));
  return status[0] ?? 0;
}

type Sender = {
  /** The process that the filter binds. */
  readonly self: number;
  readonly place: Fd;
  readonly channel: Channel;
};

/** In the second process: waits until the listener appears, sends it, ends when it is taken. */
function handOver(sys: Sys, { self, place, channel }: Sender): never {
  let status = 1;
  try {
    // Where the first is killed before it has a filter, there is nothing to wait for.
    check(sys.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "prctl PR_SET_PDEATHSIG");
    if (sys.getppid() !== self) sys.exit_group(status);
    for (let look = 0; look < LOOKS_MAX; look++) {
      if (errnoOf(sys.fcntl(place, F_GETFD, 0)) === 0) break;
      sys.sleep_ms(LOOK_EVERY_MS);
    }
    channel.send({ kind: "listener" }, [place]);
    channel.expect("received");
    status = 0;
  } catch {
    // Who waits for this process reads it from the status.
  }
  sys.exit_group(status);
  throw new Error("exit_group returned");
}

/** Of whom an agent is told: the container, and the process that the filter binds, as the runtime sees them. */
export type Notified = { readonly agent: Agent; readonly state: State; readonly pid: number };

/** "The Container Process State" as JSON. */
export function processState({ agent, state, pid }: Notified): string {
  const { metadata } = agent;
  return JSON.stringify({
    ociVersion: OCI_VERSION,
    fds: ["seccompFd"],
    pid,
    ...(metadata === undefined ? {} : { metadata }),
    state,
  });
}

/** Sends the listener with the state to the agent: one connection, closed after it. */
export function sendListener(sys: Sys, notified: Notified, listener: Fd): void {
  const { agent } = notified;
  const type = SOCK_STREAM | SOCK_CLOEXEC;
  using socket = new OwnedFd(sys, check(sys.socket(AF_UNIX, type, 0), "socket"));
  try {
    connectTo(sys, socket.fd, agent.path);
    const bytes = sys.encode_utf8(processState(notified));
    const ret = retried(() => sys.sendmsg(socket.fd, bytes, Int32Array.of(listener), MSG_NOSIGNAL));
    writeAll(sys, socket.fd, bytes.subarray(check(ret, "sendmsg")), agent.path);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    throw new TareError(
      error.code,
      `Cannot start: failed to connect with seccomp agent "${agent.path}": ${error.message}`,
      { cause: error, hint: "Start who listens on linux.seccomp.listenerPath first" },
    );
  }
}

/** connect(2), also where the path is longer than an address: by the directory's descriptor. */
function connectTo(sys: Sys, socket: Fd, path: string): void {
  if (sys.encode_utf8(path).length <= ADDRESS_BYTES_MAX) {
    const connected = retried(() => sys.connect_unix(socket, path));
    return void check(connected, "connect");
  }
  const slash = path.lastIndexOf("/");
  const opened = openAt(sys, AT_FDCWD, path.slice(0, slash + 1), O_PATH | O_DIRECTORY, 0);
  using directory = new OwnedFd(sys, check(opened, "openat2"));
  const name = path.slice(slash + 1);
  const below = `/proc/self/fd/${directory.fd}/${name}`;
  const connected = retried(() => sys.connect_unix(socket, below));
  check(connected, "connect");
}
