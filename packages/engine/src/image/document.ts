/** Text of manifests, indexes and configurations that come from outside. */
import { TareError } from "@tare/spec/error.ts";

/** Bytes of each, wherever it comes from; registries have the same limit. */
export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024;

/** @throws TareError `corrupt` where the bytes are not UTF-8 */
export function decodeDocument(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TareError("corrupt", `Cannot read ${what}: it is not UTF-8`, { cause });
  }
}
