/** A blob out of a registry into a file, checked, on its way to another one. */
import { rmSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { parseNamed } from "@tare/spec/reference.ts";
import type { RegistryClient } from "../registry/client.ts";
import { blobBytes } from "../registry/download.ts";
import { Sources } from "../registry/sources.ts";
import { BlobWriter } from "./blob.ts";

export type CopiedBlob = {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Repositories that are said to have it. */
  readonly from: readonly string[];
  /** The new file. */
  readonly path: string;
};

/** @throws TareError `not_found` where none has it, and what the last one failed with */
export async function copyBlob(
  client: RegistryClient,
  blob: CopiedBlob,
  signal: AbortSignal,
): Promise<void> {
  let failure: unknown = new TareError("not_found", `Cannot find blob "${blob.digest}"`);
  for (const repository of blob.from) {
    try {
      await copyFrom(client, blob, repository, signal);
      return;
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
      rmSync(blob.path, { force: true });
    }
  }
  throw failure;
}

async function copyFrom(
  client: RegistryClient,
  { digest, size, path }: CopiedBlob,
  repository: string,
  signal: AbortSignal,
): Promise<void> {
  const { sessions } = new Sources(client, parseNamed(repository), { signal });
  const descriptor = { digest, size, mediaType: "", urls: [], annotations: new Map() };
  const writer = new BlobWriter(path, { digest, size });
  try {
    for await (const chunk of blobBytes(sessions, descriptor, { signal })) writer.write(chunk);
    writer.finish();
  } finally {
    writer.close();
  }
}
