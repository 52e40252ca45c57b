/** Filters of `images`, as Docker has them. */
import { TareError } from "@tare/spec/error.ts";
import { parseImageConfig } from "@tare/spec/oci-image-config.ts";
import { type Filter, passes } from "../store/filter.ts";
import type { Store } from "../store/store.ts";
import { labelsOf } from "./config.ts";
import type { ListedImage } from "./list.ts";
import { findImage } from "./lookup.ts";

export type ImageFilter = Filter & {
  /** True: only those without a tag; false: only those with one. */
  readonly dangling: boolean | undefined;
  /** Words for images: only those made before the first, and after the second. */
  readonly before: string | undefined;
  readonly since: string | undefined;
  /** Patterns of names, of which one must fit. */
  readonly references: readonly string[];
};

/**
 * The images that pass.
 * @throws TareError `not_found` for an image that `before` or `since` names; `bad_input` for a pattern
 * that is none
 */
export function filterImages(
  store: Store,
  images: readonly ListedImage[],
  filter: ImageFilter,
): ListedImage[] {
  for (const pattern of filter.references) checkPattern(pattern);
  const before = filter.before === undefined ? undefined : createdOf(store, filter.before);
  const since = filter.since === undefined ? undefined : createdOf(store, filter.since);
  return images.filter((image) => {
    const made = Date.parse(image.created);
    if (filter.dangling !== undefined && filter.dangling !== (image.tag === undefined))
      return false;
    if (before !== undefined && !(made < before)) return false;
    if (since !== undefined && !(made > since)) return false;
    if (!fitsReferences(image, filter.references)) return false;
    const labels =
      filter.labels.length === 0 ? new Map() : labelsOf(findImage(store, image.id).config);
    return passes(filter, labels, image.created);
  });
}

function createdOf(store: Store, word: string): number {
  return Date.parse(parseImageConfig(findImage(store, word).config).created ?? "");
}

function fitsReferences(image: ListedImage, patterns: readonly string[]): boolean {
  if (patterns.length === 0) return true;
  const { repository, tag } = image;
  if (repository === undefined) return false;
  const names = [`${repository}:${tag}`, repository];
  return patterns.some((pattern) => names.some((name) => matchesPattern(name, pattern)));
}

/** As Go's path.Match refuses them: a class that does not end or has nothing in it, `\` at the end. */
function checkPattern(pattern: string): void {
  for (let at = 0; at < pattern.length; at++) {
    const end = pattern[at] === "[" ? pattern.indexOf("]", at + 2) : at;
    const isCut = pattern[at] === "\\" && at + 1 === pattern.length;
    const isEmpty = end - at === 2 && pattern[at + 1] === "^";
    if (end < 0 || isCut || isEmpty) {
      throw new TareError("bad_input", `Cannot use the pattern "${pattern}": it is malformed`, {
        hint: "* and ? stand for anything but a slash, [a-z] for one of these; \\ takes a sign as it is",
      });
    }
    at = pattern[at] === "\\" ? at + 1 : end;
  }
}

/**
 * Go's path.Match: `*` and `?` stand for anything but a slash; `[a-z]` for one of these. In one pass
 * with one place to go back to, so no pattern takes long.
 */
export function matchesPattern(name: string, pattern: string): boolean {
  let [at, place] = [0, 0];
  let [star, from] = [-1, 0];
  while (at < name.length) {
    const step = pattern[place] === "*" ? 0 : matchOne(name[at] ?? "", pattern, place);
    if (pattern[place] === "*") {
      star = place++;
      from = at;
    } else if (step > 0) {
      at++;
      place += step;
    } else if (star >= 0 && name[from] !== "/") {
      place = star + 1;
      at = ++from;
    } else return false;
  }
  while (pattern[place] === "*") place++;
  return place === pattern.length;
}

/** How much of the pattern fits the character; 0 where it does not. */
function matchOne(char: string, pattern: string, place: number): number {
  const wanted = pattern[place];
  if (wanted === "?") return char === "/" ? 0 : 1;
  if (wanted === "\\") return pattern[place + 1] === char ? 2 : 0;
  if (wanted !== "[") return wanted === char ? 1 : 0;
  const end = pattern.indexOf("]", place + 2);
  if (end < 0 || char === "/") return 0;
  const negative = pattern[place + 1] === "^";
  const inside = pattern.slice(place + (negative ? 2 : 1), end);
  return isOneOf(char, inside) !== negative ? end + 1 - place : 0;
}

/** Whether the character is one of a list such as `a-z_`. */
function isOneOf(char: string, list: string): boolean {
  for (let at = 0; at < list.length; at++) {
    const low = list[at] ?? "";
    const isRange = list[at + 1] === "-" && at + 2 < list.length;
    const high = isRange ? (list[at + 2] ?? "") : low;
    if (low <= char && char <= high) return true;
    if (isRange) at += 2;
  }
  return false;
}
