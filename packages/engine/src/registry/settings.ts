/**
 * The one file that says how registries are reached: mirrors, insecure ones, certificates, short names.
 * TOML, as other engines have it for this. It is the administrator's: what it does not know is an error.
 */
import { TareError } from "@tare/spec/error.ts";
import { isTag, parseNamed } from "@tare/spec/reference.ts";

export type RegistrySettings = {
  /** The registry of names without a host. */
  readonly defaultRegistry: string;
  /** Short names that stand for a repository, such as `tools` for `quay.io/team/tools`. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly transfer: TransferSettings;
  /** By host, or host:port. */
  readonly registries: ReadonlyMap<string, RegistryRule>;
};

export type TransferSettings = {
  /** Layers at the same time. */
  readonly parallel: number;
  /** How often a request that failed for a passing reason is made again. */
  readonly retries: number;
  /** A transfer that carries nearly nothing for so long is given up. */
  readonly stallMs: number;
};

export type RegistryRule = {
  /** Where it is, if not at its name: `https://host[:port][/prefix]`. */
  readonly url?: string;
  /** Asked in this order, before the registry itself, for what is pulled. */
  readonly mirrors: readonly string[];
  /** Whether mirrors are believed which manifest a tag is; else the registry is asked that. */
  readonly mirrorTags: boolean;
  /** Certificates are not checked, and http is tried where https does not answer. */
  readonly insecure: boolean;
  /** It is not spoken to: no pull, push, login or search, no layer from an address there. */
  readonly blocked: boolean;
  /** Files with certificates of authorities, beside the system's. */
  readonly ca: readonly string[];
  /** Hosts that may be given its passwords in exchange for a token. */
  readonly tokenServers: readonly string[];
};

export const NO_RULE: RegistryRule = {
  mirrors: [],
  mirrorTags: true,
  insecure: false,
  blocked: false,
  ca: [],
  tokenServers: [],
};

export const DEFAULT_SETTINGS: RegistrySettings = {
  defaultRegistry: "docker.io",
  aliases: new Map(),
  transfer: { parallel: 3, retries: 5, stallMs: 30_000 },
  registries: new Map(),
};

const PARALLEL_MAX = 32;
const RETRIES_MAX = 100;
const STALL_SECONDS_MAX = 3600;

/**
 * The settings of a file's text; `path` is for errors.
 * @throws TareError `bad_input`, naming the key
 */
export function parseSettings(text: string, path: string): RegistrySettings {
  const top = new Table(parseToml(text, path), path, "");
  const transfer = top.table("transfer");
  const defaults = DEFAULT_SETTINGS.transfer;
  const settings: RegistrySettings = {
    defaultRegistry: readHost(top, "default-registry") ?? DEFAULT_SETTINGS.defaultRegistry,
    aliases: readAliases(top.table("aliases")),
    transfer: {
      parallel: transfer.integer("parallel", 1, PARALLEL_MAX) ?? defaults.parallel,
      retries: transfer.integer("retries", 0, RETRIES_MAX) ?? defaults.retries,
      stallMs: (transfer.integer("stall-seconds", 1, STALL_SECONDS_MAX) ?? 30) * 1000,
    },
    registries: readRegistries(top.table("registry")),
  };
  transfer.end();
  top.end();
  return settings;
}

/** The rule of a registry; what no file speaks of has none. */
export function ruleOf(settings: RegistrySettings, registry: string): RegistryRule {
  return settings.registries.get(registry) ?? NO_RULE;
}

/** A name as people type it, with the alias or the registry that it stands for; a complete one stays. */
export function expandShortName(settings: RegistrySettings, text: string): string {
  const end = firstOf(text, ["@", ":"]);
  const alias = settings.aliases.get(text.slice(0, end));
  if (alias !== undefined) return alias + text.slice(end);
  if (settings.defaultRegistry === DEFAULT_SETTINGS.defaultRegistry || text.includes("\0"))
    return text;
  const slash = text.indexOf("/");
  const head = slash < 0 ? "" : text.slice(0, slash);
  const isHost = head.includes(".") || head.includes(":") || head === "localhost";
  return isHost ? text : `${settings.defaultRegistry}/${text}`;
}

function firstOf(text: string, marks: readonly string[]): number {
  const places = marks.map((mark) => text.indexOf(mark)).filter((at) => at >= 0);
  return places.length === 0 ? text.length : Math.min(...places);
}

function parseToml(text: string, path: string): unknown {
  try {
    return Bun.TOML.parse(text);
  } catch (cause) {
    const { message, line } = cause as Error & { line?: number };
    const where = line === undefined ? "" : `, line ${line}`;
    const why = message.replace("TOML Parse error: ", "");
    throw new TareError("bad_input", `Cannot read "${path}"${where}: ${why}`, { cause });
  }
}

function readAliases(table: Table): ReadonlyMap<string, string> {
  const aliases = new Map<string, string>();
  for (const name of table.keys()) {
    const target = table.text(name) ?? "";
    const isShort = !name.includes("/") && isTag(name);
    if (!isShort) table.fail(name, "an alias is a name without registry, tag and digest");
    const { tag, digest } = table.attempt(name, () => parseNamed(target));
    if ((tag ?? digest) !== undefined)
      table.fail(name, "want a repository, without tag and digest");
    aliases.set(name, target);
  }
  return aliases;
}

function readRegistries(table: Table): ReadonlyMap<string, RegistryRule> {
  const registries = new Map<string, RegistryRule>();
  for (const name of table.keys()) {
    const inner = table.table(name);
    checkHost(inner, "", name);
    registries.set(name, readRule(inner));
    inner.end();
  }
  return registries;
}

function readRule(table: Table): RegistryRule {
  const url = table.text("url");
  if (url !== undefined) checkUrl(table, "url", url);
  const mirrors = table.texts("mirrors");
  for (const mirror of mirrors) checkUrl(table, "mirrors", mirror);
  const tokenServers = table.texts("token-servers");
  for (const server of tokenServers) checkHost(table, "token-servers", server);
  const ca = table.texts("ca");
  for (const file of ca) if (!file.startsWith("/")) table.fail("ca", "want absolute paths");
  return {
    ...(url === undefined ? undefined : { url }),
    mirrors,
    mirrorTags: table.boolean("mirror-tags") ?? true,
    insecure: table.boolean("insecure") ?? false,
    blocked: table.boolean("blocked") ?? false,
    ca,
    tokenServers,
  };
}

function readHost(table: Table, key: string): string | undefined {
  const host = table.text(key);
  if (host !== undefined) checkHost(table, key, host);
  return host;
}

/** A host with an optional port, as it stands in front of an image's name. */
function checkHost(table: Table, key: string, host: string): void {
  const { domain } = table.attempt(key, () => parseNamed(`${host}/a/b`));
  if (domain !== host)
    table.fail(key, `"${host}" is no host: want one such as registry.example:5000`);
}

function checkUrl(table: Table, key: string, text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url?.protocol === "https:" || url?.protocol === "http:";
  if (url === undefined || !isWeb || url.username !== "" || url.search !== "" || url.hash !== "") {
    table.fail(key, `"${text}" is no address: want one such as https://mirror.example/prefix`);
  }
}

/** A table of the file, which knows which of its keys were asked for. */
class Table {
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #path: string;
  readonly #prefix: string;
  readonly #asked = new Set<string>();

  constructor(value: unknown, path: string, prefix: string) {
    this.#path = path;
    this.#prefix = prefix;
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isTable) this.fail("", "want a table");
    this.#fields = new Map(Object.entries(value));
  }

  keys(): string[] {
    return [...this.#fields.keys()];
  }

  table(key: string): Table {
    return new Table(this.#take(key) ?? {}, this.#path, this.#name(key));
  }

  text(key: string): string | undefined {
    return this.#of(key, (value) => typeof value === "string" && !value.includes("\0"), "a text");
  }

  boolean(key: string): boolean | undefined {
    return this.#of(key, (value) => typeof value === "boolean", "true or false");
  }

  integer(key: string, min: number, max: number): number | undefined {
    const fits = (value: unknown) =>
      Number.isInteger(value) && Number(value) >= min && Number(value) <= max;
    return this.#of(key, fits, `a whole number from ${min} to ${max}`);
  }

  texts(key: string): readonly string[] {
    const isText = (value: unknown) => typeof value === "string" && !value.includes("\0");
    const fits = (value: unknown) => Array.isArray(value) && value.every(isText);
    return this.#of<readonly string[]>(key, fits, "a list of texts") ?? [];
  }

  /** Runs what may find fault with the value of a key. */
  attempt<T>(key: string, run: () => T): T {
    try {
      return run();
    } catch (error) {
      return this.fail(key, error instanceof Error ? error.message : String(error));
    }
  }

  /** @throws TareError where there is a key that nothing asked for. */
  end(): void {
    const unknown = this.keys().find((key) => !this.#asked.has(key));
    if (unknown !== undefined) this.fail(unknown, "there is no such setting");
  }

  fail(key: string, why: string): never {
    throw new TareError("bad_input", `Cannot use ${this.#name(key)} of "${this.#path}": ${why}`);
  }

  #name(key: string): string {
    if (key === "") return this.#prefix === "" ? "the settings" : this.#prefix;
    return this.#prefix === "" ? key : `${this.#prefix}.${key}`;
  }

  #take(key: string): unknown {
    this.#asked.add(key);
    return this.#fields.get(key);
  }

  #of<T>(key: string, fits: (value: unknown) => boolean, want: string): T | undefined {
    const value = this.#take(key);
    if (value === undefined) return undefined;
    return fits(value) ? (value as T) : this.fail(key, `want ${want}`);
  }
}
