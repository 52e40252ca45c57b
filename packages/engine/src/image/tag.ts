/** `tag`: another name for an image, and for the manifest or index that the first one stands for. */
import { TareError } from "@tare/spec/error.ts";
import { parseReference, type Reference } from "@tare/spec/reference.ts";
import { findName, type NameTarget, writeName } from "../store/names.ts";
import type { Store } from "../store/store.ts";
import { findImage } from "./lookup.ts";

/**
 * Gives the image of the word the name, taking it from what had it.
 * @throws TareError `not_found`; `bad_input` for a name with a digest
 */
export function tagImage(store: Store, word: string, name: Reference): void {
  if (name.digest !== undefined) {
    throw new TareError("bad_input", "Cannot tag: a name with a digest is given by its content");
  }
  store.db
    .transaction(() => {
      const image = findImage(store, word).id;
      writeName(store.db, name, { image, target: targetOf(store, word, image) });
    })
    .immediate();
}

/** Undefined where the word is an id. */
function targetOf(store: Store, word: string, image: string): NameTarget["target"] {
  try {
    const known = findName(store, parseReference(word));
    return known?.image === image ? known.target : undefined;
  } catch {
    return undefined;
  }
}
