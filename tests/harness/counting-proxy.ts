/** Stands between a client and a server on loopback, and counts what the client sends. */
import { connect, createServer, type Socket } from "node:net";
import type { Scene } from "./scene.ts";

export type CountingProxy = {
  /** In place of the server's: `127.0.0.1:PORT`. */
  readonly host: string;
  /** Bytes from clients until now: of requests, with their headers. */
  readonly sent: () => number;
};

/** Lives as long as the scene. @param server `ADDRESS:PORT` */
export async function startCountingProxy(
  scene: Pick<Scene, "defer">,
  server: string,
): Promise<CountingProxy> {
  const [address, port] = server.split(":");
  let bytes = 0;
  const open = new Set<Socket>();
  const proxy = createServer((client) => {
    const upstream = connect(Number(port), address);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on("close", () => open.delete(socket));
      // The other end learns it by the connection's end.
      socket.on("error", () => socket.destroy());
    }
    client.on("data", (chunk) => {
      bytes += chunk.length;
    });
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  scene.defer(() => {
    proxy.close();
    for (const socket of open) socket.destroy();
  });
  const at = proxy.address();
  if (at === null || typeof at === "string") throw new Error("The proxy has no port");
  return { host: `127.0.0.1:${at.port}`, sent: () => bytes };
}
