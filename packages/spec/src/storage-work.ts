/**
 * What tare-helper does before a container's runtime starts, as the engine writes it and the helper reads
 * it: JSON in the container's directory, a list in the order in which it is done.
 */

/** Ids of an owner, as the host sees them. */
export type OwnerIds = { readonly uid: number; readonly gid: number };

/** Paths are absolute, but `path` of a subpath and `target`, which are the container's to name. */
export type StorageWork =
  /** Fill the volume at `volume` from `target` of the container's root. */
  | { readonly op: "populate"; readonly volume: string; readonly target: string }
  /** Show `path` of the directory `root` at the new file or directory `place`. */
  | {
      readonly op: "subpath";
      readonly root: string;
      readonly path: string;
      readonly place: string;
    }
  /** Show an image's layers, topmost first, at the new directory `place`. */
  | { readonly op: "layers"; readonly lower: readonly string[]; readonly place: string }
  /** Give a directory of the host and all in it to an owner. */
  | ({ readonly op: "chown"; readonly path: string } & OwnerIds);
