/** What tests of transfers share: made-up servers, sessions at them, and files; all of it ends with the test. */
import { afterEach } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseReference } from "@tare/spec/reference.ts";
import { endpointsOf } from "./endpoints.ts";
import { type Handler, MadeServer, makeTestClient } from "./made-server.ts";
import { Session } from "./session.ts";

const open: AsyncDisposable[] = [];
const dirs: string[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true });
});

/** A server that answers by the handler. */
export async function start(handler: Handler): Promise<MadeServer> {
  const server = await MadeServer.start(handler);
  open.push(server);
  return server;
}

/** A new directory. */
export function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), "tare-transfer-"));
  dirs.push(dir);
  return dir;
}

/** A file with passwords for these hosts. */
export function credentialsFor(...hosts: string[]): string {
  const path = join(directory(), "config.json");
  const auth = Buffer.from("user:secret").toString("base64");
  const auths = Object.fromEntries(hosts.map((host) => [host, { auth }]));
  writeFileSync(path, JSON.stringify({ auths }));
  return path;
}

/** A session for the repository `a/b` there; `slept` gets what it would have waited. */
export function sessionAt(
  host: string,
  access: "pull" | "push",
  slept: number[] = [],
  credentials?: string,
  settings = "",
): Session {
  const client = makeTestClient(settings, slept, credentials);
  const [endpoint] = endpointsOf(client.settings, parseReference(`${host}/a/b`), "push");
  if (endpoint === undefined) throw new Error("no endpoint");
  // Loopback would first be tried by TLS.
  return new Session(client, { ...endpoint, origins: [`http://${host}`] }, { access });
}
