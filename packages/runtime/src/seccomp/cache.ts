/**
 * The compiled filter as a file: named by what it was compiled from, whole or not used at all.
 * A digest guards against damage, not against forgery: who may write the directory may do all that
 * the runtime may.
 *
 *   offset  bytes
 *        0      8  "TARESCMP"
 *        8      4  version of the compiler, little endian, as the next two
 *       12      4  audit token of the native architecture
 *       16      4  number of instructions
 *       20     32  SHA-256 that the entry is named by
 *       52         instructions
 *             32  SHA-256 of everything before
 */

import { concatBytes, encodeUtf8, equalBytes } from "@tare/spec/bytes.ts";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { findArchitecture } from "./architectures.ts";
import { INSTRUCTION_BYTES, INSTRUCTIONS_MAX } from "./assembler.ts";

/** Raised by every change after which a profile compiles to another program. */
export const COMPILER_VERSION = 1;

export type Sha256 = (bytes: Uint8Array) => Uint8Array;

export type CacheKey = {
  /** Name of the native architecture. */
  readonly native: string;
  /** SHA-256 of compiler version, architecture and profile. */
  readonly digest: Uint8Array;
};

const MAGIC = encodeUtf8("TARESCMP");
const HEADER_BYTES = 52;
const DIGEST_BYTES = 32;
const DIGEST_AT = 20;

/** The largest entry there can be. */
export const ENTRY_BYTES_MAX = HEADER_BYTES + INSTRUCTIONS_MAX * INSTRUCTION_BYTES + DIGEST_BYTES;

/** The key of a profile, given as the JSON text that says all that counts. */
export function cacheKey(
  profileJson: Uint8Array | string,
  native: string,
  sha256: Sha256,
): CacheKey {
  const profile = typeof profileJson === "string" ? encodeUtf8(profileJson) : profileJson;
  const prefix = encodeUtf8(`${COMPILER_VERSION}\n${native}\n`);
  return { native, digest: sha256(concatBytes([prefix, profile])) };
}

/** A file name for the key: lower-case hex. */
export function entryName(key: CacheKey): string {
  let name = "";
  for (const byte of key.digest) name += byte.toString(16).padStart(2, "0");
  return name;
}

/** What of a profile decides the program, as JSON: equal for profiles that compile alike. */
export function profileText(profile: Seccomp): string {
  const rules = profile.syscalls.map(({ names, action, errnoRet, args }) => [
    names,
    action,
    errnoRet ?? null,
    args.map(({ index, value, valueTwo, op }) => `${index} ${op} ${value} ${valueTwo}`),
  ]);
  const { defaultAction, defaultErrnoRet, architectures } = profile;
  return JSON.stringify([defaultAction, defaultErrnoRet ?? null, architectures, rules]);
}

/** The bytes of an entry. */
export function encodeEntry(key: CacheKey, program: Uint8Array, sha256: Sha256): Uint8Array {
  const header = encodeHeader(key, program.length / INSTRUCTION_BYTES);
  const body = concatBytes([header, program]);
  return concatBytes([body, sha256(body)]);
}

/** The program of an entry; undefined where it is not whole, or another profile's or compiler's. */
export function decodeEntry(
  key: CacheKey,
  entry: Uint8Array,
  sha256: Sha256,
): Uint8Array | undefined {
  const programBytes = entry.length - HEADER_BYTES - DIGEST_BYTES;
  const count = programBytes / INSTRUCTION_BYTES;
  if (!Number.isInteger(count) || count < 1 || count > INSTRUCTIONS_MAX) return undefined;
  const body = entry.subarray(0, HEADER_BYTES + programBytes);
  if (!equalBytes(body.subarray(0, HEADER_BYTES), encodeHeader(key, count))) return undefined;
  if (!equalBytes(entry.subarray(body.length), sha256(body))) return undefined;
  return body.slice(HEADER_BYTES);
}

function encodeHeader(key: CacheKey, count: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  header.set(MAGIC, 0);
  view.setUint32(8, COMPILER_VERSION, true);
  view.setUint32(12, findArchitecture(key.native).token, true);
  view.setUint32(16, count, true);
  header.set(key.digest, DIGEST_AT);
  return header;
}
