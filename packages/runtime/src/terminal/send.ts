/** Hands a descriptor to who listens on a socket: `--console-socket`, `--pidfd-socket`. */

import { AF_UNIX, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_STREAM } from "../sys/abi-socket.ts";
import { check } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** One message with the descriptor; its text is a name, which receivers only print. */
export function sendDescriptor(sys: Sys, socketPath: string, fd: Fd, name: string): void {
  const type = SOCK_STREAM | SOCK_CLOEXEC;
  using socket = new OwnedFd(sys, check(sys.socket(AF_UNIX, type, 0), "socket"));
  const connected = retried(() => sys.connect_unix(socket.fd, socketPath));
  check(connected, "connect", socketPath);
  const text = sys.encode_utf8(name);
  const sent = retried(() => sys.sendmsg(socket.fd, text, Int32Array.of(fd), MSG_NOSIGNAL));
  check(sent, "sendmsg", socketPath);
}
