/**
 * Names of images as people type them: `alpine`, `quay.io:443/a/b:v1@sha256:...`. The grammar and
 * the rules that complete a short name are those of github.com/distribution/reference, by hand and
 * linear: a name may come from a Dockerfile, a label or the network.
 */
import { type Digest, isDigest, isSha256Hex } from "./digest.ts";
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";

/** A complete name: which registry, which repository there, which image of it. */
export type Reference = {
  /** A host with an optional port, as in `docker.io` or `[::1]:5000`. */
  readonly domain: string;
  /** Lower-case components with slashes between, as in `library/alpine`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
};

const DEFAULT_DOMAIN = "docker.io";
const LEGACY_DOMAIN = "index.docker.io";
const OFFICIAL = "library/";
const DEFAULT_TAG = "latest";

const PATH_LENGTH_MAX = 255;
const TAG_LENGTH_MAX = 128;
const DOMAIN_LENGTH_MAX = 255;

/** The longest reference there can be, and some. */
const TEXT_LENGTH_MAX = 1024;

/** A complete name; with neither tag nor digest the tag is `latest`. Throws `bad_input`. */
export function parseReference(text: string): Reference {
  const reference = parseNamed(text);
  const isOpen = reference.tag === undefined && reference.digest === undefined;
  return isOpen ? { ...reference, tag: DEFAULT_TAG } : reference;
}

/** As `parseReference`, and a name without tag and digest stays so: it means the repository. */
export function parseNamed(text: string): Reference {
  if (text.length > TEXT_LENGTH_MAX) fail(text, `more than ${TEXT_LENGTH_MAX} characters`);
  if (text === "") fail(text, "it is empty");
  if (isSha256Hex(text)) fail(text, "64 hexadecimal digits are an image id, not a name");
  const [domain, remainder] = splitDomain(text);
  const at = remainder.indexOf("@");
  const name = at < 0 ? remainder : remainder.slice(0, at);
  const colon = name.indexOf(":");
  const path = completePath(domain, colon < 0 ? name : name.slice(0, colon));
  checkDomain(text, domain);
  checkPath(text, path);
  const tag = colon < 0 ? undefined : name.slice(colon + 1);
  if (tag !== undefined && !isTag(tag)) fail(text, `${quoteJson(tag)} is no tag`);
  const digest = at < 0 ? undefined : remainder.slice(at + 1);
  if (digest === undefined) return tag === undefined ? { domain, path } : { domain, path, tag };
  if (!isDigest(digest)) fail(text, `${quoteJson(digest)} is no digest`);
  return tag === undefined ? { domain, path, digest } : { domain, path, tag, digest };
}

/** The complete text, which parses to the same reference. */
export function formatReference(reference: Reference): string {
  return repositoryName(reference) + suffix(reference);
}

/** The complete name of the repository, without tag and digest. */
export function repositoryName(reference: Reference): string {
  return `${reference.domain}/${reference.path}`;
}

/** The shortest text, which parses to the same reference: `alpine:latest`. */
export function formatFamiliar(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

/** The shortest name of the repository, without tag and digest: `alpine`. */
export function familiarName(reference: Reference): string {
  const { domain, path } = reference;
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const rest = path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path;
  const short = rest.includes("/") ? path : rest;
  // Short enough to be taken for a host or an image id.
  const isOther = hostOf(short) !== undefined || isSha256Hex(short);
  return isOther ? `${domain}/${short}` : short;
}

/** Whether a text can be a tag: a word character, then up to 127 of those, dots and dashes. */
export function isTag(text: string): boolean {
  if (text.length === 0 || text.length > TAG_LENGTH_MAX) return false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const isInner = at > 0 && (code === DOT || code === DASH);
    if (!isInner && !isLetterOrDigit(code) && code !== UNDERSCORE) return false;
  }
  return true;
}

const DOT = 0x2e;
const DASH = 0x2d;
const UNDERSCORE = 0x5f;
const COLON = 0x3a;

function fail(text: string, why: string): never {
  throw new TareError("bad_input", `Cannot parse image name ${quoteJson(text)}: ${why}`);
}

function suffix(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}

/** What is in front of the first slash, if it can be no directory on the default host. */
function hostOf(text: string): string | undefined {
  const slash = text.indexOf("/");
  const head = slash < 0 ? "" : text.slice(0, slash);
  const isDotted = head.includes(".") || head.includes(":");
  const isHost = isDotted || head === "localhost" || head.toLowerCase() !== head;
  return isHost ? head : undefined;
}

function splitDomain(text: string): readonly [domain: string, remainder: string] {
  const host = hostOf(text);
  if (host === undefined) return [DEFAULT_DOMAIN, text];
  return [host === LEGACY_DOMAIN ? DEFAULT_DOMAIN : host, text.slice(host.length + 1)];
}

/** On the default host a path of one component is an official image. */
function completePath(domain: string, path: string): string {
  return domain === DEFAULT_DOMAIN && !path.includes("/") ? OFFICIAL + path : path;
}

function checkDomain(text: string, domain: string): void {
  const colon = domain.endsWith("]") ? -1 : domain.lastIndexOf(":");
  const host = colon < 0 ? domain : domain.slice(0, colon);
  const isGood = host.startsWith("[") ? isBracketed(host) : host.split(".").every(isHostLabel);
  if (!isGood || domain.length > DOMAIN_LENGTH_MAX) fail(text, `${quoteJson(domain)} is no host`);
  if (colon >= 0 && !isPort(domain.slice(colon + 1))) {
    fail(text, `${quoteJson(domain)} has no port that can be`);
  }
}

function isPort(text: string): boolean {
  if (text.length === 0 || text.length > 5) return false;
  for (let at = 0; at < text.length; at++) if (!isDigit(text.charCodeAt(at))) return false;
  return Number(text) <= 65535;
}

/** Letters, digits and inner dashes. */
function isHostLabel(label: string): boolean {
  if (label === "" || label.startsWith("-") || label.endsWith("-")) return false;
  for (let at = 0; at < label.length; at++) {
    const code = label.charCodeAt(at);
    if (!isLetterOrDigit(code) && code !== DASH) return false;
  }
  return true;
}

/** An IPv6 address without zone: hexadecimal digits and colons in brackets. */
function isBracketed(host: string): boolean {
  if (!host.endsWith("]") || host.length < 3) return false;
  for (let at = 1; at < host.length - 1; at++) {
    const code = host.charCodeAt(at);
    const lower = code | 0x20;
    const isHex = isDigit(code) || (lower >= 0x61 && lower <= 0x66);
    if (!isHex && code !== COLON) return false;
  }
  return true;
}

function checkPath(text: string, path: string): void {
  if (path.length > PATH_LENGTH_MAX) {
    fail(text, `the repository has more than ${PATH_LENGTH_MAX} characters`);
  }
  if (path.toLowerCase() !== path) fail(text, "a repository has no upper-case letters");
  for (const component of path.split("/")) {
    if (!isPathComponent(component)) fail(text, `${quoteJson(component)} is no part of a name`);
  }
}

/** Runs of a-z and 0-9 with a separator between: a dot, one or two underscores, or dashes. */
function isPathComponent(component: string): boolean {
  let separator = "";
  for (let at = 0; at < component.length; at++) {
    const code = component.charCodeAt(at);
    if (isDigit(code) || (code >= 0x61 && code <= 0x7a)) separator = "";
    else {
      separator += component[at];
      if (at === separator.length - 1 || !isSeparator(separator)) return false;
    }
  }
  return component !== "" && separator === "";
}

function isSeparator(text: string): boolean {
  return text === "." || text === "_" || text === "__" || text === "-".repeat(text.length);
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isLetterOrDigit(code: number): boolean {
  const lower = code | 0x20;
  return isDigit(code) || (lower >= 0x61 && lower <= 0x7a);
}
