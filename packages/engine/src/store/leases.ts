/**
 * A lease keeps what a running command has found in the store from being collected, until the command
 * has written its own rows. It ends with its scope, or with its process: who is gone holds nothing.
 */
import type { Digest } from "@tare/spec/digest.ts";
import { isAlive, type OwnerTag, ownTag } from "./owner.ts";
import { isFull } from "./reserve.ts";
import type { Store } from "./store.ts";

export class Lease implements Disposable {
  readonly #store: Store;
  /** A process may hold several. */
  readonly #owner: OwnerTag = `${ownTag()}-${crypto.randomUUID()}`;
  #held = false;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Holds blobs by digest and unpacked layers by chain id, there or not. What the caller looks up
   * after this stays until the lease ends.
   */
  hold(digests: Iterable<Digest>): void {
    const { db } = this.#store;
    this.#held = true;
    db.transaction(() => {
      for (const digest of digests) {
        db.run("INSERT INTO leases VALUES (?, ?) ON CONFLICT DO NOTHING", [this.#owner, digest]);
      }
    }).immediate();
  }

  [Symbol.dispose](): void {
    if (!this.#held) return;
    try {
      this.#store.db.run("DELETE FROM leases WHERE owner = ?", [this.#owner]);
    } catch (error) {
      // On a full disk it ends with the process.
      if (!isFull(error)) throw error;
    }
  }
}

/** Takes away leases of processes that are gone; inside of the caller's transaction. */
export function endDeadLeases(store: Store): void {
  const rows = store.db.query<{ owner: string }, []>("SELECT DISTINCT owner FROM leases").all();
  for (const { owner } of rows) {
    const [pid = "", start = ""] = owner.split("-");
    if (!isAlive(`${pid}-${start}`)) store.db.run("DELETE FROM leases WHERE owner = ?", [owner]);
  }
}
