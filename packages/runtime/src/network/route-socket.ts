/** A conversation with the kernel about links and addresses: one socket, one network namespace. */

import { TareError } from "@tare/spec/error.ts";
import { ENODEV } from "../sys/abi-errno.ts";
import { MSG_CMSG_CLOEXEC, SOCK_CLOEXEC, SOCK_RAW } from "../sys/abi-socket.ts";
import { check, SysError } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import {
  decodeMessages,
  encodeMessage,
  errnoOfMessage,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./netlink.ts";
import {
  type Address,
  askAddresses,
  askLink,
  type Link,
  type Payload,
  RTM_GETADDR,
  RTM_GETLINK,
  readAddress,
  readLink,
} from "./rtnetlink.ts";

const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
/** The kernel sends at most 32 KiB of a dump at once; one link with many functions may have more. */
const DATAGRAM_BYTES_MAX = 256 * 1024;
/** Of one dump: far more than a machine has addresses. */
const MESSAGES_MAX = 100_000;

export class RouteSocket {
  readonly #sys: Sys;
  readonly #fd: OwnedFd;
  #sequence = 0;

  /** For the network namespace that the caller is in; it stays there. */
  constructor(sys: Sys) {
    this.#sys = sys;
    const ret = sys.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    this.#fd = new OwnedFd(sys, check(ret, "socket AF_NETLINK"));
  }

  /** A request that is acknowledged; `call` and `subject` name it in a SysError. */
  change(type: number, payload: Payload, call: string, subject: string, more = 0): void {
    this.#send(type, NLM_F_ACK | more, payload);
    const answers = this.#answers(call, subject);
    if (answers.length > 0) throw unexpected(call);
  }

  /** The link of this name; undefined where there is none. */
  link(name: string): Link | undefined {
    try {
      this.#send(RTM_GETLINK, NLM_F_ACK, askLink(name));
      const [found] = this.#answers("RTM_GETLINK", name);
      return found === undefined ? undefined : readLink(found.body);
    } catch (error) {
      if (error instanceof SysError && error.errno === ENODEV) return undefined;
      throw error;
    }
  }

  links(): readonly Link[] {
    this.#send(RTM_GETLINK, NLM_F_DUMP, askLink(undefined));
    return this.#answers("RTM_GETLINK", undefined).map(({ body }) => readLink(body));
  }

  addressesOf(index: number): readonly Address[] {
    this.#send(RTM_GETADDR, NLM_F_DUMP, askAddresses());
    const all = this.#answers("RTM_GETADDR", undefined).map(({ body }) => readAddress(body));
    return all.filter((each) => each.index === index);
  }

  #send(type: number, flags: number, { fixed, attributes }: Payload): void {
    const sequence = ++this.#sequence;
    const message = { type, flags: flags | NLM_F_REQUEST, sequence };
    const bytes = encodeMessage(message, fixed, attributes);
    check(
      retried(() => this.#sys.sendmsg(this.#fd.fd, bytes, new Int32Array(0), 0)),
      "sendmsg AF_NETLINK",
    );
  }

  /** All messages up to the acknowledgement or the end of the dump. */
  #answers(call: string, subject: string | undefined): NetlinkMessage[] {
    const answers: NetlinkMessage[] = [];
    const buffer = new Uint8Array(DATAGRAM_BYTES_MAX);
    while (answers.length < MESSAGES_MAX) {
      for (const message of this.#receive(buffer)) {
        if (message.sequence !== this.#sequence) continue;
        if (message.type === NLMSG_DONE) return answers;
        if (message.type !== NLMSG_ERROR) {
          answers.push(message);
          continue;
        }
        const errno = errnoOfMessage(message.body);
        if (errno !== 0) throw new SysError(`rtnetlink ${call}`, subject, errno);
        return answers;
      }
    }
    throw unexpected(call);
  }

  #receive(buffer: Uint8Array): NetlinkMessage[] {
    const fds = new Int32Array(0);
    const fd: Fd = this.#fd.fd;
    const ret = retried(() => this.#sys.recvmsg(fd, buffer, fds, MSG_CMSG_CLOEXEC));
    const length = check(ret, "recvmsg AF_NETLINK");
    if (length === 0) throw unexpected("recvmsg");
    // A copy: the buffer is used again.
    return decodeMessages(buffer.slice(0, length));
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

function unexpected(call: string): TareError {
  return new TareError("internal", `Cannot go on: the kernel's answer to ${call} makes no sense`);
}
