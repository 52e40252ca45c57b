/**
 * Whether a password may be sent to the token server that a registry names. A registry can be made to
 * name any (oras CVE-2026-50151 and its kin): only itself, what is below it by name, the few that are
 * known, and what the settings allow gets one. Others are asked without a password. Pure.
 */
import type { Endpoint } from "./endpoints.ts";

export type RealmVerdict =
  /** Ask there, with the password. */
  | "trusted"
  /** Ask there as nobody. */
  | "anonymous"
  /** It must not be asked at all. */
  | "refused";

/** `realm` is the token server's address as the registry at `origin` gave it. */
export function judgeRealm(realm: URL, origin: string, endpoint: Endpoint): RealmVerdict {
  const registry = new URL(origin);
  if (realm.protocol !== "https:" && realm.protocol !== "http:") return "refused";
  const isSame = realm.origin === registry.origin;
  // Else who listens on the way, or has broken into the registry, could send us back to plain text.
  if (realm.protocol === "http:" && !endpoint.insecure) return "refused";
  if (isSame || endpoint.tokenServers.includes(realm.host)) return "trusted";
  // Another port of a host may be another user's.
  const usualPort = realm.port === "" && registry.port === "" && realm.protocol === "https:";
  return usualPort && isOwn(realm.hostname, registry.hostname) ? "trusted" : "anonymous";
}

/**
 * Token servers that public registries name in their challenges, where the name alone does not show
 * whose they are.
 */
const KNOWN_TOKEN_SERVERS: ReadonlyMap<string, string> = new Map([
  ["registry-1.docker.io", "auth.docker.io"],
  ["registry.gitlab.com", "gitlab.com"],
  ["docker.elastic.co", "docker-auth.elastic.co"],
]);

/**
 * The registry's host itself or one below it. Never one above or beside it: at a provider whose
 * customers have a name each (a.registry.example, b.registry.example) that one is a stranger.
 */
function isOwn(host: string, registry: string): boolean {
  if (host === registry || KNOWN_TOKEN_SERVERS.get(registry) === host) return true;
  return registry.includes(".") && host.endsWith(`.${registry}`);
}
