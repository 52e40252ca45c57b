/**
 * What words name as members of a manifest list: images of the store first, else manifests of registries,
 * of which the documents are kept and the layers stay where they are.
 */
import { writeFileSync } from "node:fs";
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { isConfigType } from "@tare/spec/media-type.ts";
import {
  type Descriptor,
  type Index,
  type Manifest,
  parseManifestOrIndex,
} from "@tare/spec/oci-image.ts";
import { parseImageConfig } from "@tare/spec/oci-image-config.ts";
import { formatPlatform, selectPlatform } from "@tare/spec/platform.ts";
import {
  formatFamiliar,
  parseNamed,
  parseReference,
  type Reference,
  repositoryName,
} from "@tare/spec/reference.ts";
import type { Engine } from "../engine.ts";
import type { RegistryClient } from "../registry/client.ts";
import { readBlob } from "../registry/download.ts";
import { type FetchedDocument, getManifest } from "../registry/manifests.ts";
import { expandShortName } from "../registry/settings.ts";
import { Sources } from "../registry/sources.ts";
import { knownBlob, readDocument, sourcesOf } from "../store/blobs.ts";
import type { Lease } from "../store/leases.ts";
import { findName } from "../store/names.ts";
import { Staging, type Store } from "../store/store.ts";
import { commitContent, stagedBlob } from "./commit.ts";
import { checkAlgorithm, machinePlatform } from "./config.ts";
import { DOCUMENT_BYTES_MAX } from "./document.ts";
import { type Member, type MemberChanges, platformChanges } from "./list-edit.ts";
import { findImage, hasImage } from "./lookup.ts";
import { planPush } from "./push-plan.ts";

/** Each is a request or two. */
const MEMBERS_MAX = 500;

export type MemberOptions = { readonly all: boolean; readonly signal: AbortSignal };

/** A manifest, and what an index said of it. */
type Found = {
  readonly digest: Digest;
  readonly text: string;
  readonly parsed: Manifest | Index;
  readonly said?: Descriptor;
};

/**
 * The members that the words name, each held by the lease.
 * @throws TareError `not_found` where neither store nor registry has one; `bad_input`
 */
export async function findMembers(
  engine: Engine,
  client: RegistryClient,
  lease: Lease,
  words: readonly string[],
  options: MemberOptions,
): Promise<Member[]> {
  const members: Member[] = [];
  for (const word of words) {
    const complete = expandShortName(client.settings, word);
    const found =
      (await findHere(engine, lease, complete, options)) ??
      (await findThere(engine, client, lease, parseReference(complete), options));
    for (const each of found) members.push(describe(engine.store, each));
    if (members.length > MEMBERS_MAX) {
      throw new TareError("bad_input", `Cannot make the list: more than ${MEMBERS_MAX} members`);
    }
  }
  return members;
}

/** Undefined where the store has no such image, or not all of an index that is wanted whole. */
async function findHere(
  { settings, store }: Engine,
  lease: Lease,
  word: string,
  { all, signal }: MemberOptions,
): Promise<Found[] | undefined> {
  if (!hasImage(store, word)) return undefined;
  const { id } = findImage(store, word);
  const named = nameOf(store, word);
  const target = named?.image === id ? named.target : undefined;
  const { documents } = await planPush(
    { settings, store },
    { target: all ? target : undefined, image: id },
    lease,
    signal,
  );
  const top = documents.at(-1);
  if (top === undefined) throw new RangeError("a plan has a document");
  const parsed = parseManifestOrIndex(top.text, top.mediaType);
  if (parsed.kind === "manifest") {
    const isPart = all && target !== undefined && target !== top.digest;
    return isPart ? undefined : [{ ...top, parsed }];
  }
  return parsed.manifests.map((said) => {
    const text = readDocument(store, said.digest);
    return { digest: said.digest, text, parsed: parseManifestOrIndex(text, said.mediaType), said };
  });
}

function nameOf(store: Store, word: string) {
  try {
    return findName(store, parseReference(word));
  } catch {
    return undefined;
  }
}

async function findThere(
  engine: Engine,
  client: RegistryClient,
  lease: Lease,
  reference: Reference,
  { all, signal }: MemberOptions,
): Promise<Found[]> {
  const { tag = "latest", digest } = reference;
  const what = `Cannot find member "${formatFamiliar(reference)}"`;
  const sources = new Sources(client, reference, { signal });
  const get = (name: string, wanted: Digest | undefined) =>
    sources.resolve((session) => getManifest(session, name, wanted, what));
  const top = await get(tag, digest);
  if (top.parsed.kind === "manifest") return await keepAll([top]);
  const found: Found[] = [];
  for (const said of chosen(top.parsed, all, what)) {
    checkAlgorithm(said.digest);
    found.push({ ...(await get("", said.digest)), said });
  }
  return await keepAll(found);

  async function keepAll(each: readonly Found[]): Promise<Found[]> {
    for (const one of each) await keepDocument(engine, lease, sources, reference, one, signal);
    return [...each];
  }
}

function chosen(index: Index, all: boolean, what: string): readonly Descriptor[] {
  if (all) return index.manifests.slice(0, MEMBERS_MAX + 1);
  const one = selectPlatform(index.manifests, machinePlatform());
  if (one !== undefined) return [one];
  throw new TareError(
    "not_found",
    `${what}: it has nothing for ${formatPlatform(machinePlatform())}`,
    { hint: "Take all of it with --all, or name one by its digest" },
  );
}

/** Keeps a manifest with its configuration, which says what it runs on, and where its layers are. */
async function keepDocument(
  { store }: Engine,
  lease: Lease,
  sources: Sources,
  reference: Pick<Reference, "domain" | "path">,
  { digest, text, parsed }: FetchedDocument,
  signal: AbortSignal,
): Promise<void> {
  using staging = new Staging(store);
  const blobs = new Map<Digest, string>([[digest, stagedBlob(staging.path, digest)]]);
  writeFileSync(stagedBlob(staging.path, digest), text, { mode: 0o600 });
  const parts = parsed.kind === "manifest" ? [parsed.config, ...parsed.layers] : parsed.manifests;
  const digests = [digest, ...parts.map((part) => part.digest)];
  lease.hold(digests);
  if (parsed.kind === "manifest") {
    checkAlgorithm(parsed.config.digest);
    const bytes = await readBlob(sources.sessions, parsed.config, DOCUMENT_BYTES_MAX, { signal });
    const path = stagedBlob(staging.path, parsed.config.digest);
    writeFileSync(path, bytes, { mode: 0o600 });
    blobs.set(parsed.config.digest, path);
  }
  await commitContent(store, {
    blobs,
    documents: [{ digest, text, mediaType: parsed.mediaType }],
    names: [],
    sources: [{ repository: repositoryName(reference), digests }],
  });
}

/**
 * Fetches the manifests that an index names and the store lacks, from where they are known to be, or else
 * from `repository`, so that all that is missing then are layers.
 */
export async function completeDocuments(
  engine: Engine,
  client: RegistryClient,
  lease: Lease,
  index: { readonly text: string; readonly repository: string },
  signal: AbortSignal,
): Promise<void> {
  const parsed = parseManifestOrIndex(index.text);
  if (parsed.kind === "manifest") return;
  for (const { digest } of parsed.manifests.slice(0, MEMBERS_MAX)) {
    lease.hold([digest]);
    if (knownBlob(engine.store, digest) !== undefined) continue;
    const [source = index.repository] = sourcesOf(engine.store, digest);
    const reference = { ...parseNamed(source), digest };
    await findThere(engine, client, lease, reference, { all: true, signal });
  }
}

function describe(store: Store, { digest, text, parsed, said }: Found): Member {
  const { mediaType } = parsed;
  const artifactType = said?.artifactType ?? parsed.artifactType;
  const platform = said?.platform;
  const annotations = [...(said?.annotations ?? [])];
  const changes = platform === undefined ? platformOf(store, parsed) : { ...platform, annotations };
  return { mediaType, digest, size: Buffer.byteLength(text), artifactType, changes };
}

/** As the configuration has it. An artifact runs on nothing. */
function platformOf(store: Store, parsed: Manifest | Index): MemberChanges {
  if (parsed.kind === "index" || !isConfigType(parsed.config.mediaType)) return {};
  const text = readDocument(store, parsed.config.digest);
  const config = parseImageConfig(text);
  const more = JSON.parse(text) as { readonly "os.version"?: unknown };
  const version = more["os.version"];
  return {
    ...platformChanges(config),
    ...(typeof version === "string" ? { osVersion: version } : {}),
  };
}
