/**
 * The socket between the runtime and the container's first process: one JSON message a packet,
 * each with a fixed place in the handshake. An end of file means that the other side is gone.
 */

import { type ErrorReport, TareError } from "@tare/spec/error.ts";
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
} from "../sys/abi-socket.ts";
import { check } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import type { Fd, Sys } from "../sys/types.ts";

export type Message =
  /** init: its user namespace waits for its maps. stage: the same. */
  | { readonly kind: "map" }
  | { readonly kind: "mapped" }
  /** to init: it is in its cgroups. */
  | { readonly kind: "placed" }
  /** stage: the pid of the container's process. */
  | { readonly kind: "pid"; readonly pid: number }
  /** stage: the container's filter does not let it fork. */
  | { readonly kind: "refused" }
  /** init: the id-mapped source of this bind is wanted; it comes with "received". */
  | { readonly kind: "source"; readonly index: number }
  /** init: the mounts are made, the parent's hooks may run. */
  | { readonly kind: "mounted" }
  | { readonly kind: "hooked" }
  /** init: the terminal's other end comes with this message. */
  | { readonly kind: "console" }
  /** init: the filter's listener comes with this message. */
  | { readonly kind: "listener" }
  | { readonly kind: "received" }
  /** init: everything is set up; it waits for the word to start. */
  | { readonly kind: "created" }
  | { readonly kind: "start" }
  | { readonly kind: "error"; readonly report: ErrorReport };

const MESSAGE_BYTES_MAX = 64 * 1024;
const FDS_MAX = 4;

export type Received = { readonly message: Message; readonly fds: readonly Fd[] };

export class Channel {
  readonly #sys: Sys;
  readonly fd: Fd;
  /** One for all messages: making it takes longer than receiving. */
  #buffer: Uint8Array | undefined;

  constructor(sys: Sys, fd: Fd) {
    this.#sys = sys;
    this.fd = fd;
  }

  /** Two connected ends; both are closed by execve(2). */
  static pair(sys: Sys): readonly [parent: Channel, child: Channel] {
    const fds = new Int32Array(2);
    check(sys.socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), "socketpair");
    return [new Channel(sys, fds[0] as Fd), new Channel(sys, fds[1] as Fd)];
  }

  send(message: Message, fds: readonly Fd[] = []): void {
    const bytes = this.#sys.encode_utf8(JSON.stringify(message));
    const list = Int32Array.from(fds);
    check(
      retried(() => this.#sys.sendmsg(this.fd, bytes, list, MSG_NOSIGNAL)),
      "sendmsg",
    );
  }

  /** As send, by a call that hardly any seccomp filter refuses. */
  write(message: Message): void {
    const bytes = this.#sys.encode_utf8(JSON.stringify(message));
    check(
      retried(() => this.#sys.write(this.fd, bytes)),
      "write",
    );
  }

  /** As `send`, from a process that ends now: where the other side is gone, nobody is left to tell. */
  sendLast(message: Message): void {
    try {
      this.send(message);
    } catch {
      // Thrown further, it would run the end of the runtime in its child.
    }
  }

  /** The next message; undefined where the other side is gone. */
  receive(): Received | undefined {
    this.#buffer ??= new Uint8Array(MESSAGE_BYTES_MAX);
    const buffer = this.#buffer;
    const fds = new Int32Array(FDS_MAX);
    const ret = retried(() => this.#sys.recvmsg(this.fd, buffer, fds, MSG_CMSG_CLOEXEC));
    const length = check(ret, "recvmsg");
    if (length === 0) return undefined;
    const text = this.#sys.decode_utf8(buffer.subarray(0, length));
    const message = JSON.parse(text ?? "") as Message;
    return { message, fds: [...fds].filter((fd) => fd >= 0) as Fd[] };
  }

  /** Waits for one kind of message and nothing else. */
  expect(kind: Message["kind"]): Received {
    const received = this.receive();
    if (received?.message.kind === kind) return received;
    const got = received === undefined ? "the end" : `"${received.message.kind}"`;
    throw new TareError("internal", `Cannot go on: waited for "${kind}", got ${got}`);
  }

  close(): void {
    this.#sys.close(this.fd);
  }
}
