/**
 * A systemd for tests: a D-Bus peer on a socket of its own, which makes and removes cgroups as systemd
 * does, and can be told to fail in each way that systemd, or whoever sits on its socket, might.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { marshal } from "../../packages/runtime/src/dbus/marshal.ts";
import {
  bodyOf,
  decodeMessage,
  encodeMessage,
  HEAD_BYTES,
  type Message,
  messageLength,
} from "../../packages/runtime/src/dbus/message.ts";
import type { Value, Variant } from "../../packages/runtime/src/dbus/signature.ts";
import { hierarchies } from "./cgroups.ts";

/** What becomes of a call; unset: what systemd does. */
export type Behaviour =
  /** The job ends with this word, as "failed". */
  | { readonly result: string }
  /** The call is answered with this error. */
  | { readonly error: string; readonly times?: number }
  /** The connection is closed instead of an answer. */
  | "close"
  /** These bytes come instead of an answer. */
  | Uint8Array
  /** Nothing comes. */
  | "silence";

export type UnitCall = {
  readonly member: string;
  readonly unit: string;
  readonly properties: ReadonlyMap<string, Value>;
};

type Talk = { readonly socket: Socket; bytes: Buffer; isOpen: boolean };

function hasMessage(bytes: Buffer): boolean {
  return bytes.length >= HEAD_BYTES && bytes.length >= messageLength(bytes);
}

const SYSTEMD = "org.freedesktop.systemd1";
const PATH = "/org/freedesktop/systemd1";
/** What systemd manages of v1; the rest is the runtime's. */
const MANAGED = ["cpu", "memory", "blkio", "devices", "pids"];

export class FakeSystemd {
  readonly socketPath: string;
  /** Every call that names a unit, in order. */
  readonly calls: UnitCall[] = [];
  /** Members of the bus that were called: none on a private socket. */
  readonly busCalls: string[] = [];
  /** By member. */
  readonly behave = new Map<string, Behaviour>();
  controlGroup = "";
  version = "252.39-1";
  /** What is said to "AUTH"; unset: what systemd says. */
  greeting: string | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #units = new Map<string, string>();
  readonly #slices = new Set<string>();
  #jobs = 0;
  #serial = 0;

  private constructor(socketPath: string) {
    this.socketPath = socketPath;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async open(socketPath: string): Promise<FakeSystemd> {
    const made = new FakeSystemd(socketPath);
    await new Promise<void>((resolve) => made.#server.listen(socketPath, resolve));
    return made;
  }

  /** The environment of a runtime that is to talk to this one. */
  get environment(): Record<string, string> {
    return { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${this.socketPath}` };
  }

  /** Units that were started and not stopped. */
  get units(): string[] {
    return [...this.#units.keys()];
  }

  /** The last call of a member. */
  last(member: string): UnitCall | undefined {
    return this.calls.findLast((call) => call.member === member);
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    for (const path of this.#units.values()) this.#remove(path);
    // Deep ones first.
    for (const slice of [...this.#slices].sort((a, b) => b.length - a.length)) this.#remove(slice);
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const talk = { socket, bytes: Buffer.alloc(0), isOpen: false };
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (data) => {
      talk.bytes = Buffer.concat([talk.bytes, Buffer.from(data)]);
      while (!talk.isOpen && talk.bytes.includes(0x0a)) this.#authenticate(talk);
      while (talk.isOpen && hasMessage(talk.bytes)) this.#takeMessage(talk);
    });
  }

  #authenticate(talk: Talk): void {
    const line = talk.bytes.subarray(0, talk.bytes.indexOf(0x0a) + 1).toString();
    talk.bytes = talk.bytes.subarray(line.length);
    talk.isOpen = line === "BEGIN\r\n";
    const word = line.replace("\0", "");
    if (word.startsWith("AUTH")) talk.socket.write(this.greeting ?? "DATA\r\n");
    else if (word === "DATA\r\n") talk.socket.write("OK 0123456789abcdef0123456789abcdef\r\n");
  }

  #takeMessage(talk: Talk): void {
    const length = messageLength(talk.bytes);
    const message = decodeMessage(new Uint8Array(talk.bytes.subarray(0, length)));
    talk.bytes = talk.bytes.subarray(length);
    if (message?.interface === "org.freedesktop.DBus") this.#answerAsBus(talk.socket, message);
    else if (message !== undefined) this.#answer(talk.socket, message);
  }

  #answerAsBus(socket: Socket, message: Message): void {
    this.busCalls.push(message.member ?? "");
    const isHello = message.member === "Hello";
    this.#reply(socket, message, isHello ? "s" : "", isHello ? [":1.7"] : []);
  }

  #answer(socket: Socket, message: Message): void {
    const member = message.member ?? "";
    const values = bodyOf(message);
    if (member !== "Get") this.#note(member, values);
    const behaviour = this.behave.get(member);
    if (behaviour === "silence") return;
    if (behaviour === "close") return void socket.destroy();
    if (behaviour instanceof Uint8Array) return void socket.write(behaviour);
    if (behaviour === undefined) return this.#do(socket, message, values);
    if ("result" in behaviour) return this.#do(socket, message, values, behaviour.result);
    const left = (behaviour.times ?? Number.POSITIVE_INFINITY) - 1;
    if (left <= 0) this.behave.delete(member);
    else this.behave.set(member, { ...behaviour, times: left });
    this.#fail(socket, message, behaviour.error);
  }

  #note(member: string, values: readonly Value[]): void {
    const list = values.find((value) => Array.isArray(value) && Array.isArray(value[0]));
    const pairs = (list ?? []) as unknown as [string, Variant][];
    const properties = new Map(pairs.map(([name, { value }]) => [name, value]));
    this.calls.push({ member, unit: String(values[0]), properties });
  }

  #do(socket: Socket, message: Message, values: readonly Value[], result = "done"): void {
    const unit = String(values[0]);
    switch (message.member) {
      case "Get": {
        const value = values[1] === "Version" ? this.version : this.controlGroup;
        return this.#reply(socket, message, "v", [{ signature: "s", value }]);
      }
      case "StartTransientUnit":
        if (this.#units.has(unit)) return this.#fail(socket, message, `${SYSTEMD}.UnitExists`);
        if (result === "done") this.#start(unit);
        return this.#job(socket, message, unit, result);
      case "StopUnit":
        if (!this.#units.has(unit)) return this.#fail(socket, message, `${SYSTEMD}.NoSuchUnit`);
        if (result === "done") this.#stop(unit);
        return this.#job(socket, message, unit, result);
      case "AttachProcessesToUnit":
      case "SetUnitProperties":
      case "ResetFailedUnit":
        return this.#reply(socket, message, "", []);
      default:
        return this.#fail(socket, message, "org.freedesktop.DBus.Error.UnknownMethod");
    }
  }

  #start(unit: string): void {
    const { properties } = this.calls.at(-1) as UnitCall;
    const parts = String(properties.get("Slice"))
      .replace(/\.slice$/, "")
      .split("-");
    const slices =
      parts[0] === "" ? [] : parts.map((_, at) => `${parts.slice(0, at + 1).join("-")}.slice`);
    for (const [index] of slices.entries()) {
      this.#slices.add(join(this.controlGroup, ...slices.slice(0, index + 1)));
    }
    const path = join(this.controlGroup, ...slices, unit);
    this.#units.set(unit, path);
    for (const dir of this.#places(path)) {
      mkdirSync(dir, { recursive: true });
      for (const pid of properties.get("PIDs") as number[]) {
        writeFileSync(join(dir, "cgroup.procs"), String(pid));
      }
    }
  }

  #stop(unit: string): void {
    this.#remove(this.#units.get(unit) ?? "");
    this.#units.delete(unit);
  }

  #places(path: string): string[] {
    const known = hierarchies().filter(({ version, controllers }) =>
      version === 2
        ? true
        : controllers.length === 0 || controllers.some((name) => MANAGED.includes(name)),
    );
    return known.map(({ dir }) => join(dir, path));
  }

  /** Everywhere: also where only the runtime made something. */
  #remove(path: string): void {
    for (const { dir } of hierarchies()) {
      const place = join(dir, path);
      if (!existsSync(place)) continue;
      for (const pid of readFileSync(join(place, "cgroup.procs"), "utf8").split("\n")) {
        if (pid !== "") process.kill(Number(pid), "SIGKILL");
      }
      try {
        rmdirSync(place);
      } catch {
        // The census has the word on what stays.
      }
    }
  }

  #job(socket: Socket, message: Message, unit: string, result: string): void {
    const job = `${PATH}/job/${++this.#jobs}`;
    this.#reply(socket, message, "o", [job]);
    // Others' jobs end as well.
    this.#removed(socket, `${PATH}/job/999999`, "other.service", "failed");
    if (result !== "never") this.#removed(socket, job, unit, result);
  }

  #removed(socket: Socket, job: string, unit: string, result: string): void {
    const names = { path: PATH, interface: `${SYSTEMD}.Manager`, member: "JobRemoved" };
    const body = marshal("uoss", [1, job, unit, result]);
    const serial = ++this.#serial;
    socket.write(encodeMessage({ kind: "signal", serial, ...names, signature: "uoss", body }));
  }

  #reply(socket: Socket, to: Message, signature: string, values: readonly Value[]): void {
    const body = marshal(signature, values);
    const serial = ++this.#serial;
    socket.write(
      encodeMessage({ kind: "return", serial, replySerial: to.serial, signature, body }),
    );
  }

  #fail(socket: Socket, to: Message, errorName: string): void {
    const serial = ++this.#serial;
    const replySerial = to.serial;
    const body = marshal("s", [`told to say ${errorName}`]);
    socket.write(
      encodeMessage({ kind: "error", serial, replySerial, errorName, signature: "s", body }),
    );
  }
}
