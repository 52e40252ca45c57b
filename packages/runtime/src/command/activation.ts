/**
 * What systemd's services expect of a runtime that is started as one: listening sockets that are
 * passed on (LISTEN_FDS, sd_listen_fds(3)), and the word that the service is ready (NOTIFY_SOCKET,
 * sd_notify(3)). The container gets a socket of its own for that word, below /run/notify as with
 * runc, or where the host's is, as with crun; "READY=1" is passed on, and nothing else: what the container says never reaches the host.
 */

import type { Config, Mount } from "@tare/spec/oci-runtime.ts";
import { EEXIST, ENOENT } from "../sys/abi-errno.ts";
import { O_CLOEXEC } from "../sys/abi-file.ts";
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  POLLIN,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
} from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { withListening } from "./environment.ts";

const DIRECTORY = "notify";
const SOCKET = "notify.sock";
const INSIDE = "/run/notify";
const DATAGRAM_BYTES_MAX = 4096;
/** How long the host may take to note a new main process: sd_notify_barrier(3), as runc. */
const BARRIER_MS = 30_000;

/** Variables of the runtime's environment; absent where they say nothing. */
export type Activation = {
  /** Descriptors from 3 on that are passed. */
  readonly listening: number;
  readonly names: string | undefined;
  /** The address of the host's socket: a path, or "@" and an abstract name. */
  readonly notify: string | undefined;
  /** Whether the container's socket lies below the path of the host's. */
  readonly likeCrun: boolean;
};

/** The configuration with the variables, and with the socket's directory of the host bound in. Pure. */
export function amendConfig(config: Config, activation: Activation, directory: string): Config {
  const { process } = config;
  const { notify } = activation;
  if (process === undefined) return config;
  const listening = withListening(process.env, activation.listening, activation.names);
  if (notify === undefined) return { ...config, process: { ...process, env: listening } };
  const kept = listening.filter((each) => !each.startsWith("NOTIFY_SOCKET="));
  const destination = activation.likeCrun && notify.startsWith("/") ? notify : INSIDE;
  const env = [...kept, `NOTIFY_SOCKET=${destination}/${SOCKET}`];
  const bind: Mount = {
    destination,
    source: `${directory}/${DIRECTORY}`,
    options: ["bind", "nosuid", "noexec", "nodev", "ro"],
    uidMappings: [],
    gidMappings: [],
  };
  return { ...config, mounts: [...config.mounts, bind], process: { ...process, env } };
}

/** Makes the directory that is bound, in the state directory of a new container. */
export function makeNotifyDirectory(sys: Sys, directory: Fd): void {
  const made = sys.mkdirat(directory, DIRECTORY, 0o755);
  if (errnoOf(made) !== EEXIST) check(made, "mkdir", DIRECTORY);
}

/** The end of the container's socket that is ours. */
export class NotifySocket {
  readonly #sys: Sys;
  readonly #socket: OwnedFd;
  readonly #host: string;

  private constructor(sys: Sys, socket: OwnedFd, host: string) {
    this.#sys = sys;
    this.#socket = socket;
    this.#host = host;
  }

  /** Undefined where the container was created without one: nobody in it knows of a socket. */
  static open(sys: Sys, directory: Fd, host: string): NotifySocket | undefined {
    if (errnoOf(sys.faccessat2(directory, DIRECTORY, 0, 0)) === ENOENT) return undefined;
    const type = SOCK_DGRAM | SOCK_CLOEXEC;
    const socket = new OwnedFd(sys, check(sys.socket(AF_UNIX, type, 0), "socket"));
    const path = `${DIRECTORY}/${SOCKET}`;
    check(sys.bind_unix(socket.fd, `/proc/self/fd/${directory}/${path}`), "bind", SOCKET);
    // Whoever the program is run as: the directory is seen by the container alone.
    check(sys.fchmodat(directory, path, 0o777), "fchmodat", SOCKET);
    return new NotifySocket(sys, socket, host);
  }

  get fd(): Fd {
    return this.#socket.fd;
  }

  /** Reads one datagram; whether it said that the service is ready. */
  readReady(): boolean {
    const buffer = new Uint8Array(DATAGRAM_BYTES_MAX);
    const ret = retried(() =>
      this.#sys.recvmsg(this.fd, buffer, new Int32Array(0), MSG_CMSG_CLOEXEC),
    );
    const text = this.#sys.decode_utf8(buffer.subarray(0, check(ret, "recvmsg", SOCKET))) ?? "";
    return text.split("\n").includes("READY=1");
  }

  /** Tells the host that the service is ready, and which process it is. */
  tellHost(mainPid: number): void {
    using host = this.#connect();
    this.#send(host.fd, `READY=1\nMAINPID=${mainPid}\n`);
  }

  /**
   * Waits until the container says that it is ready, or ends, or a signal of `signals` comes; then
   * tells the host, and waits until it took note of the process: ours is about to end.
   */
  waitReady(pidfd: Fd, mainPid: number, signals: Fd | undefined): void {
    for (;;) {
      const set = Int32Array.of(this.fd, POLLIN, 0, pidfd, POLLIN, 0, signals ?? -1, POLLIN, 0);
      check(
        retried(() => this.#sys.poll(set, -1)),
        "poll",
      );
      if (set[2] !== 0 && this.readReady()) break;
      if (set[5] !== 0 || set[8] !== 0) return;
    }
    this.tellHost(mainPid);
    this.#barrier();
  }

  /** A pipe is sent; when the host closes it, all that came before has been read. */
  #barrier(): void {
    const pipe = new Int32Array(2);
    check(this.#sys.pipe2(pipe, O_CLOEXEC), "pipe2");
    using reading = new OwnedFd(this.#sys, pipe[0] as Fd);
    using writing = new OwnedFd(this.#sys, pipe[1] as Fd);
    using host = this.#connect();
    this.#send(host.fd, "BARRIER=1", [writing.fd]);
    writing.close();
    retried(() => this.#sys.poll(Int32Array.of(reading.fd, POLLIN, 0), BARRIER_MS));
  }

  #connect(): OwnedFd {
    const type = SOCK_DGRAM | SOCK_CLOEXEC;
    const socket = new OwnedFd(this.#sys, check(this.#sys.socket(AF_UNIX, type, 0), "socket"));
    const ret = retried(() =>
      this.#host.startsWith("@")
        ? this.#sys.connect_abstract(socket.fd, this.#host.slice(1))
        : this.#sys.connect_unix(socket.fd, this.#host),
    );
    if (errnoOf(ret) !== 0) socket.close();
    check(ret, "connect", `NOTIFY_SOCKET ${this.#host}`);
    return socket;
  }

  #send(host: Fd, text: string, fds: readonly Fd[] = []): void {
    const bytes = this.#sys.encode_utf8(text);
    const ret = retried(() => this.#sys.sendmsg(host, bytes, Int32Array.from(fds), MSG_NOSIGNAL));
    check(ret, "sendmsg", "NOTIFY_SOCKET");
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
