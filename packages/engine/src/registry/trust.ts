/**
 * Whom TLS connections believe: the system's authorities, those of the settings, and the directories
 * `certs.d/HOST` that docker and podman read (`*.crt` authorities, `*.cert` with `*.key` for a client).
 */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import { reasonOf } from "../host/failure.ts";
import { type RegistrySettings, ruleOf } from "./settings.ts";

/** What Bun's fetch takes. */
export type TlsOptions = {
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized?: boolean;
};

const FILE_BYTES_MAX = 4 * 1024 * 1024;

/** Where distributions keep the system's authorities, as one file. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

export class Trust {
  readonly #settings: RegistrySettings;
  readonly #directories: readonly string[];
  /** One object for each host: connections are kept by it. */
  readonly #known = new Map<string, TlsOptions>();
  #system: readonly string[] | undefined;

  /** `directories` are searched for one with the name of the host, all of them. */
  constructor(settings: RegistrySettings, directories: readonly string[]) {
    this.#settings = settings;
    this.#directories = directories;
  }

  /** For the server of an https address. `insecure` checks nothing. */
  optionsFor(url: URL, insecure: boolean): TlsOptions {
    const key = `${url.host} ${insecure}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const options = this.#read(url, insecure);
    this.#known.set(key, options);
    return options;
  }

  #read(url: URL, insecure: boolean): TlsOptions {
    const rule = ruleOf(this.#settings, url.host);
    const files = this.#directories.flatMap((directory) => filesFor(directory, url));
    const ca = [...rule.ca, ...files.filter((file) => file.endsWith(".crt"))].map(readPem);
    const cert = files.find((file) => file.endsWith(".cert"));
    return {
      ...(insecure ? { rejectUnauthorized: false } : { ca: [...this.#systemBundle(), ...ca] }),
      ...(cert === undefined ? undefined : { cert: readPem(cert), key: readPem(keyOf(cert)) }),
    };
  }

  #systemBundle(): readonly string[] {
    const path = SYSTEM_BUNDLES.find((bundle) => existsSync(bundle));
    this.#system ??= path === undefined ? [] : [readPem(path)];
    return this.#system;
  }
}

/** A host names a directory: it holds nothing that a path could be made of. */
function filesFor(directory: string, url: URL): string[] {
  const names = [url.host, url.port === "" ? `${url.host}:443` : ""];
  return names.flatMap((name) => {
    const place = `${directory}/${name}`;
    if (name === "" || name.startsWith(".") || name.includes("/") || !isDirectory(place)) return [];
    return readdirSync(place)
      .sort()
      .map((file) => `${place}/${file}`);
  });
}

function isDirectory(path: string): boolean {
  // Of a path below a file, stat would throw.
  return existsSync(path) && statSync(path).isDirectory();
}

function keyOf(cert: string): string {
  return `${cert.slice(0, -".cert".length)}.key`;
}

function readPem(path: string): string {
  try {
    const stat = statSync(path);
    if (!stat.isFile() || stat.size > FILE_BYTES_MAX) throw new Error("it is no file of PEM");
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new TareError("bad_input", `Cannot read certificate "${path}": ${reasonOf(cause)}`, {
      cause,
    });
  }
}
