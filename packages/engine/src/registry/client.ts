/** All that talking to registries needs, put together once: settings, passwords, connections, time. */
import { readFileSync, statSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import { Credentials } from "./credentials.ts";
import { checkAllowed } from "./endpoints.ts";
import type { ProxySettings } from "./proxy.ts";
import { DEFAULT_SETTINGS, parseSettings, type RegistrySettings } from "./settings.ts";
import { REAL_TIMING, type Timing } from "./transient.ts";
import { Transport } from "./transport.ts";
import { Trust } from "./trust.ts";

export type RegistryClient = {
  readonly settings: RegistrySettings;
  readonly credentials: Credentials;
  readonly transport: Transport;
  readonly timing: Timing;
};

export type ClientOptions = {
  readonly settings: RegistrySettings;
  /** Docker's `config.json`. */
  readonly credentialsFile: string;
  /** For credential helpers. */
  readonly env: Readonly<Record<string, string>>;
  /** Directories such as /etc/docker/certs.d. */
  readonly certificateDirectories: readonly string[];
  readonly proxies: ProxySettings;
  readonly userAgent: string;
  readonly timing?: Timing;
};

const SETTINGS_BYTES_MAX = 1024 * 1024;

/** Opens nothing and asks nobody. */
export function makeClient(options: ClientOptions): RegistryClient {
  const { settings, proxies, userAgent, timing = REAL_TIMING } = options;
  const trust = new Trust(settings, options.certificateDirectories);
  const { stallMs } = settings.transfer;
  return {
    settings,
    credentials: new Credentials({ file: options.credentialsFile, env: options.env }),
    transport: new Transport({
      ...{ trust, proxies, stallMs, userAgent, timing },
      checkAllowed: (host) => checkAllowed(settings, host),
    }),
    timing,
  };
}

/**
 * The settings of a file; those of no file where it is absent, unless it was `asked` for by name.
 * @throws TareError `bad_input`, `not_found`
 */
export function readSettings(path: string, asked: boolean): RegistrySettings {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    if (!asked) return DEFAULT_SETTINGS;
    throw new TareError("not_found", `Cannot read the settings: there is no file "${path}"`);
  }
  if (!stat.isFile() || stat.size > SETTINGS_BYTES_MAX) {
    throw new TareError("bad_input", `Cannot read the settings: "${path}" is no small file`);
  }
  return parseSettings(readFileSync(path, "utf8"), path);
}
