/**
 * Where a repository is served: mirrors first, then the registry itself. Pure. What is pulled from a
 * mirror by digest is checked as everything is; which manifest a tag is, a mirror may be asked or not.
 */
import { TareError } from "@tare/spec/error.ts";
import type { Reference } from "@tare/spec/reference.ts";
import { bareHost, isLoopback } from "./proxy.ts";
import { type RegistrySettings, ruleOf } from "./settings.ts";

export type Endpoint = {
  /** The name that its credentials are kept under: host or host:port. */
  readonly registry: string;
  /** `scheme://host[:port]`, in the order in which they are tried until one answers. */
  readonly origins: readonly string[];
  /** The repository's path there. */
  readonly repository: string;
  readonly mirror: boolean;
  /** Passwords may go over http, certificates need not hold. */
  readonly insecure: boolean;
  readonly tokenServers: readonly string[];
};

/** What is wanted: to learn what a tag is, to fetch what a digest names, or to write. */
export type Purpose = "resolve" | "fetch" | "push";

const HUB = "docker.io";
/** Where the hub's registry is, and who signs its tokens. */
const HUB_URL = "https://registry-1.docker.io";
const HUB_TOKEN_SERVER = "auth.docker.io";

/**
 * The endpoints in the order in which they are asked; at least one.
 * @throws TareError `no_permission` for a blocked registry; `bad_input` where its name is no host
 */
export function endpointsOf(
  settings: RegistrySettings,
  reference: Pick<Reference, "domain" | "path">,
  purpose: Purpose,
): readonly Endpoint[] {
  const { domain, path } = reference;
  const rule = ruleOf(settings, domain);
  const own = registryEndpoint(settings, domain, path);
  const asked = purpose === "fetch" || (purpose === "resolve" && rule.mirrorTags);
  if (!asked) return [own];
  return [...rule.mirrors.map((mirror) => mirrorEndpoint(settings, mirror, path)), own];
}

/**
 * A registry by its name, with a repository's path or with none.
 * @throws TareError `no_permission` for a blocked registry; `bad_input` where the name is no host
 */
export function registryEndpoint(
  settings: RegistrySettings,
  domain: string,
  path: string,
): Endpoint {
  checkAllowed(settings, domain);
  const rule = ruleOf(settings, domain);
  const given = rule.url ?? (domain === HUB ? HUB_URL : undefined);
  const tokenServers =
    domain === HUB && rule.url === undefined
      ? [HUB_TOKEN_SERVER, ...rule.tokenServers]
      : rule.tokenServers;
  if (given !== undefined) {
    const url = new URL(given);
    const insecure = rule.insecure || url.protocol === "http:";
    const repository = prefixed(url, path);
    return {
      registry: domain,
      origins: [url.origin],
      repository,
      mirror: false,
      insecure,
      tokenServers,
    };
  }
  const { hostname } = parseHost(domain);
  const insecure = rule.insecure || isLoopback(bareHost(hostname));
  return {
    registry: domain,
    origins: insecure ? [`https://${domain}`, `http://${domain}`] : [`https://${domain}`],
    repository: path,
    mirror: false,
    insecure,
    tokenServers,
  };
}

/** @throws TareError `no_permission` where the settings block the registry, or host, of that name */
export function checkAllowed(settings: RegistrySettings, domain: string): void {
  if (!ruleOf(settings, domain).blocked) return;
  throw new TareError("no_permission", `Cannot use registry "${domain}": the settings block it`);
}

/** Names of images allow more than addresses do, such as 256.0.0.1. */
function parseHost(domain: string): URL {
  const text = `https://${domain}`;
  if (URL.canParse(text)) return new URL(text);
  throw new TareError(
    "bad_input",
    `Cannot use registry "${domain}": it is neither host nor address`,
  );
}

function mirrorEndpoint(settings: RegistrySettings, mirror: string, path: string): Endpoint {
  const url = new URL(mirror);
  const rule = ruleOf(settings, url.host);
  return {
    registry: url.host,
    origins: [url.origin],
    repository: prefixed(url, path),
    mirror: true,
    // A mirror's address is written by the administrator, its scheme too.
    insecure: rule.insecure || url.protocol === "http:",
    tokenServers: rule.tokenServers,
  };
}

/** `https://mirror/hub` has `library/alpine` as `hub/library/alpine`. */
function prefixed(url: URL, path: string): string {
  const prefix = url.pathname
    .split("/")
    .filter((part) => part !== "")
    .join("/");
  return prefix === "" ? path : `${prefix}/${path}`;
}
