/**
 * A client of the Container Runtime Interface, as far as its test goes: the calls that Kubernetes
 * makes, by gRPC (HTTP/2 on a Unix socket) with messages in protobuf's wire format.
 * Field numbers are those of cri-api, runtime/v1/api.proto.
 */
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { decodeMessage, encodeMessage, type Fields, type Message } from "./protobuf.ts";

const SERVICE = "/runtime.v1.RuntimeService";
const CALL_TIMEOUT_MS = 90_000;
/** Of gRPC: a byte that says whether it is compressed, and the length. */
const FRAME_HEADER_BYTES = 5;
/** ContainerState. */
const STATES = ["created", "running", "exited", "unknown"];

export type Pod = {
  readonly name: string;
  readonly hostname: string;
  readonly cgroupParent: string;
  /** Directory, on the runtime's side. */
  readonly logs: string;
};

export type ContainerOf = {
  readonly image: string;
  readonly command: readonly string[];
  readonly log: string;
  readonly memoryBytes: number;
};

export type Executed = {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
};

/** One connection; a call that is refused throws with gRPC's number and message. */
export class CriClient {
  readonly #session: ReturnType<typeof connectHttp2>;

  constructor(socket: string) {
    this.#session = connectHttp2("http://localhost", { createConnection: () => connect(socket) });
    // Each call hears of it by itself.
    this.#session.on("error", () => undefined);
  }

  /** Fails until the runtime serves. */
  async ready(): Promise<void> {
    await this.#call("Status", {});
  }

  /** The answer is the pod's id. */
  async runPod(pod: Pod, handler: string): Promise<string> {
    return (await this.#call("RunPodSandbox", { 1: podFields(pod), 2: handler })).text(1);
  }

  /** The answer is the container's id. */
  async create(podId: string, pod: Pod, container: ContainerOf): Promise<string> {
    const config: Fields = {
      1: { 1: container.log },
      2: { 1: container.image },
      3: container.command,
      11: container.log,
      15: { 1: { 4: container.memoryBytes } },
    };
    const request = { 1: podId, 2: config, 3: podFields(pod) };
    return (await this.#call("CreateContainer", request)).text(1);
  }

  async start(id: string): Promise<void> {
    await this.#call("StartContainer", { 1: id });
  }

  async status(id: string): Promise<{ state: string; exitCode: number; pid: number }> {
    const reply = await this.#call("ContainerStatus", { 1: id, 2: 1 });
    const status = reply.message(1);
    const info = reply.messages(2).find((entry) => entry.text(1) === "info");
    const { pid } = JSON.parse(info?.text(2) ?? "{}") as { pid?: number };
    const state = STATES[status.number(3)] ?? "unknown";
    return { state, exitCode: status.number(7), pid: pid ?? 0 };
  }

  async exec(id: string, ...command: string[]): Promise<Executed> {
    const reply = await this.#call("ExecSync", { 1: id, 2: command, 3: CALL_TIMEOUT_MS / 1000 });
    return { stdout: reply.text(1), stderr: reply.text(2), code: reply.number(3) };
  }

  async memoryInUse(id: string): Promise<number> {
    const reply = await this.#call("ContainerStats", { 1: id });
    return reply.message(1).message(3).message(2).number(1);
  }

  async limitMemory(id: string, bytes: number): Promise<void> {
    await this.#call("UpdateContainerResources", { 1: id, 2: { 4: bytes } });
  }

  async stop(id: string, timeoutSeconds: number): Promise<void> {
    await this.#call("StopContainer", { 1: id, 2: timeoutSeconds });
  }

  async remove(id: string): Promise<void> {
    await this.#call("RemoveContainer", { 1: id });
  }

  async stopPod(id: string): Promise<void> {
    await this.#call("StopPodSandbox", { 1: id });
  }

  async removePod(id: string): Promise<void> {
    await this.#call("RemovePodSandbox", { 1: id });
  }

  /** How many pods and containers there are, in whatever state. */
  async count(): Promise<{ pods: number; containers: number }> {
    const pods = (await this.#call("ListPodSandbox", {})).messages(1).length;
    const containers = (await this.#call("ListContainers", {})).messages(1).length;
    return { pods, containers };
  }

  close(): void {
    this.#session.destroy();
  }

  #call(method: string, request: Fields): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const stream = this.#session.request({
      ":method": "POST",
      ":path": `${SERVICE}/${method}`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    const parts: Uint8Array[] = [];
    let status: unknown;
    let why: unknown = "the connection ended";
    // A refusal has no body: then what would be trailers comes as the head.
    const note = (headers: { readonly [name: string]: unknown }) => {
      status = headers["grpc-status"] ?? status;
      why = headers["grpc-message"] ?? why;
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("data", (part: Uint8Array) => parts.push(part));
    stream.on("error", (error) => {
      why = error;
    });
    const timer = setTimeout(() => stream.close(), CALL_TIMEOUT_MS);
    stream.on("close", () => {
      clearTimeout(timer);
      if (String(status) === "0") resolve(decodeMessage(unframe(parts)));
      else reject(new Error(`CRI ${method}: ${status}: ${why}`));
    });
    stream.end(frame(encodeMessage(request)));
    return promise;
  }
}

function podFields({ name, hostname, logs, cgroupParent }: Pod): Fields {
  return { 1: { 1: name, 2: name, 3: "default" }, 2: hostname, 3: logs, 8: { 1: cgroupParent } };
}

function frame(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(FRAME_HEADER_BYTES + message.length);
  new DataView(framed.buffer).setUint32(1, message.length);
  framed.set(message, FRAME_HEADER_BYTES);
  return framed;
}

function unframe(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts).subarray(FRAME_HEADER_BYTES);
}
