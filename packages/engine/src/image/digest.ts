/** What the store does with digests: it hashes with SHA-256 and takes no other. */
import { type Digest, digestHex, makeDigest } from "@tare/spec/digest.ts";

/** SHA-256 of a text or of bytes. */
export function digestOf(content: string | Uint8Array): Digest {
  return finishDigest(new Bun.CryptoHasher("sha256").update(content));
}

/** The digest of all that a hasher was fed. */
export function finishDigest(hasher: Bun.CryptoHasher): Digest {
  return makeDigest("sha256", hasher.digest("hex"));
}

/** Twelve digits, as people know ids. */
export function shortDigest(digest: Digest): string {
  return digestHex(digest).slice(0, 12);
}

/**
 * The chain ids of a stack of layers, bottom first: each names a layer together with all below it.
 * Source: OCI image-spec, config.md, "Layer ChainID".
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}

/** Whether the text can be the start of an id: 0-9 and a-f, at most 64 of them. */
export function isIdStart(text: string): boolean {
  const ID_LENGTH = 64;
  if (text === "" || text.length > ID_LENGTH) return false;
  for (const char of text) {
    if (!((char >= "0" && char <= "9") || (char >= "a" && char <= "f"))) return false;
  }
  return true;
}
