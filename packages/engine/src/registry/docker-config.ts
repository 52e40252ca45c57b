/** Docker's `config.json`, as far as passwords go. What else is in there is kept as it is. */

import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { TareError } from "@tare/spec/error.ts";
import { lockFile } from "../host/calls.ts";
import { reasonOf } from "../host/failure.ts";
import { writeWhole } from "../write-whole.ts";
import type { Credential } from "./credential.ts";

/** The hub's key. */
export const HUB_KEY = "https://index.docker.io/v1/";

export type ConfigFile = {
  /** By host, as docker normalises it; the hub's key is a URL. */
  readonly auths: ReadonlyMap<string, Credential>;
  /** By the same keys: how the file spells them. */
  readonly spellings: ReadonlyMap<string, readonly string[]>;
  /** Names of helpers by host. */
  readonly helpers: ReadonlyMap<string, string>;
  /** The helper of all others. */
  readonly store: string | undefined;
};

const FILE_BYTES_MAX = 4 * 1024 * 1024;

type Json = Record<string, unknown>;

/** @throws TareError `bad_input` where it is there and not readable as what it should be */
export function readConfigFile(path: string): ConfigFile {
  const top = readObject(path) ?? {};
  const auths = new Map<string, Credential>();
  const spellings = new Map<string, string[]>();
  for (const [key, value] of entriesOf(top, "auths")) {
    const name = normalise(key);
    spellings.set(name, [...(spellings.get(name) ?? []), key]);
    const credential = readAuth(value);
    // A key without scheme and path is the newer spelling, and wins.
    if (credential !== undefined && (key === name || !auths.has(name))) auths.set(name, credential);
  }
  const helpers = entriesOf(top, "credHelpers").flatMap(([host, name]) =>
    isHelperName(name) ? [[normalise(host), name] as const] : [],
  );
  const { credsStore } = top;
  const store = isHelperName(credsStore) ? credsStore : undefined;
  return { auths, spellings, helpers: new Map(helpers), store };
}

/**
 * Writes or takes away the entry of a key. The file is replaced at once, mode 0600; a link stays one.
 * Its directory is locked meanwhile, so that of two logins at once neither forgets the other.
 * @throws TareError `no_permission` where it cannot be written; `conflict` where it stays locked
 */
export async function editConfigFile(
  path: string,
  key: string,
  credential: Credential | undefined,
): Promise<void> {
  const lock = attempt(path, () => openDirectory(path));
  try {
    await lockFile(lock, dirname(path));
    edit(path, key, credential);
  } finally {
    closeSync(lock);
  }
}

function edit(path: string, key: string, credential: Credential | undefined): void {
  const top = readObject(path) ?? {};
  const auths = new Map(entriesOf(top, "auths"));
  if (credential === undefined) auths.delete(key);
  else auths.set(key, formatAuth(credential));
  const text = `${JSON.stringify({ ...top, auths: Object.fromEntries(auths) }, null, "\t")}\n`;
  attempt(path, () => replaceFile(path, text));
}

function openDirectory(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return openSync(dirname(path), "r");
}

function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new TareError("no_permission", `Cannot write "${path}": ${reasonOf(cause)}`, {
      cause,
    });
  }
}

function replaceFile(path: string, text: string): void {
  const target =
    statSync(path, { throwIfNoEntry: false }) === undefined ? path : realpathSync(path);
  const aside = `${target}.${process.pid}-${crypto.randomUUID()}`;
  const fd = openSync(aside, "wx", 0o600);
  try {
    writeWhole(fd, text);
    fsyncSync(fd);
    renameSync(aside, target);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function readObject(path: string): Json | undefined {
  let text: string;
  try {
    text = readSmall(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new TareError("bad_input", `Cannot read "${path}": ${reasonOf(cause)}`, {
      cause,
    });
  }
  if (text.trim() === "") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isObject(value)) return value;
  } catch {
    // The error below says it.
  }
  throw new TareError("bad_input", `Cannot read "${path}": it is no JSON object`);
}

function readSmall(path: string): string {
  const fd = openSync(path, "r");
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX) throw new Error("it is no small file");
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function entriesOf(top: Json, key: string): [string, unknown][] {
  const value = top[key];
  return isObject(value) ? Object.entries(value) : [];
}

/**
 * `https://host/v1/` is `host`, as docker reads its old files; `host/path` without a scheme is podman's
 * key for a part of a registry, and stays.
 */
function normalise(key: string): string {
  const scheme = key.indexOf("://");
  const bare = scheme < 0 ? key : key.slice(scheme + 3);
  const slash = bare.indexOf("/");
  const host = slash < 0 ? bare : bare.slice(0, slash);
  if (host === "index.docker.io" || bare === "docker.io") return HUB_KEY;
  const path = bare.slice(host.length);
  return scheme >= 0 || /^\/(?:v[12]\/?)?$/.test(path) ? host : bare;
}

function readAuth(value: unknown): Credential | undefined {
  if (!isObject(value)) return undefined;
  const { auth, username, password, identitytoken } = value;
  const [user, secret] = decodeAuth(auth) ?? [textOf(username), textOf(password)];
  const token = textOf(identitytoken);
  if (token !== "") return { kind: "identity-token", username: user, token };
  return user === "" ? undefined : { kind: "password", username: user, password: secret };
}

/** base64 of `user:password`; the password may have colons. */
function decodeAuth(auth: unknown): readonly [string, string] | undefined {
  if (typeof auth !== "string" || auth === "") return undefined;
  const text = Buffer.from(auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  // Some writers pad with NUL bytes; docker takes those away.
  return colon < 0 ? undefined : [text.slice(0, colon), text.slice(colon + 1).replaceAll("\0", "")];
}

function formatAuth(credential: Credential): Json {
  const secret = credential.kind === "password" ? credential.password : "";
  const auth = Buffer.from(`${credential.username}:${secret}`, "utf8").toString("base64");
  return credential.kind === "password" ? { auth } : { auth, identitytoken: credential.token };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Part of a program's name: nothing that could be a path. */
function isHelperName(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value);
}
