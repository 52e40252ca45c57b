/**
 * An HTTP server for tests of the client, on bare sockets: it says what a registry should not, stops in
 * the middle, drips, never ends, and keeps what it was sent.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Digest } from "@tare/spec/digest.ts";
import type { Descriptor } from "@tare/spec/oci-image.ts";
import { digestOf } from "../image/digest.ts";
import { makeClient, type RegistryClient } from "./client.ts";
import { parseSettings } from "./settings.ts";

export type Seen = {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
};

export type Reply = {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** The connection is cut after so many bytes of the body. */
  readonly cutAt?: number;
  /** With `cutAt`: once this is fulfilled, such as by a client that has those bytes. */
  readonly cutWhen?: Promise<void>;
  /** A byte each so many milliseconds, without end. */
  readonly dripMs?: number;
  /** Zeros, without end. */
  readonly endless?: boolean;
};

/** Cuts the connection of a request after so many bytes of its body, or answers it. */
export type Handler = (seen: Seen) => Reply | "cut" | Promise<Reply | "cut">;

export class MadeServer implements AsyncDisposable {
  readonly seen: Seen[] = [];
  /** Bodies are read up to this, then the connection is cut. */
  cutRequestsAt = Number.POSITIVE_INFINITY;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #host = "";

  private constructor(handler: Handler) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      serve(socket, this, handler).catch(() => socket.destroy());
    });
  }

  static async start(handler: Handler): Promise<MadeServer> {
    const made = new MadeServer(handler);
    await new Promise<void>((resolve) => made.#server.listen(0, "127.0.0.1", resolve));
    const address = made.#server.address();
    made.#host = `127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
    return made;
  }

  get host(): string {
    return this.#host;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function serve(socket: Socket, made: MadeServer, handler: Handler): Promise<void> {
  const reader = new RequestReader(socket);
  for (;;) {
    const seen = await reader.next(made.cutRequestsAt);
    if (seen === undefined) return;
    made.seen.push(seen);
    const reply = await handler(seen);
    if (reply === "cut") socket.destroy();
    else await send(socket, reply, seen.method === "HEAD");
  }
}

/** The first byte of a TLS connection (RFC 8446, 5.1). */
const TLS_HANDSHAKE = 22;

class RequestReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  async next(bytesMax: number): Promise<Seen | undefined> {
    let end = this.#buffer.indexOf("\r\n\r\n");
    for (; end < 0; end = this.#buffer.indexOf("\r\n\r\n"))
      if (!(await this.#more())) return undefined;
    const [first = "", ...lines] = this.#buffer.subarray(0, end).toString("latin1").split("\r\n");
    this.#buffer = this.#buffer.subarray(end + 4);
    const [method = "", path = ""] = first.split(" ");
    const headers = new Map(
      lines.map((line) => [
        line.slice(0, line.indexOf(":")).toLowerCase(),
        line.slice(line.indexOf(":") + 1).trim(),
      ]),
    );
    const body = await this.#body(Number(headers.get("content-length") ?? 0), bytesMax);
    return { method, path, headers, body };
  }

  async #body(length: number, bytesMax: number): Promise<Buffer> {
    while (this.#buffer.length < length) {
      if (this.#buffer.length >= bytesMax || !(await this.#more())) {
        this.#socket.destroy();
        return this.#buffer.subarray(0, bytesMax);
      }
    }
    const body = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return body;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done === true) return false;
    this.#buffer = Buffer.concat([this.#buffer, value]);
    // Who asks whether TLS is spoken here is told that it is not.
    if (this.#buffer[0] === TLS_HANDSHAKE) this.#socket.destroy();
    return this.#buffer[0] !== TLS_HANDSHAKE;
  }
}

async function send(socket: Socket, reply: Reply, isHead: boolean): Promise<void> {
  const { status = 200, headers = {}, cutAt } = reply;
  const body = Buffer.from(reply.body ?? "");
  const open = reply.dripMs !== undefined || reply.endless === true;
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const length =
    names.includes("content-length") || open ? {} : { "Content-Length": `${body.length}` };
  const all = Object.entries({ ...length, ...headers });
  const close = open ? "Connection: close\r\n" : "";
  const head = all.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  socket.write(`HTTP/1.1 ${status} Made\r\n${head}${close}\r\n`);
  if (isHead) return;
  socket.write(cutAt === undefined ? body : body.subarray(0, cutAt));
  await reply.cutWhen;
  if (cutAt !== undefined) socket.end();
  while (reply.dripMs !== undefined && !socket.destroyed) {
    socket.write("\0");
    await Bun.sleep(reply.dripMs);
  }
  while (reply.endless === true && !socket.destroyed) {
    if (socket.write(Buffer.alloc(65_536))) await Bun.sleep(0);
    else await new Promise((resolve) => socket.once("drain", resolve).once("close", resolve));
  }
}

/** A client that waits for nothing; `slept` gets what it would have waited. */
export function makeTestClient(
  settings = "",
  slept: number[] = [],
  credentialsFile = "/nonexistent/config.json",
): RegistryClient {
  return makeClient({
    settings: parseSettings(settings, "test"),
    credentialsFile,
    env: {},
    certificateDirectories: [],
    proxies: { no: [] },
    userAgent: "test",
    timing: {
      nowMs: () => 0,
      random: () => 0,
      sleep: async (ms, signal) => {
        signal?.throwIfAborted();
        slept.push(ms);
      },
    },
  });
}

/** A descriptor of a content. */
export function describe(content: string | Uint8Array, mediaType = "a/b"): Descriptor {
  const size = Buffer.byteLength(content);
  return { mediaType, digest: digestOf(content), size, urls: [], annotations: new Map() };
}

/** A digest of nothing that is anywhere. */
export const OTHER_DIGEST: Digest = digestOf("something else");
