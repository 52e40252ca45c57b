/** Hooks whose process cannot be made; what they do once they run is in tests/e2e/lifecycle.test.ts. */
import { describe, expect, test } from "bun:test";
import { decodeUtf8 } from "@tare/spec/bytes.ts";
import type { Hook, State } from "@tare/spec/oci-runtime.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { runHooks, runPoststopHooks } from "./run.ts";

const EPERM = 1;
const STATE: State = { ociVersion: "1.3.0", id: "x", status: "stopped", bundle: "/bundle" };
const HOOKS: readonly Hook[] = ["/bin/one", "/bin/two"].map((path) => ({ path, args: [] }));

/** A machine on which nothing can be forked, and what is written there. */
function withoutForks() {
  let told = "";
  const { sys, open } = scriptedSys({
    clone3: () => -EPERM,
    write: (fd: number, bytes: Uint8Array) => {
      if (fd === 2) told += decodeUtf8(bytes, "standard error");
      return bytes.length;
    },
  });
  return { sys, open, told: () => told };
}

describe("a hook that cannot begin", () => {
  test("fails as one that fails: the error names it", () => {
    const { sys, open } = withoutForks();
    expect(() => runHooks(sys, "poststart", HOOKS, STATE)).toThrow(
      /error running poststart hook #0: "\/bin\/one": clone3: .*EPERM/,
    );
    expect(open()).toEqual([]);
  });

  // runtime.md, "Lifecycle" 13: a warning, and the remaining hooks go on.
  test("is told and stops no other when the container is gone", () => {
    const { sys, told } = withoutForks();
    runPoststopHooks(sys, HOOKS, STATE);
    expect(told().match(/warning: poststop hook failed/g)).toHaveLength(2);
  });
});
