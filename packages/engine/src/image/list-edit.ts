/**
 * The text of a manifest list, an index that is made here: members come, go and are described. Pure.
 * What others wrote into an index stays as it was. Source: image-spec 1.1, image-index.md.
 */
import type { Digest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { OCI_INDEX } from "@tare/spec/media-type.ts";
import { parseIndex } from "@tare/spec/oci-image.ts";
import { normalizePlatform } from "@tare/spec/platform.ts";

/** What a member is said to be; what is absent stays as it is. */
export type MemberChanges = {
  readonly os?: string | undefined;
  readonly architecture?: string | undefined;
  readonly variant?: string | undefined;
  readonly osVersion?: string | undefined;
  readonly osFeatures?: readonly string[] | undefined;
  readonly annotations?: readonly (readonly [key: string, value: string])[] | undefined;
};

export type Member = {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes of the manifest. */
  readonly size: number;
  readonly artifactType?: string | undefined;
  readonly changes: MemberChanges;
};

/** Keys as the specification spells them; a stranger's others are kept. */
type Entry = {
  readonly digest: string;
  readonly platform?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
};

type List = {
  readonly manifests: readonly Entry[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
};

/** A list of nothing yet. */
export function newList(): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
}

/** Adds the member at the end; one of the same digest stays where it is and is described anew. */
export function addMember(text: string, member: Member): string {
  const { mediaType, digest, size, artifactType, changes } = member;
  const plain = {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
  };
  const list = readList(text);
  const known = list.manifests.some((entry) => entry.digest === digest);
  const added = describe(plain, changes);
  const manifests = known
    ? list.manifests.map((entry) => (entry.digest === digest ? added : entry))
    : [...list.manifests, added];
  return written({ ...list, manifests });
}

/** @throws TareError `not_found` where the list has no such member */
export function changeMember(text: string, digest: Digest, changes: MemberChanges): string {
  const list = readList(text);
  wantMember(list, digest);
  const manifests = list.manifests.map((entry) =>
    entry.digest === digest ? describe(entry, changes) : entry,
  );
  return written({ ...list, manifests });
}

/** @throws TareError `not_found` where the list has no such member */
export function removeMember(text: string, digest: Digest): string {
  const list = readList(text);
  wantMember(list, digest);
  const manifests = list.manifests.filter((entry) => entry.digest !== digest);
  return written({ ...list, manifests });
}

/** Annotations of the list itself. */
export function annotateList(
  text: string,
  annotations: readonly (readonly [key: string, value: string])[],
): string {
  const list = readList(text);
  if (annotations.length === 0) return text;
  return written({ ...list, annotations: merged(list.annotations, annotations) });
}

function readList(text: string): List {
  parseIndex(text);
  return JSON.parse(text) as List;
}

/** @throws TareError `bad_input` for what nobody could read again, such as a platform without an architecture */
function written(list: List): string {
  const text = JSON.stringify(list);
  parseIndex(text);
  return text;
}

function wantMember({ manifests }: List, digest: Digest): void {
  if (manifests.some((entry) => entry.digest === digest)) return;
  throw new TareError("not_found", `Cannot find member "${digest}": the list does not have it`);
}

function describe(entry: Entry, changes: MemberChanges): Entry {
  const platform = describePlatform(entry.platform, changes);
  const { annotations = [] } = changes;
  return {
    ...entry,
    ...(platform === undefined ? {} : { platform }),
    ...(annotations.length === 0 ? {} : { annotations: merged(entry.annotations, annotations) }),
  };
}

/** Undefined where nothing is known of it: an artifact runs nowhere. */
function describePlatform(
  before: Entry["platform"],
  changes: MemberChanges,
): Entry["platform"] | undefined {
  const { os, architecture, variant, osVersion, osFeatures } = changes;
  const given = {
    ...(architecture === undefined ? {} : { architecture }),
    ...(os === undefined ? {} : { os }),
    ...(osVersion === undefined ? {} : { "os.version": osVersion }),
    ...(osFeatures === undefined || osFeatures.length === 0 ? {} : { "os.features": osFeatures }),
    ...(variant === undefined ? {} : { variant }),
  };
  if (Object.keys(given).length === 0) return before;
  return { os: "linux", ...before, ...given };
}

/** In Go's spelling, as `x86_64` is `amd64` in every index. */
export function platformChanges(platform: {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}): MemberChanges {
  const { os, architecture, variant } = platform;
  const named = normalizePlatform({ os, architecture });
  return { os: named.os, architecture: named.architecture, variant };
}

function merged(
  before: Readonly<Record<string, string>> | undefined,
  added: readonly (readonly [key: string, value: string])[],
): Readonly<Record<string, string>> {
  return Object.fromEntries([...Object.entries(before ?? {}), ...added]);
}
