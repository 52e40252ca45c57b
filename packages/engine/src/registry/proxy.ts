/**
 * Which proxy a request goes through, by the variables that everybody knows. The rules are those of
 * Go's net/http (golang.org/x/net/http/httpproxy), which the other engines follow.
 */
import { isIP } from "node:net";

export type ProxySettings = {
  /** For http:// and https:// requests: addresses of proxies. */
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  /** Where to go directly: `host`, `.domain`, `address`, `network/bits`, each perhaps with a port; `*`. */
  readonly no: readonly string[];
};

/** From an environment; upper case goes first, as in Go. */
export function proxiesOf(env: ReadonlyMap<string, string>): ProxySettings {
  const look = (name: string) => env.get(name) || env.get(name.toLowerCase()) || undefined;
  const list = (look("NO_PROXY") ?? "").split(",").map((entry) => entry.trim().toLowerCase());
  return {
    http: look("HTTP_PROXY"),
    https: look("HTTPS_PROXY"),
    no: list.filter((entry) => entry !== ""),
  };
}

/** The proxy's address; undefined for a direct connection. A proxy without a scheme speaks http. */
export function proxyFor(url: URL, settings: ProxySettings): string | undefined {
  const proxy = url.protocol === "https:" ? settings.https : settings.http;
  if (proxy === undefined) return undefined;
  const host = bareHost(url.hostname);
  if (isLoopback(host)) return undefined;
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  if (settings.no.some((entry) => matches(entry, host, port))) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

/** Whether a host, without brackets, is this machine itself. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** An address without the brackets that it has in a URL. */
export function bareHost(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  const [wanted, wantedPort] = splitPort(entry);
  if (wantedPort !== undefined && wantedPort !== port) return false;
  if (wanted.includes("/")) return inNetwork(host, wanted);
  if (isIP(bareHost(wanted)) !== 0) return bareHost(wanted) === host;
  if (wanted.startsWith("*.")) return host.endsWith(wanted.slice(1));
  if (wanted.startsWith(".")) return host.endsWith(wanted);
  return host === wanted || host.endsWith(`.${wanted}`);
}

function splitPort(entry: string): readonly [string, string | undefined] {
  if (isIP(entry) === 6) return [entry, undefined];
  const colon = entry.lastIndexOf(":");
  const isPort = colon > 0 && /^[0-9]{1,5}$/.test(entry.slice(colon + 1)) && !entry.includes("/");
  return isPort ? [entry.slice(0, colon), entry.slice(colon + 1)] : [entry, undefined];
}

function inNetwork(host: string, network: string): boolean {
  const [base = "", bits = ""] = network.split("/");
  const [a, b] = [addressBits(host), addressBits(base)];
  const length = Number(bits);
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  if (!/^[0-9]{1,3}$/.test(bits) || length > a.length) return false;
  return a.slice(0, length) === b.slice(0, length);
}

/** An address as a row of 0 and 1. */
function addressBits(address: string): string | undefined {
  const kind = isIP(address);
  if (kind === 4)
    return address
      .split(".")
      .map((part) => binary(Number(part), 8))
      .join("");
  if (kind !== 6 || address.includes(".")) return undefined;
  const [head = "", tail] = address.split("::");
  const groups = (text: string) => (text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const middle =
    tail === undefined ? [] : Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...middle, ...after]
    .map((part) => binary(Number.parseInt(part, 16), 16))
    .join("");
}

function binary(value: number, width: number): string {
  return value.toString(2).padStart(width, "0");
}
