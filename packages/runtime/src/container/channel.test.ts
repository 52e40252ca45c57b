import { describe, expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { NO_FD } from "../sys/abi-file.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { Channel } from "./channel.ts";
import { awaitExec, giveStart, waitForStart } from "./start-socket.ts";

const EINTR = 4;
const ENOENT = 2;
const EPIPE = 32;
const ECONNREFUSED = 111;

/** A world whose sockets give these messages, one a call, and then their end. */
function peer(messages: readonly object[], more: Parameters<typeof scriptedSys>[0] = {}) {
  const ahead = messages.map((each) => encodeUtf8(JSON.stringify(each)));
  return scriptedSys({
    recvmsg: (_fd: number, into: Uint8Array, fds: Int32Array) => {
      const next = ahead.shift() ?? new Uint8Array();
      into.set(next);
      fds.fill(-1);
      return next.length;
    },
    ...more,
  });
}

const channelOf = (host: ReturnType<typeof scriptedSys>) => new Channel(host.sys, 9 as Fd);

describe("the channel", () => {
  test("a message arrives as it was sent; then the other side is gone", () => {
    const channel = channelOf(peer([{ kind: "pid", pid: 7 }]));
    expect(channel.receive()).toEqual({ message: { kind: "pid", pid: 7 }, fds: [] });
    expect(channel.receive()).toBeUndefined();
  });

  test("descriptors come with it, and are closed by execve", () => {
    const host = scriptedSys({
      recvmsg: (_fd: number, into: Uint8Array, fds: Int32Array) => {
        const bytes = encodeUtf8('{"kind":"console"}');
        into.set(bytes);
        fds.set([12, -1, -1, -1]);
        return bytes.length;
      },
    });
    expect(channelOf(host).receive()?.fds).toEqual([12 as Fd]);
    const MSG_CMSG_CLOEXEC = 0x40000000;
    expect(host.calls.find(([name]) => name === "recvmsg")?.[4]).toBe(MSG_CMSG_CLOEXEC);
  });

  test("a signal in between is no failure", () => {
    let tries = 0;
    const host = peer([], { sendmsg: () => (++tries === 1 ? -EINTR : 1) });
    channelOf(host).send({ kind: "created" });
    expect(tries).toBe(2);
  });

  test("sending to nobody is an error and no signal", () => {
    const host = peer([], { sendmsg: () => -EPIPE });
    expect(() => channelOf(host).send({ kind: "created" })).toThrow("EPIPE");
    const MSG_NOSIGNAL = 0x4000;
    expect(host.calls.find(([name]) => name === "sendmsg")?.[4]).toBe(MSG_NOSIGNAL);
  });

  test("another message than the expected one, or the end, is a fault of ours", () => {
    expect(() => channelOf(peer([{ kind: "map" }])).expect("hooked")).toThrow('got "map"');
    expect(() => channelOf(peer([])).expect("hooked")).toThrow("got the end");
    expect(channelOf(peer([{ kind: "hooked" }])).expect("hooked").fds).toEqual([]);
  });
});

describe("the word to start", () => {
  test("of run comes over the channel itself", () => {
    const host = peer([{ kind: "start" }]);
    const channel = channelOf(host);
    expect(waitForStart(host.sys, channel, undefined, NO_FD)).toBe(channel);
  });

  test("of create comes over a socket: the runtime is let go, the starter is told the result", () => {
    const host = peer([{ kind: "start" }]);
    const starter = waitForStart(host.sys, channelOf(host), 10 as Fd, NO_FD);
    const names = host.calls.map(([name]) => name);
    expect(names.indexOf("close")).toBeLessThan(names.indexOf("accept4"));
    expect(host.open()).toEqual([starter.fd]);
  });

  test("is not given to a container that does not wait", () => {
    for (const errno of [ENOENT, ECONNREFUSED]) {
      const host = peer([], { connect_unix: () => -errno });
      expect(() => giveStart(host.sys, 5 as Fd, "x")).toThrow("not in the created state");
      expect(host.open()).toEqual([]);
    }
  });

  test("reaches it by the descriptor of its directory: an address is short", () => {
    const host = peer([]);
    giveStart(host.sys, 5 as Fd, "x");
    expect(host.calls.find(([name]) => name === "connect_unix")?.[2]).toBe(
      "/proc/self/fd/5/start.sock",
    );
    expect(host.open()).toEqual([]);
  });

  test("an error of the first process is thrown here, with its code and hint", () => {
    const report = { code: "command_not_found", message: "no such", hint: "look" };
    let error: { code?: unknown; message?: string; hint?: unknown } = {};
    try {
      awaitExec(channelOf(peer([{ kind: "error", report }])));
    } catch (thrown) {
      error = thrown as typeof error;
    }
    expect([error.code, error.message, error.hint]).toEqual([
      "command_not_found",
      "no such",
      "look",
    ]);
    expect(() => awaitExec(channelOf(peer([{ kind: "map" }])))).toThrow('unexpected message "map"');
    expect(() => awaitExec(channelOf(peer([])))).not.toThrow();
  });
});
