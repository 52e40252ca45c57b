/** `tare manifest inspect`, `referrers`: what a registry says of a name, without bringing it in. */
import { existsSync } from "node:fs";
import { openEngine } from "@tare/engine/engine.ts";
import { findList, type StoredList } from "@tare/engine/image/manifest-list.ts";
import type { RegistryClient } from "@tare/engine/registry/client.ts";
import { getManifest } from "@tare/engine/registry/manifests.ts";
import { listReferrers } from "@tare/engine/registry/referrers.ts";
import { Sources } from "@tare/engine/registry/sources.ts";
import { TareError } from "@tare/spec/error.ts";
import { OCI_INDEX } from "@tare/spec/media-type.ts";
import { formatFamiliar, type Reference } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { interruptible } from "./interrupt.ts";
import { readLine } from "./read-line.ts";
import { completeName, openRegistries } from "./registries.ts";
import { parseSwitch, parseText } from "./values.ts";

const INSPECT_FLAGS = {
  raw: { name: "raw", help: "Print the bytes as they are", parse: parseSwitch },
} as const;

export const MANIFEST_INSPECT = {
  summary: {
    name: "manifest inspect",
    usage: "NAME[:TAG|@DIGEST]",
    help: "Show a manifest list of this store, or else a manifest or an index of a registry",
  },
  flags: INSPECT_FLAGS,
  interspersed: true,
  needsRoot: false,
  run: runInspect,
} satisfies Command;

const REFERRERS_FLAGS = {
  artifactType: {
    name: "artifact-type",
    arg: "TYPE",
    help: "Only those of this type",
    parse: parseText,
  },
} as const;

export const MANIFEST_REFERRERS = {
  summary: {
    name: "manifest referrers",
    usage: "NAME[:TAG|@DIGEST]",
    help: "List what a registry has that speaks of a manifest, such as signatures",
  },
  flags: REFERRERS_FLAGS,
  interspersed: true,
  needsRoot: false,
  run: runReferrers,
} satisfies Command;

async function runInspect(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_INSPECT, words, around);
  if (line === undefined) return 0;
  const word = oneName(line.positionals);
  const client = openRegistries(around);
  return await interruptible(around, async (signal) => {
    const name = completeName(client, word);
    const { text } = listHere(around, name) ?? (await fetchDocument(client, name, signal));
    around.print(line.values.raw === true ? text : indented(JSON.parse(text)));
    return 0;
  });
}

async function runReferrers(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_REFERRERS, words, around);
  if (line === undefined) return 0;
  const word = oneName(line.positionals);
  const client = openRegistries(around);
  return await interruptible(around, async (signal) => {
    const reference = completeName(client, word);
    const digest = reference.digest ?? (await fetchDocument(client, reference, signal)).digest;
    const { artifactType } = line.values;
    const found = await listReferrers(client, reference, digest, { artifactType, signal });
    const manifests = found.map(({ annotations, urls: _urls, ...rest }) => ({
      ...rest,
      ...(annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
    }));
    around.print(indented({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    return 0;
  });
}

function oneName(words: readonly string[]): string {
  const [word, more] = words;
  if (word !== undefined && more === undefined) return word;
  throw new TareError("bad_input", "Cannot look at a manifest: want one name");
}

/** A list that was made here; who may not look into the store asks the registry. */
function listHere({ uid, settings }: Surroundings, name: Reference): StoredList | undefined {
  const mayLook = uid === 0 && existsSync(`${settings.dataRoot}/tare.db`);
  return mayLook ? findList(openEngine(settings).store, name) : undefined;
}

async function fetchDocument(client: RegistryClient, reference: Reference, signal: AbortSignal) {
  const { tag = "latest", digest } = reference;
  const what = `Cannot look at "${formatFamiliar(reference)}"`;
  const sources = new Sources(client, reference, { signal });
  return await sources.resolve((session) => getManifest(session, tag, digest, what));
}

/** As `docker manifest inspect` indents. */
function indented(value: unknown): string {
  return `${JSON.stringify(value, null, "\t")}\n`;
}
