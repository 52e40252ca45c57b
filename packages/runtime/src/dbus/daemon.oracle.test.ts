/**
 * Our codec and authentication against others' programs: dbus-daemon(1), which reads every byte of a
 * message and closes the connection at the first wrong one, and busctl(1), whose marshalling is
 * systemd's own.
 */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AUTH_FIRST, answerLine } from "./auth.ts";
import { marshal } from "./marshal.ts";
import {
  bodyOf,
  decodeMessage,
  encodeCall,
  encodeMessage,
  HEAD_BYTES,
  type Message,
  messageLength,
} from "./message.ts";
import type { Value } from "./signature.ts";

const dir = mkdtempSync(join(tmpdir(), "tare-dbus-"));
const socketPath = join(dir, "bus");
let daemon: ReturnType<typeof Bun.spawn>;
let peer: Peer;

/** Our codec on Bun's socket: what connection.ts does with system calls. */
class Peer {
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #wake = () => {};
  #serial = 0;
  name = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data) => {
      this.#bytes = Buffer.concat([this.#bytes, Buffer.from(data)]);
      this.#wake();
    });
    socket.on("close", () => this.#wake());
  }

  static async open(): Promise<Peer> {
    const made = new Peer(connect(socketPath));
    made.#socket.write(`\0${AUTH_FIRST}`);
    for (let isLast = false; !isLast; ) {
      const step = answerLine(await made.#line(), {
        uid: process.geteuid?.() ?? 0,
        isNamed: false,
      });
      made.#socket.write(step.say);
      isLast = step.isLast;
    }
    const [name] = await made.bus("Hello", "", []);
    made.name = name as string;
    return made;
  }

  async bus(member: string, signature: string, values: readonly Value[]) {
    const name = "org.freedesktop.DBus";
    return this.call(name, "/org/freedesktop/DBus", name, member, signature, values);
  }

  async call(
    destination: string,
    path: string,
    name: string,
    member: string,
    signature: string,
    values: readonly Value[],
  ) {
    const serial = this.send({ destination, path, interface: name, member, signature, values });
    for (;;) {
      const message = await this.receive();
      if (message.replySerial !== serial) continue;
      if (message.kind === "error") throw new Error(message.errorName);
      return bodyOf(message);
    }
  }

  send(call: Parameters<typeof encodeCall>[0]): number {
    this.#socket.write(encodeCall(call, ++this.#serial));
    return this.#serial;
  }

  answer(to: Message, signature: string, values: readonly Value[]): void {
    const reply = { kind: "return", serial: ++this.#serial, replySerial: to.serial } as const;
    const destination = to.sender ?? "";
    const body = marshal(signature, values);
    this.#socket.write(encodeMessage({ ...reply, destination, signature, body }));
  }

  async receive(): Promise<Message> {
    await this.#until(() => this.#bytes.length >= HEAD_BYTES);
    const length = messageLength(this.#bytes);
    await this.#until(() => this.#bytes.length >= length);
    const message = decodeMessage(new Uint8Array(this.#bytes.subarray(0, length)));
    this.#bytes = this.#bytes.subarray(length);
    return message ?? this.receive();
  }

  close(): void {
    this.#socket.destroy();
  }

  async #line(): Promise<string> {
    await this.#until(() => this.#bytes.includes(0x0a));
    const end = this.#bytes.indexOf(0x0a);
    const line = this.#bytes.subarray(0, end - 1).toString();
    this.#bytes = this.#bytes.subarray(end + 1);
    return line;
  }

  async #until(isSo: () => boolean): Promise<void> {
    while (!isSo()) {
      if (this.#socket.destroyed) throw new Error("the daemon closed the connection");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

beforeAll(async () => {
  const config = join(dir, "config");
  writeFileSync(
    config,
    `<busconfig><type>custom</type><listen>unix:path=${socketPath}</listen><auth>EXTERNAL</auth>
     <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow own="*"/>
     <allow eavesdrop="true"/></policy></busconfig>`,
  );
  daemon = Bun.spawn(["dbus-daemon", `--config-file=${config}`, "--nofork", "--print-address"], {
    stdout: "pipe",
  });
  // It prints its address once it listens.
  await (daemon.stdout as ReadableStream).getReader().read();
  peer = await Peer.open();
});

afterAll(async () => {
  peer?.close();
  daemon?.kill();
  await daemon?.exited;
  rmSync(dir, { recursive: true, force: true });
});

test("the daemon takes our authentication and our messages, and we take its", async () => {
  expect(peer.name).toStartWith(":1.");
  const [names] = await peer.bus("ListNames", "", []);
  expect(names).toEqual(["org.freedesktop.DBus", peer.name]);
  const [text] = await peer.bus("Introspect", "", []).catch(() => [""]);
  expect(typeof text).toBe("string");
  await expect(peer.bus("NoSuchMethod", "", [])).rejects.toThrow("UnknownMethod");
});

const BODY: readonly (readonly [signature: string, value: Value])[] = [
  ["y", 1],
  ["b", true],
  ["n", -5],
  ["q", 65535],
  ["i", -(2 ** 31)],
  ["u", 2 ** 32 - 1],
  ["x", -(2n ** 63n)],
  ["t", 2n ** 64n - 1n],
  ["d", 0.5],
  ["s", "größe"],
  ["o", "/a/b"],
  ["g", "a{sv}"],
  ["ay", Uint8Array.of(1, 2, 3)],
  ["as", []],
  ["at", [1n]],
  ["a(ss)", [["/dev/char/1:3", "rwm"]]],
  ["a{sv}", [["k", { signature: "(yt)", value: [1, 2n] }]]],
  [
    "a(sv)",
    [
      ["A", { signature: "au", value: [7, 8] }],
      ["B", { signature: "b", value: false }],
    ],
  ],
  ["a(sa(sv))", []],
  ["v", { signature: "v", value: { signature: "s", value: "x" } }],
];

test("every type passes the daemon's judgement and comes back as it was", async () => {
  const signature = BODY.map(([type]) => type).join("");
  const values = BODY.map(([, value]) => value);
  peer.send({
    destination: peer.name,
    path: "/",
    interface: "a.b",
    member: "M",
    signature,
    values,
  });
  let message = await peer.receive();
  while (message.member !== "M") message = await peer.receive();
  expect(message.signature).toBe(signature);
  expect(bodyOf(message)).toEqual(values);
});

/** Types with what busctl(1) calls their values. */
const SPOKEN: readonly (readonly [signature: string, words: readonly string[], value: Value])[] = [
  ["y", ["7"], 7],
  ["b", ["true"], true],
  ["i", ["-3"], -3],
  ["x", ["-9"], -9n],
  ["t", ["18446744073709551615"], 18446744073709551615n],
  ["s", ["two words"], "two words"],
  ["o", ["/x"], "/x"],
  ["as", ["2", "a", "b"], ["a", "b"]],
  ["at", ["0"], []],
  ["a(sv)", ["1", "k", "u", "5"], [["k", { signature: "u", value: 5 }]]],
  ["a{sv}", ["1", "k", "as", "1", "z"], [["k", { signature: "as", value: ["z"] }]]],
  ["(yt)", ["1", "2"], [1, 2n]],
  ["v", ["ay", "3", "1", "2", "3"], { signature: "ay", value: Uint8Array.of(1, 2, 3) }],
];

test.each([...SPOKEN])(
  "busctl says %s as we read it, and reads our answer",
  async (signature, words, value) => {
    const caller = Bun.spawn(
      ["busctl", `--address=unix:path=${socketPath}`, "call"].concat(
        [peer.name, "/o", "a.b", "Echo", signature],
        "--",
        words,
      ),
      { stdout: "pipe", stderr: "pipe" },
    );
    let message = await peer.receive();
    while (message.member !== "Echo") message = await peer.receive();
    expect(bodyOf(message)).toEqual([value]);
    peer.answer(message, signature, [value]);
    expect(await new Response(caller.stderr).text()).toBe("");
    expect(await caller.exited).toBe(0);
    const printed = await new Response(caller.stdout).text();
    expect(printed.startsWith(`${signature} `)).toBe(true);
  },
);
