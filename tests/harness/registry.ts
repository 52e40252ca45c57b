/**
 * Debian's docker-registry on a loopback port of its own choice, with its data in the test's directory:
 * open, with a password file, with tokens of our own server, with TLS, or as a mirror.
 */
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Certificate } from "./certificates.ts";
import { mustSucceed } from "./fixtures.ts";
import { patiently } from "./places.ts";
import { type Ran, run } from "./run.ts";
import type { Scene } from "./scene.ts";

export const USER = "someone";
export const PASSWORD = "a pass:word";

export type RegistryOptions = {
  /** Only `USER` with `PASSWORD`. */
  readonly password?: boolean;
  /** Only with a token of this server. */
  readonly tokens?: {
    readonly realm: string;
    readonly service: string;
    readonly certificate: Certificate;
  };
  readonly tls?: Certificate;
  /** Pulls through from this address what it lacks. */
  readonly mirrorOf?: string;
  /** Words in front of its own, such as those that enter a network. */
  readonly within?: readonly string[];
};

export type TestRegistry = {
  /** As it stands in front of a name: `127.0.0.1:PORT`. */
  readonly host: string;
  /** Each request that it has answered: method, path, status and bytes that it sent. */
  readonly requests: () => readonly LoggedRequest[];
  readonly stop: () => Promise<void>;
};

export type LoggedRequest = {
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  readonly written: number;
};

const START_MS = 30_000;

let count = 0;

/** Starts one that lives as long as the scene. */
export async function startRegistry(
  scene: Pick<Scene, "dir" | "defer">,
  options: RegistryOptions = {},
): Promise<TestRegistry> {
  const dir = join(scene.dir, `registry-${++count}`);
  mkdirSync(dir, { mode: 0o700 });
  writeFileSync(join(dir, "config.json"), JSON.stringify(await configOf(dir, options)));
  const log = join(dir, "log");
  const fd = openSync(log, "a");
  // JSON is YAML.
  const { within = [] } = options;
  const child = Bun.spawn([...within, "docker-registry", "serve", join(dir, "config.json")], {
    stdio: ["ignore", fd, fd],
    env: process.env,
  });
  closeSync(fd);
  // It goes with whoever started it, and keeps nobody from ending.
  child.unref();
  const stop = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  scene.defer(stop);
  const host = await waitForAddress(log, () => child.exitCode !== null);
  return { host, stop, requests: () => requestsOf(log) };
}

async function configOf(dir: string, options: RegistryOptions): Promise<object> {
  const { password = false, tokens, tls, mirrorOf } = options;
  const secret = "only for tests";
  return {
    version: "0.1",
    log: { level: "info", formatter: "json", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(dir, "data") }, delete: { enabled: true } },
    http: {
      addr: "127.0.0.1:0",
      secret,
      ...(tls === undefined ? {} : { tls: { certificate: tls.certificate, key: tls.key } }),
    },
    ...(password ? { auth: { htpasswd: { realm: "test", path: await passwordFile(dir) } } } : {}),
    ...(tokens === undefined ? {} : { auth: { token: tokenAuth(tokens) } }),
    ...(mirrorOf === undefined ? {} : { proxy: { remoteurl: mirrorOf } }),
  };
}

function tokenAuth({ realm, service, certificate }: NonNullable<RegistryOptions["tokens"]>) {
  return { realm, service, issuer: service, rootcertbundle: certificate.certificate };
}

async function passwordFile(dir: string): Promise<string> {
  const path = join(dir, "htpasswd");
  const hash = await Bun.password.hash(PASSWORD, { algorithm: "bcrypt", cost: 4 });
  writeFileSync(path, `${USER}:${hash}\n`);
  return path;
}

async function waitForAddress(log: string, isDead: () => boolean): Promise<string> {
  const until = performance.now() + patiently(START_MS);
  for (;;) {
    const text = readFileSync(log, "utf8");
    const match = /listening on (127\.0\.0\.1:\d+)/.exec(text);
    if (match?.[1] !== undefined) return match[1];
    if (isDead() || performance.now() > until)
      throw new Error(`docker-registry does not start: ${text}`);
    await Bun.sleep(20);
  }
}

function requestsOf(log: string): LoggedRequest[] {
  return readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line.includes('"http.response.status"'))
    .map((line) => JSON.parse(line))
    .map((entry) => ({
      method: entry["http.request.method"],
      uri: entry["http.request.uri"],
      status: entry["http.response.status"],
      written: entry["http.response.written"] ?? 0,
    }));
}

/** skopeo without a policy, which a machine may lack, and without TLS. */
export async function skopeoCopy(from: string, to: string, ...flags: string[]): Promise<Ran> {
  const plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
  const ran = await run(
    ["skopeo", "--insecure-policy", "copy", "--quiet", ...plain, ...flags, from, to],
    { timeoutMs: 120_000 },
  );
  mustSucceed(ran);
  return ran;
}
