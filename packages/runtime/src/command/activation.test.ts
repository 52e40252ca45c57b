import { describe, expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { ECONNREFUSED, ENOENT } from "../sys/abi-errno.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { amendConfig, makeNotifyDirectory, NotifySocket } from "./activation.ts";

const NONE = { listening: 0, names: undefined, notify: undefined, likeCrun: false };

function configOf(env: string[]) {
  const process = { cwd: "/", user: { uid: 0, gid: 0 }, args: ["x"], env };
  return parseConfig(JSON.stringify({ ociVersion: "1.3.0", root: { path: "r" }, process }));
}

describe("the configuration of a service", () => {
  test("gets the variables for process 1, in place of others of their names", () => {
    const config = configOf(["A=b", "LISTEN_PID=9", "LISTEN_FDS=7"]);
    const amended = amendConfig(config, { ...NONE, listening: 2, names: "a:b" }, "/s/x");
    expect(amended.process?.env).toEqual([
      "A=b",
      "LISTEN_FDS=2",
      "LISTEN_PID=1",
      "LISTEN_FDNAMES=a:b",
    ]);
    expect(amended.mounts).toEqual([]);
  });

  test("gets the socket's directory, which it cannot write", () => {
    const amended = amendConfig(configOf([]), { ...NONE, notify: "/run/systemd/notify" }, "/s/x");
    expect(amended.process?.env).toEqual(["NOTIFY_SOCKET=/run/notify/notify.sock"]);
    expect(amended.mounts).toMatchObject([{ destination: "/run/notify", source: "/s/x/notify" }]);
    expect(amended.mounts[0]?.options).toEqual(["bind", "nosuid", "noexec", "nodev", "ro"]);
  });

  test("gets it at the path of the host's socket where that is wanted, and has a path", () => {
    const whereOf = (notify: string) =>
      amendConfig(configOf([]), { ...NONE, notify, likeCrun: true }, "/s/x");
    const amended = whereOf("/h/socket");
    expect(amended.process?.env).toEqual(["NOTIFY_SOCKET=/h/socket/notify.sock"]);
    expect(amended.mounts).toMatchObject([{ destination: "/h/socket", source: "/s/x/notify" }]);
    expect(whereOf("@name").mounts).toMatchObject([{ destination: "/run/notify" }]);
  });

  test("without a program gets nothing", () => {
    const bare = parseConfig(JSON.stringify({ ociVersion: "1.3.0", root: { path: "r" } }));
    expect(amendConfig(bare, { ...NONE, listening: 1 }, "/s/x")).toBe(bare);
  });
});

/** A world in which the datagrams come one after the other. */
function world(datagrams: string[], more: Parameters<typeof scriptedSys>[0] = {}) {
  const sent: string[] = [];
  const scripted = scriptedSys({
    recvmsg: (_fd: number, into: Uint8Array) => {
      const bytes = encodeUtf8(datagrams.shift() ?? "");
      into.set(bytes);
      return bytes.length;
    },
    sendmsg: (_fd: number, bytes: Uint8Array) => {
      sent.push(String.fromCharCode(...bytes));
      return bytes.length;
    },
    ...more,
  });
  const socket = NotifySocket.open(scripted.sys, 7 as Fd, "/host");
  if (socket === undefined) throw new Error("no socket");
  return { ...scripted, sent, socket };
}

describe("the container's socket", () => {
  test("is not there where the container was created without one", () => {
    const { sys, open } = scriptedSys({ faccessat2: () => -ENOENT });
    expect(NotifySocket.open(sys, 7 as Fd, "/host")).toBeUndefined();
    expect(open()).toEqual([]);
  });

  test.each([
    ["READY=1", true],
    ["STATUS=x\nREADY=1\n", true],
    ["READY=0", false],
    ["XREADY=1", false],
    ["READY=1\0", false],
    ["READY=1 MAINPID=2", false],
    ["", false],
  ])("%j is the word: %p", (datagram, isReady) => {
    expect(world([datagram]).socket.readReady()).toBe(isReady);
  });

  test("the host is told two words and no other", () => {
    const { socket, sent } = world(["READY=1\nMAINPID=1\nSTATUS=x"]);
    socket.readReady();
    socket.tellHost(99);
    expect(sent).toEqual(["READY=1\nMAINPID=99\n"]);
  });

  test("the wait ends with the word, the container or a signal", () => {
    const ready = (at: number) => ({
      poll: (set: Int32Array) => {
        set[at] = 1;
        return 1;
      },
    });
    const word = world(["no", "READY=1"], ready(2));
    word.socket.waitReady(8 as Fd, 99, undefined);
    expect(word.sent).toEqual(["READY=1\nMAINPID=99\n", "BARRIER=1"]);
    for (const at of [5, 8]) {
      const ended = world([], ready(at));
      ended.socket.waitReady(8 as Fd, 99, 9 as Fd);
      expect(ended.sent).toEqual([]);
    }
  });

  test("a host that is not there is an error, and nothing stays open", () => {
    const { socket, open } = world([], { connect_unix: () => -ECONNREFUSED });
    expect(() => socket.tellHost(1)).toThrow("NOTIFY_SOCKET /host");
    expect(open()).toEqual([socket.fd]);
  });

  test("an abstract name goes without its mark", () => {
    const { sys, calls } = scriptedSys({});
    NotifySocket.open(sys, 7 as Fd, "@a/b")?.tellHost(1);
    expect(calls.find(([name]) => name === "connect_abstract")?.[2]).toBe("a/b");
  });
});

test("the directory is made once", () => {
  const { sys, calls } = scriptedSys({ mkdirat: () => -17 });
  makeNotifyDirectory(sys, 7 as Fd);
  expect(calls).toEqual([["mkdirat", 7, "notify", 0o755]]);
});
