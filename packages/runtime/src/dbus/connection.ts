/**
 * A connection to a D-Bus server: authentication, calls and their answers, signals that come in
 * between. One thing at a time and synchronous; whatever the other side does, each wait has an end.
 */

import { TareError } from "@tare/spec/error.ts";
import { EAGAIN, EPIPE } from "../sys/abi-errno.ts";
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_NOSIGNAL,
  POLLIN,
  POLLOUT,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
} from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { monotonicMs } from "../sys/clock.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Sys } from "../sys/types.ts";
import type { BusAddress } from "./address.ts";
import { AUTH_FIRST, answerLine, LINE_BYTES_MAX } from "./auth.ts";
import {
  bodyOf,
  type Call,
  decodeMessage,
  encodeCall,
  HEAD_BYTES,
  type Message,
  messageLength,
} from "./message.ts";

/** Of connecting and authenticating together, and of each call: the usual limit of D-Bus clients. */
const ANSWER_MS_MAX = 25_000;
/** While the server's queue of connections is full. */
const CONNECT_PAUSE_MS = 20;
const CHUNK_BYTES = 16 * 1024;
/** Signals that came while an answer was awaited: what else is told meanwhile is not for us. */
const SIGNALS_MAX = 256;
/** Rounds of authentication: a server that keeps asking gets no further answer. */
const AUTH_LINES_MAX = 8;
const BUS_NAME = "org.freedesktop.DBus";
const BUS_PATH = "/org/freedesktop/DBus";

/** An error that the other side answered. */
export class DbusError extends TareError {
  /** As in `org.freedesktop.systemd1.UnitExists`. */
  readonly errorName: string;

  constructor(errorName: string, words: string) {
    super(errorName.endsWith(".AccessDenied") ? "no_permission" : "system", words || errorName);
    this.name = "DbusError";
    this.errorName = errorName;
  }
}

/** Which signals are meant: by interface and member, from one object. */
export type Match = { readonly path: string; readonly interface: string; readonly member: string };

export class Connection {
  readonly #sys: Sys;
  readonly #socket: OwnedFd;
  readonly #isBus: boolean;
  #serial = 0;
  #buffer = new Uint8Array(CHUNK_BYTES);
  #length = 0;
  #signals: Message[] = [];
  /** Monotonic milliseconds: when what is being done must be done. */
  #end = 0;

  /**
   * Connects and authenticates.
   * @throws SysError where nobody listens; TareError where we are refused or nobody answers.
   */
  static open(sys: Sys, address: BusAddress): Connection {
    const kind = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    const socket = new OwnedFd(sys, check(sys.socket(AF_UNIX, kind, 0), "socket"));
    const connection = new Connection(sys, socket, address.isBus);
    try {
      connection.#connect(address.path);
      connection.#authenticate();
      if (address.isBus) connection.#callBus("Hello", []);
      return connection;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  private constructor(sys: Sys, socket: OwnedFd, isBus: boolean) {
    this.#sys = sys;
    this.#socket = socket;
    this.#isBus = isBus;
    this.#limit(ANSWER_MS_MAX);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  /**
   * Calls a method and waits for its answer's values.
   * @throws DbusError where the answer is an error; TareError where none comes in time.
   */
  call(call: Call): ReturnType<typeof bodyOf> {
    this.#limit(ANSWER_MS_MAX);
    const serial = ++this.#serial;
    const { destination, ...direct } = call;
    // Without a bus there is nobody but the one at the other end.
    const to = this.#isBus && destination !== undefined ? { ...direct, destination } : direct;
    this.#send(encodeCall(to, serial));
    for (;;) {
      const message = this.#receive();
      if (message === undefined) throw silent(call.member);
      if (message.kind === "signal") this.#keep(message);
      else if (message.kind !== "call" && message.replySerial === serial) return answerOf(message);
    }
  }

  /** Asks the bus for signals, which it would else not pass on. */
  subscribe(match: Match): void {
    if (!this.#isBus) return;
    const { path, interface: name, member } = match;
    const rule = `type='signal',interface='${name}',member='${member}',path='${path}'`;
    this.#callBus("AddMatch", [rule]);
  }

  /**
   * The values of the next signal that is meant and that `isWanted`, also of those that came before.
   * Undefined where none comes within the time.
   */
  awaitSignal<T>(
    match: Match,
    timeMs: number,
    pick: (values: ReturnType<typeof bodyOf>) => T | undefined,
  ): T | undefined {
    this.#limit(timeMs);
    const early = this.#signals;
    this.#signals = [];
    for (const message of early) {
      const picked = isMeant(message, match) ? pick(bodyOf(message)) : undefined;
      if (picked !== undefined) return picked;
    }
    for (;;) {
      const message = this.#receive();
      if (message === undefined) return undefined;
      if (message.kind !== "signal" || !isMeant(message, match)) continue;
      const picked = pick(bodyOf(message));
      if (picked !== undefined) return picked;
    }
  }

  #callBus(member: string, values: readonly string[]): void {
    const signature = "s".repeat(values.length);
    this.call({
      destination: BUS_NAME,
      path: BUS_PATH,
      interface: BUS_NAME,
      member,
      signature,
      values,
    });
  }

  #keep(message: Message): void {
    this.#signals.push(message);
    if (this.#signals.length > SIGNALS_MAX) this.#signals.shift();
  }

  #connect(path: string): void {
    for (;;) {
      const ret = retried(() => this.#sys.connect_unix(this.#socket.fd, path));
      if (errnoOf(ret) !== EAGAIN) return void check(ret, "connect", path);
      if (this.#left() <= 0) throw silent("connect");
      this.#sys.sleep_ms(CONNECT_PAUSE_MS);
    }
  }

  #authenticate(): void {
    const uid = this.#sys.geteuid();
    this.#send(this.#sys.encode_utf8(`\0${AUTH_FIRST}`));
    let isNamed = false;
    for (let lines = 0; lines < AUTH_LINES_MAX; lines++) {
      const step = answerLine(this.#readLine(), { uid, isNamed });
      isNamed ||= step.say.startsWith("AUTH");
      this.#send(this.#sys.encode_utf8(step.say));
      if (step.isLast) return;
    }
    throw new TareError("corrupt", "Cannot authenticate over D-Bus: no end of questions");
  }

  /** A line up to "\r\n". The server has nothing more to say until we answer. */
  #readLine(): string {
    for (;;) {
      const end = this.#buffer.subarray(0, this.#length).indexOf(0x0a);
      if (end >= 0) {
        const line = this.#sys.decode_utf8(this.#buffer.subarray(0, end));
        const isAlone = end + 1 === this.#length;
        this.#length = 0;
        if (line?.endsWith("\r") && isAlone) return line.slice(0, -1);
        throw new TareError("corrupt", "Cannot authenticate over D-Bus: not one line");
      }
      if (this.#length > LINE_BYTES_MAX) {
        throw new TareError("corrupt", "Cannot authenticate over D-Bus: a line without an end");
      }
      if (!this.#fill()) throw silent("authenticate");
    }
  }

  #send(bytes: Uint8Array): void {
    const { fd } = this.#socket;
    for (let rest = bytes; rest.length > 0; ) {
      const from = rest;
      const ret = retried(() => this.#sys.sendmsg(fd, from, NO_FDS, MSG_NOSIGNAL));
      if (errnoOf(ret) === EPIPE) throw closed();
      if (errnoOf(ret) !== EAGAIN) rest = rest.subarray(check(ret, "sendmsg"));
      else if (!this.#wait(POLLOUT)) throw silent("send");
    }
  }

  /** The next message that we know; undefined when the time is over. */
  #receive(): Message | undefined {
    for (;;) {
      const length = this.#length < HEAD_BYTES ? undefined : messageLength(this.#buffer);
      if (length === undefined || this.#length < length) {
        if (length !== undefined) this.#reserve(length);
        if (!this.#fill()) return undefined;
        continue;
      }
      const message = decodeMessage(this.#buffer.slice(0, length));
      this.#buffer.copyWithin(0, length, this.#length);
      this.#length -= length;
      if (message !== undefined) return message;
    }
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length) return;
    const larger = new Uint8Array(length);
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }

  /** Reads what is there, or waits for it; false when the time is over. */
  #fill(): boolean {
    if (this.#left() <= 0) return false;
    this.#reserve(this.#length + 1);
    const fds = new Int32Array(1);
    for (;;) {
      const into = this.#buffer.subarray(this.#length);
      const ret = retried(() => this.#sys.recvmsg(this.#socket.fd, into, fds, MSG_CMSG_CLOEXEC));
      if (errnoOf(ret) === EAGAIN) {
        if (!this.#wait(POLLIN)) return false;
        continue;
      }
      const count = check(ret, "recvmsg");
      // We asked for none, and a stray one would stay open.
      if ((fds[0] ?? -1) >= 0) this.#sys.close(fds[0] as never);
      if (count === 0) throw closed();
      this.#length += count;
      return true;
    }
  }

  /** Whether the socket became ready before the time was over. */
  #wait(events: number): boolean {
    const left = this.#left();
    if (left <= 0) return false;
    const set = Int32Array.of(this.#socket.fd, events, 0);
    return (
      check(
        retried(() => this.#sys.poll(set, left)),
        "poll",
      ) > 0
    );
  }

  #limit(timeMs: number): void {
    this.#end = monotonicMs(this.#sys) + timeMs;
  }

  #left(): number {
    return this.#end - monotonicMs(this.#sys);
  }
}

const NO_FDS = new Int32Array(0);

function isMeant(message: Message, match: Match): boolean {
  const { path, interface: name, member } = message;
  return path === match.path && name === match.interface && member === match.member;
}

/** The values of a return; an error is thrown with what it says first, which is its text. */
function answerOf(message: Message): ReturnType<typeof bodyOf> {
  const values = bodyOf(message);
  if (message.kind === "return") return values;
  const [words] = values;
  throw new DbusError(message.errorName ?? "", typeof words === "string" ? words : "");
}

function silent(what: string): TareError {
  return new TareError("system", `Cannot ${what} over D-Bus: no answer in time`);
}

function closed(): TareError {
  return new TareError("system", "Cannot go on over D-Bus: the other side closed the connection");
}
