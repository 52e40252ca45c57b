/**
 * The `manifest.json` of `docker save`: which files of the archive make which image.
 * Source: Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format".
 */
import { quoteJson } from "./json.ts";
import { failAt, type Place, readJsonArray, readString, readStrings } from "./json-read.ts";

/** Paths are relative to the archive's root, without `..`. */
export type ArchivedImage = {
  /** The path of the image's configuration. */
  readonly config: string;
  /** Names with tags; as they were found: parseReference of reference.ts reads them. */
  readonly names: readonly string[];
  /** The paths of the layers' tar streams, the lowest first. */
  readonly layers: readonly string[];
};

/** The images of an archive, at most 4 MiB of text. Throws `bad_input`. */
export function parseArchiveManifest(text: string): readonly ArchivedImage[] {
  return readJsonArray(text, "manifest.json", (place) => ({
    config: checkPath(place, "Config", readString(place, "Config"), -1),
    names: readStrings(place, "RepoTags"),
    layers: readStrings(place, "Layers").map((path, index) =>
      checkPath(place, "Layers", path, index),
    ),
  }));
}

function checkPath(place: Place, key: string, path: string, index: number): string {
  const isInside = path !== "" && !path.startsWith("/") && !path.split("/").includes("..");
  return isInside ? path : failAt(place, key, `${quoteJson(path)} is no path inside`, index);
}
