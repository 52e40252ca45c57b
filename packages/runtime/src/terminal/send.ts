/** Hands a terminal to who listens on a console socket: create's `--console-socket`. */

import { AF_UNIX, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_STREAM } from "../sys/abi-socket.ts";
import { check } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** One message with the descriptor; its text is the terminal's name, which receivers only print. */
export function sendTerminal(sys: Sys, socketPath: string, terminal: Fd): void {
  const type = SOCK_STREAM | SOCK_CLOEXEC;
  using socket = new OwnedFd(sys, check(sys.socket(AF_UNIX, type, 0), "socket"));
  check(sys.connect_unix(socket.fd, socketPath), "connect", socketPath);
  const name = sys.encode_utf8("/dev/ptmx");
  check(sys.sendmsg(socket.fd, name, Int32Array.of(terminal), MSG_NOSIGNAL), "sendmsg", socketPath);
}
