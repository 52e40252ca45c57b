/**
 * Digests: `sha256:<64 hex>` and `sha512:<128 hex>`, lower case. Nothing else is ever one, so a
 * `Digest` can stand in a path or a URL. Source: image-spec 1.1, descriptor.md, "Digests".
 */
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";

declare const brand: unique symbol;

/** A text that `parseDigest` has let through. */
export type Digest = string & { readonly [brand]: "Digest" };

export type DigestAlgorithm = "sha256" | "sha512";

const HEX_LENGTH: { readonly [name in DigestAlgorithm]: number } = { sha256: 64, sha512: 128 };

/** The digest of a text. Throws `bad_input` for everything but the two forms above. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new TareError(
    "bad_input",
    `Cannot parse digest ${quoteJson(text)}: want sha256:<64 hex digits> or sha512:<128 hex digits>`,
  );
}

/** Whether `parseDigest` would take the text. */
export function isDigest(text: string): text is Digest {
  return isHash(text, "sha256") || isHash(text, "sha512");
}

/** The digest of a hash that was computed: lower-case hex of the right length, else `internal`. */
export function makeDigest(algorithm: DigestAlgorithm, hex: string): Digest {
  const text = `${algorithm}:${hex}`;
  if (isDigest(text)) return text;
  throw new TareError("internal", `no ${algorithm} hash: ${quoteJson(hex)}`);
}

/** The name before the colon. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.charCodeAt(3) === 0x32 ? "sha256" : "sha512";
}

/** The hexadecimal digits behind the colon. */
export function digestHex(digest: Digest): string {
  return digest.slice(7);
}

/** Whether the text is 64 lower-case hexadecimal digits: the short way to name an image by its id. */
export function isSha256Hex(text: string): boolean {
  return text.length === HEX_LENGTH.sha256 && isHex(text, 0);
}

function isHash(text: string, algorithm: DigestAlgorithm): boolean {
  const start = algorithm.length + 1;
  if (text.length !== start + HEX_LENGTH[algorithm]) return false;
  return text.startsWith(`${algorithm}:`) && isHex(text, start);
}

function isHex(text: string, start: number): boolean {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const isDigit = code >= 0x30 && code <= 0x39;
    if (!isDigit && (code < 0x61 || code > 0x66)) return false;
  }
  return true;
}
