/** A descriptor that is closed when its scope ends, unless it was moved out. */

import { assert } from "@tare/spec/error.ts";
import type { Fd, Sys } from "./types.ts";

export class OwnedFd {
  readonly #sys: Sys;
  #fd: Fd | undefined;

  constructor(sys: Sys, fd: Fd) {
    this.#sys = sys;
    this.#fd = fd;
  }

  /** The number, while it is owned. */
  get fd(): Fd {
    assert(this.#fd !== undefined, "a descriptor is not used after it was closed");
    return this.#fd;
  }

  /** Gives the descriptor to the caller, who closes it. */
  release(): Fd {
    const fd = this.fd;
    this.#fd = undefined;
    return fd;
  }

  close(): void {
    if (this.#fd === undefined) return;
    this.#sys.close(this.#fd);
    this.#fd = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
