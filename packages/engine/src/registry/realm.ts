/**
 * Whether a password may be sent to the token server that a registry names. A registry can be made to
 * name any (oras CVE-2026-50151 and its kin): only itself, what belongs to it by name, and what the
 * settings allow gets one. Others are asked without a password. Pure.
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
  return usualPort && isRelated(realm.hostname, registry.hostname) ? "trusted" : "anonymous";
}

/** The registry's host itself, one above it, or one beside it: registry.example.com and example.com or auth.example.com. */
function isRelated(host: string, registry: string): boolean {
  if (host === registry || registry.endsWith(`.${host}`)) return host.includes(".");
  const [above, other] = [parentOf(registry), parentOf(host)];
  return above !== undefined && above === other && !isPublicSuffix(above);
}

function parentOf(host: string): string | undefined {
  const dot = host.indexOf(".");
  const parent = dot < 0 ? "" : host.slice(dot + 1);
  return parent.includes(".") && !isAddress(host) ? parent : undefined;
}

function isAddress(host: string): boolean {
  return host.startsWith("[") || /^[0-9.]+$/.test(host);
}

/** Names right below which strangers have names: `co.uk` and its like. */
function isPublicSuffix(name: string): boolean {
  const [second = "", top = "", more] = name.split(".");
  return more === undefined && top.length === 2 && second.length <= 3;
}
