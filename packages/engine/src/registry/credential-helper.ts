/**
 * Credential helpers: programs `docker-credential-NAME` with the verbs `get`, `store`, `erase`, JSON on
 * standard input and output. Source: docker-credential-helpers, README, "Development".
 */
import { TareError } from "@tare/spec/error.ts";
import type { Credential } from "./credential.ts";

type Env = Readonly<Record<string, string>> & { readonly PATH?: string };

/** A helper may ask a person to unlock something. */
const ANSWER_MS = 120_000;
const ANSWER_BYTES_MAX = 1024 * 1024;
const NOT_FOUND = "credentials not found";
/** What stands in place of a user where the secret is an identity token. */
const TOKEN_USER = "<token>";

/** @throws TareError `system` where the helper fails; undefined where it keeps nothing */
export async function askHelper(
  helper: string,
  registry: string,
  env: Env,
): Promise<Credential | undefined> {
  const ran = await callHelper(helper, "get", registry, env);
  if (ran.code !== 0) {
    if (ran.stdout.toLowerCase().includes(NOT_FOUND)) return undefined;
    throw failed(helper, "get", ran.stdout || ran.stderr);
  }
  return readAnswer(ran.stdout) ?? fail(helper, "get", "its answer is not of the form");
}

/** @throws TareError `system` */
export async function storeInHelper(
  helper: string,
  registry: string,
  credential: Credential,
  env: Env,
): Promise<void> {
  const isToken = credential.kind === "identity-token";
  const input = JSON.stringify({
    ServerURL: registry,
    Username: isToken ? TOKEN_USER : credential.username,
    Secret: isToken ? credential.token : credential.password,
  });
  const ran = await callHelper(helper, "store", input, env);
  if (ran.code !== 0) throw failed(helper, "store", ran.stdout || ran.stderr);
}

/** @throws TareError `system` */
export async function eraseFromHelper(helper: string, registry: string, env: Env): Promise<void> {
  const ran = await callHelper(helper, "erase", registry, env);
  if (ran.code !== 0 && !ran.stdout.toLowerCase().includes(NOT_FOUND)) {
    throw failed(helper, "erase", ran.stdout || ran.stderr);
  }
}

function readAnswer(text: string): Credential | undefined {
  try {
    const { Username, Secret } = JSON.parse(text) as { Username?: unknown; Secret?: unknown };
    if (typeof Username !== "string" || typeof Secret !== "string") return undefined;
    return Username === TOKEN_USER
      ? { kind: "identity-token", username: "", token: Secret }
      : { kind: "password", username: Username, password: Secret };
  } catch {
    return undefined;
  }
}

type HelperRun = { readonly code: number; readonly stdout: string; readonly stderr: string };

async function callHelper(
  helper: string,
  verb: string,
  input: string,
  env: Env,
): Promise<HelperRun> {
  const program = `docker-credential-${helper}`;
  const path = Bun.which(program, { PATH: env.PATH ?? "" });
  if (path === null) fail(helper, verb, `there is no program ${program} in PATH`);
  const child = Bun.spawn([path, verb], {
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
    env,
    timeout: ANSWER_MS,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([
    readAtMost(child.stdout),
    readAtMost(child.stderr),
    child.exited,
  ]);
  return { code: child.exitCode ?? 1, stdout, stderr };
}

async function readAtMost(stream: ReadableStream<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) break;
    pieces.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(pieces));
}

/** What a helper prints when it fails is a message; what it prints otherwise may be a secret. */
function failed(helper: string, verb: string, said: string): TareError {
  const why = said.trim().slice(0, 300) || "it says nothing";
  return new TareError(
    "system",
    `Cannot ${verb} credentials by docker-credential-${helper}: ${why}`,
  );
}

function fail(helper: string, verb: string, why: string): never {
  throw failed(helper, verb, why);
}
