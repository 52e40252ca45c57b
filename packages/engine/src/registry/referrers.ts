/**
 * What speaks of a manifest: signatures, lists of parts. Registries of the specification's version 1.1
 * know it; for older ones it stands in an index under a tag that is made of the digest.
 * Source: distribution-spec 1.1, "Listing Referrers", "Referrers Tag Schema".
 */
import { type Digest, digestAlgorithm, digestHex } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { type Index, parseIndex } from "@tare/spec/oci-image.ts";
import { type Reference, repositoryName } from "@tare/spec/reference.ts";
import type { RegistryClient } from "./client.ts";
import { getManifest } from "./manifests.ts";
import { readPages } from "./pages.ts";
import type { Session } from "./session.ts";
import { Sources } from "./sources.ts";

const REFERRERS_MAX = 50_000;

/**
 * The descriptors, those of one `artifactType` where it is given.
 * @throws TareError `no_permission`, `bad_input`, `system`
 */
export async function listReferrers(
  client: RegistryClient,
  repository: Pick<Reference, "domain" | "path">,
  digest: Digest,
  options: { readonly artifactType?: string | undefined; readonly signal: AbortSignal },
): Promise<Index["manifests"]> {
  const sources = new Sources(client, repository, { signal: options.signal });
  const what = `Cannot list what refers to "${repositoryName(repository)}@${digest}"`;
  const found = await sources.resolve(
    async (session) => (await byApi(session, digest, what)) ?? (await byTag(session, digest, what)),
  );
  const { artifactType } = options;
  return found.filter((each) => artifactType === undefined || each.artifactType === artifactType);
}

/** Undefined where the registry does not know how. */
async function byApi(
  session: Session,
  digest: Digest,
  what: string,
): Promise<Index["manifests"] | undefined> {
  const found: Index["manifests"][number][] = [];
  try {
    for await (const page of readPages(session, session.path(`referrers/${digest}`), what)) {
      const { manifests } = parseIndex(JSON.stringify(page));
      if (found.length + manifests.length > REFERRERS_MAX)
        throw new TareError("bad_input", `${what}: more than ${REFERRERS_MAX}`);
      for (const each of manifests) found.push(each);
    }
    return found;
  } catch (error) {
    if (error instanceof TareError && error.code === "not_found") return undefined;
    throw error;
  }
}

async function byTag(session: Session, digest: Digest, what: string): Promise<Index["manifests"]> {
  const tag = `${digestAlgorithm(digest)}-${digestHex(digest)}`;
  try {
    const { parsed } = await getManifest(session, tag, undefined, what);
    return parsed.kind === "index" ? parsed.manifests : [];
  } catch (error) {
    if (error instanceof TareError && error.code === "not_found") return [];
    throw error;
  }
}
