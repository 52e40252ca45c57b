/** The registry client of the command line: settings, docker's directory, proxies, by the caller's words and environment. */
import { makeClient, type RegistryClient, readSettings } from "@tare/engine/registry/client.ts";
import { proxiesOf } from "@tare/engine/registry/proxy.ts";
import { expandShortName } from "@tare/engine/registry/settings.ts";
import { parseReference, type Reference } from "@tare/spec/reference.ts";
import manifest from "../../package.json" with { type: "json" };
import type { Surroundings } from "./command.ts";
import { settingsFile } from "./short-names.ts";

/** As docker and podman have them; all are read. */
const CERTIFICATES = ["/etc/docker/certs.d", "/etc/containers/certs.d", "/etc/tare/certs.d"];

/** @throws TareError `bad_input`, `not_found` for settings that were named */
export function openRegistries(around: Surroundings): RegistryClient {
  const { env } = around;
  const { path, asked } = settingsFile(around);
  return makeClient({
    settings: readSettings(path, asked),
    credentialsFile: `${dockerDirectory(around)}/config.json`,
    env: Object.fromEntries(env),
    certificateDirectories: [...CERTIFICATES, `${dockerDirectory(around)}/certs.d`],
    proxies: proxiesOf(env),
    userAgent: `tare/${manifest.version} (linux)`,
  });
}

function dockerDirectory({ env, dockerDirectory }: Surroundings): string {
  const home = env.get("HOME") || "/root";
  return dockerDirectory ?? (env.get("DOCKER_CONFIG") || `${home}/.docker`);
}

/** A name as people type it, complete: aliases and the default registry are the settings'. */
export function completeName(client: RegistryClient, word: string): Reference {
  return parseReference(expandShortName(client.settings, word));
}
