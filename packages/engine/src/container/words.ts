/**
 * What a container's caller said of how it runs, kept beside the container: an image that is made of
 * it runs so by default, as in Docker.
 */
import { readFileSync } from "node:fs";
import type { RunConfig } from "../image/changes.ts";
import type { Store } from "../store/store.ts";
import { containerPath } from "./records.ts";
import type { ContainerRequest } from "./request.ts";

/** What is absent is the image's. */
export type Words = {
  readonly entrypoint?: readonly string[] | undefined;
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly user?: string | undefined;
  readonly workingDir?: string | undefined;
};

/** The words of a request. */
export function wordsOf(request: ContainerRequest): Words {
  const { entrypoint, command, env, user, workingDir } = request;
  return { entrypoint, command, env, user, workingDir };
}

/** Of a container; one that an older version made has said nothing. */
export function readWords(store: Store, id: string): Words {
  try {
    return JSON.parse(readFileSync(`${containerPath(store, id)}/words.json`, "utf8")) as Words;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return { command: [], env: [] };
  }
}

/** An image's configuration as the words change it; a given entrypoint drops the image's command. */
export function applyWords(config: RunConfig, words: Words): RunConfig {
  const { Cmd, ...others } = config;
  const command = words.command.length > 0 ? { Cmd: words.command } : {};
  const inherited = words.entrypoint === undefined && Cmd !== undefined ? { Cmd } : {};
  return {
    ...others,
    ...inherited,
    ...command,
    ...(words.entrypoint === undefined ? {} : { Entrypoint: words.entrypoint }),
    ...(words.env.length === 0 ? {} : { Env: mergeEnvironment(config.Env, words.env) }),
    ...(words.user === undefined ? {} : { User: words.user }),
    ...(words.workingDir === undefined ? {} : { WorkingDir: words.workingDir }),
  };
}

/** A name alone takes the variable away. */
function mergeEnvironment(image: unknown, words: readonly string[]): string[] {
  const entries = Array.isArray(image) ? image.filter((entry) => typeof entry === "string") : [];
  const values = new Map(entries.map((entry) => [nameOf(entry), entry]));
  for (const word of words) {
    if (word.includes("=")) values.set(nameOf(word), word);
    else values.delete(word);
  }
  return [...values.values()];
}

function nameOf(entry: string): string {
  const at = entry.indexOf("=");
  return at < 0 ? entry : entry.slice(0, at);
}
