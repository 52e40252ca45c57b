/** The engine as its callers hold it: the store and where its programs are. Everything is said, nothing is found. */
import { openStore, type Store } from "./store/store.ts";

export type EngineSettings = {
  /** Images, layers and containers: an absolute path. */
  readonly dataRoot: string;
  /** State of runtimes, on a file system that a reboot empties. */
  readonly runRoot: string;
  /** Absolute path of tare-helper. */
  readonly helper: string;
  /** Absolute path of tare-init, for `--init`. */
  readonly init: string;
  /** Whether we are root only in a user namespace of our own. */
  readonly rootless: boolean;
};

export type Engine = { readonly settings: EngineSettings; readonly store: Store };

/** Opens the engine on its data directory, which is made where it is missing. */
export function openEngine(settings: EngineSettings): Engine {
  return { settings, store: openStore(settings.dataRoot) };
}
