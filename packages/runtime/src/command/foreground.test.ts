import { describe, expect, test } from "bun:test";
import { OwnedFd } from "../sys/owned-fd.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { inForeground, showRest } from "./foreground.ts";

const TCSETS = 0x5402;
const ENOMEM = 12;
const IXON_AT = 1;
const IXON = 0o2000 >> 8;

/** A caller's terminal with one setting on, and the container's with words to read. */
function world(words: string | number) {
  const applied: boolean[] = [];
  let shown = "";
  let rest = words;
  const host = scriptedSys({
    ioctl_bytes: (_fd: number, request: number, bytes: Uint8Array) => {
      if (request === TCSETS) applied.push((bytes[IXON_AT] ?? 0) === IXON);
      else bytes[IXON_AT] = IXON;
      return 0;
    },
    poll: (set: Int32Array) => {
      set[2] = 1;
      return typeof rest === "number" ? rest : 1;
    },
    read: (_fd: number, into: Uint8Array) => {
      const text = typeof rest === "number" ? "" : rest;
      rest = "";
      into.set([...text].map((letter) => letter.charCodeAt(0)));
      return text.length;
    },
    write: (_fd: number, bytes: Uint8Array) => {
      shown += String.fromCharCode(...bytes);
      return bytes.length;
    },
  });
  const terminal = new OwnedFd(host.sys, host.give() as OwnedFd["fd"]);
  return { sys: host.sys, terminal, applied, shown: () => shown };
}

describe("a command that fails in the foreground", () => {
  const fail = (): never => {
    throw new Error("first");
  };

  test("gives the caller its terminal back, and shows what was said at the end", () => {
    const { sys, terminal, applied, shown } = world("words");
    expect(() => inForeground(sys, terminal, fail)).toThrow("first");
    expect(applied).toEqual([false, true]);
    showRest(sys, terminal);
    expect(shown()).toBe("words");
  });

  test("fails for that reason, also where nothing can be shown", () => {
    const { sys, terminal } = world(-ENOMEM);
    expect(() => showRest(sys, terminal)).not.toThrow();
  });
});
