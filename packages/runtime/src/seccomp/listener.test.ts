import { describe, expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import type { Seccomp, State } from "@tare/spec/oci-runtime.ts";
import { Channel } from "../container/channel.ts";
import { EBUSY, EINVAL } from "../sys/abi-errno.ts";
import { CLONE_FILES, PR_SET_PDEATHSIG, SIGKILL } from "../sys/abi-process.ts";
import { type ScriptedSys, scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { agentOf } from "./flags.ts";
import { loadNotifying, processState, sendListener } from "./listener.ts";

const PLACE = 9;
const SENDER = 42;
const FILTER = { program: new Uint8Array(8), flags: 8 };

const state: State = { ociVersion: "1.3.0", id: "x", status: "created", pid: 7, bundle: "/b" };

function nameOf([name]: readonly unknown[]): unknown {
  return name;
}

/** A first process whose sender is another one: clone3 answers its pid. */
function first(answers: Parameters<typeof scriptedSys>[0] = {}): ScriptedSys {
  return scriptedSys({ fcntl: () => PLACE, clone3: () => SENDER, wait4: () => SENDER, ...answers });
}

function load({ sys }: ScriptedSys): void {
  loadNotifying(sys, FILTER, new Channel(sys, 5 as Fd));
}

describe("loading a filter that notifies", () => {
  test("the sender is forked before the filter, and is the last that is waited for", () => {
    const world = first();
    load(world);
    const names = world.calls.map(nameOf);
    expect(names).toEqual(["fcntl", "close", "getpid", "clone3", "seccomp_set_filter", "wait4"]);
    expect(world.calls[3]?.[1]).toBe(CLONE_FILES);
  });

  test("a filter that may not be waited under is no failure: the sender holds the table", () => {
    expect(() => load(first({ wait4: () => -EINVAL }))).not.toThrow();
  });

  test("a sender that failed ends the start", () => {
    const wait4 = (_pid: number, status: Int32Array) => {
      status[0] = 256;
      return SENDER;
    };
    expect(() => load(first({ wait4 }))).toThrow("hand over");
  });

  test.each([
    [EBUSY, "a filter outside has a listener"],
    [EINVAL, "SECCOMP_SET_MODE_FILTER"],
  ])("errno %d of the kernel takes the sender away", (errno, words) => {
    const world = first({ seccomp_set_filter: () => -errno });
    expect(() => load(world)).toThrow(words);
    const [killed, waited] = world.calls.slice(-2);
    expect(killed).toEqual(["kill", SENDER, SIGKILL]);
    expect(waited?.slice(0, 2)).toEqual(["wait4", SENDER]);
  });

  test("the sender looks until the listener is there, sends it, and ends well when it is taken", () => {
    let looks = 0;
    let sent: unknown[] = [];
    const world = scriptedSys({
      clone3: () => 0,
      fcntl: (_fd: number, command: number) => (command === 1 && looks++ < 3 ? -9 : PLACE),
      sendmsg: (...words: unknown[]) => {
        sent = words;
        return 1;
      },
      recvmsg: (_fd: number, into: Uint8Array) => {
        const bytes = encodeUtf8('{"kind":"received"}');
        into.set(bytes);
        return bytes.length;
      },
      exit_group: (status: number) => {
        throw new Error(`ended with ${status}`);
      },
    });
    expect(() => load(world)).toThrow("ended with 0");
    expect(looks).toBe(4);
    expect(sent[2]).toEqual(Int32Array.of(PLACE));
  });

  test("the sender ends with the first process, also where that was quicker", () => {
    const world = scriptedSys({
      clone3: () => 0,
      getpid: () => 7,
      getppid: () => 1,
      fcntl: (_fd: number, command: number) => (command === 1 ? -9 : PLACE),
      exit_group: (status: number) => {
        throw new Error(`ended with ${status}`);
      },
    });
    expect(() => load(world)).toThrow("ended with 1");
    expect(world.calls.map(nameOf)).not.toContain("sleep_ms");
    const asked = world.calls.find(([name]) => name === "prctl");
    expect(asked).toEqual(["prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0]);
  });

  test("the sender ends badly where nobody takes it", () => {
    const world = scriptedSys({
      clone3: () => 0,
      recvmsg: () => 0,
      exit_group: (status: number) => {
        throw new Error(`ended with ${status}`);
      },
    });
    expect(() => load(world)).toThrow("ended with 1");
  });
});

describe("the agent", () => {
  const profile = (action: "SCMP_ACT_NOTIFY" | "SCMP_ACT_LOG", more: object): Seccomp => ({
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: [],
    flags: [],
    syscalls: [{ names: ["mkdir"], action, args: [] }],
    ...more,
  });

  test("is there where a rule notifies; a relative path starts at the bundle", () => {
    const named = { listenerPath: "a.sock", listenerMetadata: "m" };
    expect(agentOf(undefined, "/b")).toBe(undefined);
    expect(agentOf(profile("SCMP_ACT_LOG", named), "/b")).toBe(undefined);
    const relative = agentOf(profile("SCMP_ACT_NOTIFY", named), "/b");
    expect(relative).toEqual({ path: "/b/a.sock", metadata: "m" });
    const absolute = agentOf(profile("SCMP_ACT_NOTIFY", { listenerPath: "/s" }), "/b");
    expect(absolute).toEqual({ path: "/s" });
  });

  test("gets the state that the specification draws", () => {
    expect(
      JSON.parse(processState({ agent: { path: "/s", metadata: "m" }, state, pid: 9 })),
    ).toEqual({
      ociVersion: "1.3.0",
      fds: ["seccompFd"],
      pid: 9,
      metadata: "m",
      state,
    });
    const bare = processState({ agent: { path: "/s" }, state, pid: 9 });
    expect(bare.includes("metadata")).toBeFalse();
  });

  test("gets the descriptor with the first bytes only, and the rest after it", () => {
    const { sys, calls, open } = scriptedSys({
      sendmsg: () => 10,
      write: (_fd: number, bytes: Uint8Array) => bytes.length,
    });
    sendListener(sys, { agent: { path: "/s" }, state, pid: 9 }, 8 as Fd);
    const length = processState({ agent: { path: "/s" }, state, pid: 9 }).length;
    expect(calls.filter(([name]) => name === "sendmsg")).toHaveLength(1);
    const rest = calls.find(([name]) => name === "write")?.[2] as Uint8Array;
    expect(rest.length).toBe(length - 10);
    expect(open()).toEqual([]);
  });

  test("that does not listen is an error that names it, and nothing stays open", () => {
    const { sys, open } = scriptedSys({ connect_unix: () => -111 });
    expect(() => sendListener(sys, { agent: { path: "/s" }, state, pid: 9 }, 8 as Fd)).toThrow(
      'failed to connect with seccomp agent "/s"',
    );
    expect(open()).toEqual([]);
  });

  test("is reached by its directory where the path is too long for an address", () => {
    const { sys, calls } = scriptedSys({ sendmsg: () => 1000, write: () => 1000 });
    const path = `/${"d".repeat(120)}/s`;
    sendListener(sys, { agent: { path }, state, pid: 9 }, 8 as Fd);
    const connected = calls.find(([name]) => name === "connect_unix")?.[2];
    expect(connected).toBe("/proc/self/fd/4/s");
  });
});
