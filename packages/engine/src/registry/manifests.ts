/**
 * Manifests and indexes of a repository. What is believed is the hash of the bytes that came; what a
 * header says of them is not looked at. Source: distribution-spec 1.1, "Pulling manifests", "Pushing manifests".
 */
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { MANIFEST_TYPES } from "@tare/spec/media-type.ts";
import { type Index, type Manifest, parseManifestOrIndex } from "@tare/spec/oci-image.ts";
import { digestOf } from "../image/digest.ts";
import { DOCUMENT_BYTES_MAX, decodeDocument } from "../image/document.ts";
import { refusal } from "./failure.ts";
import type { Session } from "./session.ts";

/** A manifest or an index, as it came. */
export type FetchedDocument = {
  readonly digest: Digest;
  readonly text: string;
  readonly parsed: Manifest | Index;
};

/**
 * Fetches what a tag or a digest names. `what` begins an error's sentence, such as `Cannot pull "a:b"`.
 * @throws TareError `not_found`, `corrupt`, `bad_input`, `no_permission`, `system`
 */
export async function getManifest(
  session: Session,
  name: string,
  wanted: Digest | undefined,
  what: string,
): Promise<FetchedDocument> {
  return await session.retrying(async () => {
    const answer = await session.send({
      method: "GET",
      to: session.path(`manifests/${wanted ?? name}`),
      headers: { Accept: MANIFEST_TYPES.join(", ") },
    });
    if (answer.status !== 200) throw await refusal(what, answer);
    const bytes = await answer.body.bytes(DOCUMENT_BYTES_MAX, "the manifest");
    return readDocument(bytes, wanted, answer.headers.get("content-type") ?? undefined);
  });
}

function readDocument(
  bytes: Uint8Array,
  wanted: Digest | undefined,
  contentType: string | undefined,
): FetchedDocument {
  const digest = digestOf(bytes);
  if (wanted !== undefined && digest !== wanted) {
    throw new TareError(
      "corrupt",
      `Cannot use manifest "${wanted}": its content hashes to ${digest}`,
    );
  }
  const text = decodeDocument(bytes, "the manifest");
  return { digest, text, parsed: parseManifestOrIndex(text, contentType) };
}

/** Whether the repository has that very document. */
export async function hasManifest(session: Session, name: string, what: string): Promise<boolean> {
  return await session.retrying(async () => {
    const answer = await session.send({
      method: "HEAD",
      to: session.path(`manifests/${name}`),
      headers: { Accept: MANIFEST_TYPES.join(", ") },
    });
    if (answer.status !== 200 && answer.status !== 404) throw await refusal(what, answer);
    answer.body.cancel();
    return answer.status === 200;
  });
}

/** Puts a document under a tag or its digest. */
export async function putManifest(
  session: Session,
  name: string,
  document: { readonly text: string; readonly mediaType: string },
  what: string,
): Promise<void> {
  await session.retrying(async () => {
    const answer = await session.send({
      method: "PUT",
      to: session.path(`manifests/${name}`),
      headers: { "Content-Type": document.mediaType },
      body: () => document.text,
    });
    if (answer.status < 200 || answer.status > 299) throw await refusal(what, answer);
    answer.body.cancel();
  });
}
