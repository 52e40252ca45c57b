/**
 * Names and passwords of registries: docker's `config.json` and its credential helpers, read and
 * written as docker does, so that both log in once. What is kept under one host never goes to another.
 */
import type { Credential } from "./credential.ts";
import { askHelper, eraseFromHelper, storeInHelper } from "./credential-helper.ts";
import { type ConfigFile, editConfigFile, HUB_KEY, readConfigFile } from "./docker-config.ts";

export type CredentialPlaces = {
  /** Docker's `config.json`, there or not. */
  readonly file: string;
  /** Where helpers are looked for, as PATH has it, and what they are given. */
  readonly env: Readonly<Record<string, string>>;
};

export class Credentials {
  readonly #places: CredentialPlaces;

  constructor(places: CredentialPlaces) {
    this.#places = places;
  }

  /** Where passwords lie that no helper keeps. */
  get file(): string {
    return this.#places.file;
  }

  /**
   * What is kept for a registry. `repository` finds what podman keeps for a part of one.
   * @throws TareError `bad_input` for a file that cannot be read; `system` for a helper that failed
   */
  async find(registry: string, repository = ""): Promise<Credential | undefined> {
    const config = readConfigFile(this.#places.file);
    const helper = helperOf(config, registry);
    if (helper !== undefined) {
      const found = await askHelper(helper, keyOf(registry), this.#places.env);
      if (found !== undefined) return found;
    }
    for (const key of keysFor(registry, repository)) {
      const found = config.auths.get(key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Keeps a credential; answers where: a helper's name, or undefined for the file, where all can read it who read the file. */
  async keep(registry: string, credential: Credential): Promise<string | undefined> {
    const helper = helperOf(readConfigFile(this.#places.file), registry);
    if (helper === undefined) {
      await editConfigFile(this.#places.file, keyOf(registry), credential);
      return undefined;
    }
    await storeInHelper(helper, keyOf(registry), credential, this.#places.env);
    return helper;
  }

  /** Forgets what is kept; answers whether there was something. */
  async drop(registry: string): Promise<boolean> {
    const config = readConfigFile(this.#places.file);
    const helper = helperOf(config, registry);
    const key = keyOf(registry);
    const kept =
      helper !== undefined && (await askHelper(helper, key, this.#places.env)) !== undefined;
    if (helper !== undefined && kept) await eraseFromHelper(helper, key, this.#places.env);
    const written = config.spellings.get(key) ?? [];
    for (const spelling of written) await editConfigFile(this.#places.file, spelling, undefined);
    return kept || written.length > 0;
  }
}

function helperOf(config: ConfigFile, registry: string): string | undefined {
  const own = config.helpers.get(keyOf(registry)) ?? config.helpers.get(registry);
  return own ?? config.store;
}

/** Docker's key of a registry. */
function keyOf(registry: string): string {
  return registry === "docker.io" ? HUB_KEY : registry;
}

/** The narrowest first. */
function keysFor(registry: string, repository: string): string[] {
  const parts = repository.split("/").filter((part) => part !== "");
  const narrow = parts.map((_part, at) =>
    [registry, ...parts.slice(0, parts.length - at)].join("/"),
  );
  return [...narrow, keyOf(registry), registry];
}
