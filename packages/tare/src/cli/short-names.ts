/**
 * Names of images as people type them, with the aliases and the default registry of the settings: so the
 * same word means the same to every command. Where there are no settings, none are loaded.
 */
import { existsSync } from "node:fs";
import { hasImage, isImageId } from "@tare/engine/image/lookup.ts";
import { findName } from "@tare/engine/store/names.ts";
import type { Store } from "@tare/engine/store/store.ts";
import { parseReference, type Reference } from "@tare/spec/reference.ts";
import type { Surroundings } from "./command.ts";

/** Who runs it can say where else: `--registries`, TARE_REGISTRIES. */
const SETTINGS_FILE = "/etc/tare/registries.toml";

/** The file that counts, and whether it was asked for by name: then it has to be there. */
export function settingsFile({ registriesFile, env }: Surroundings): {
  readonly path: string;
  readonly asked: boolean;
} {
  const named = registriesFile ?? (env.get("TARE_REGISTRIES") || undefined);
  return { path: named ?? SETTINGS_FILE, asked: named !== undefined };
}

/** The complete word that a word stands for; an id stays. */
export type Expand = (word: string) => string;

/** @throws TareError `bad_input` for settings that cannot be read */
export async function openShortNames(around: Surroundings): Promise<Expand> {
  const { path, asked } = settingsFile(around);
  if (!asked && !existsSync(path)) return (word) => word;
  const { readSettings } = await import("@tare/engine/registry/client.ts");
  const { expandShortName } = await import("@tare/engine/registry/settings.ts");
  const settings = readSettings(path, asked);
  return (word) => (isImageId(word) ? word : expandShortName(settings, word));
}

/** A name that is to be given. @throws TareError `bad_input` */
export async function newName(around: Surroundings, word: string): Promise<Reference> {
  return parseReference((await openShortNames(around))(word));
}

/**
 * The words as the store knows them: expanded, but where only the word itself finds something, such as the
 * start of an id or a name from before the settings.
 */
export async function storedNames(
  around: Surroundings,
  store: Store,
  words: readonly string[],
): Promise<string[]> {
  const expand = await openShortNames(around);
  return words.map((word) => storedName(store, expand, word));
}

/** As `storedNames`, of one word. */
export function storedName(store: Store, expand: Expand, word: string): string {
  const complete = expand(word);
  const isOnlyItself = complete !== word && !isKnown(store, complete) && isKnown(store, word);
  return isOnlyItself ? word : complete;
}

function isKnown(store: Store, word: string): boolean {
  return hasImage(store, word) || hasName(store, word);
}

/** Also of what is no image: an artifact, a list. */
function hasName(store: Store, word: string): boolean {
  try {
    return findName(store, parseReference(word)) !== undefined;
  } catch {
    return false;
  }
}
