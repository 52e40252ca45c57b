import { describe, expect, test } from "bun:test";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { ENODEV, EPERM } from "../sys/abi-errno.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import { keptAddresses, moveDevices, newcomer, planDeviceMoves } from "./devices.ts";
import {
  decodeMessages,
  encodeMessage,
  type NetlinkMessage,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./netlink.ts";
import { RouteSocket } from "./route-socket.ts";
import {
  type Address,
  addAddress,
  moveLink,
  type Payload,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  readLink,
} from "./rtnetlink.ts";

const moves = (netDevices: object) =>
  planDeviceMoves(
    parseConfig(
      JSON.stringify({ ociVersion: "1.3.0", root: { path: "r" }, linux: { netDevices } }),
    ),
  );

const address: Address = {
  family: 2,
  prefixLength: 24,
  scope: 0,
  index: 7,
  flags: 0x80,
  address: Uint8Array.of(10, 0, 0, 1),
  local: Uint8Array.of(10, 0, 0, 1),
};

describe("which devices become which", () => {
  test("the host's name is kept where there is no other", () => {
    expect(moves({ eth0: {}, eth1: { name: "x" } })).toEqual([
      { from: "eth0", to: "eth0" },
      { from: "eth1", to: "x" },
    ]);
  });

  test("two for one name are refused, unless the kernel numbers them", () => {
    expect(() => moves({ eth0: {}, eth1: { name: "eth0" } })).toThrow('"eth0" too');
    expect(moves({ a: { name: "e%d" }, b: { name: "e%d" } })).toHaveLength(2);
  });
});

test("addresses for good and of global scope are kept, with two of their flags", () => {
  const kept = keptAddresses([
    { ...address, flags: 0x80 | 0x200 | 0x02 | 0x40 },
    { ...address, flags: 0 },
    { ...address, scope: 253 },
  ]);
  expect(kept).toEqual([{ ...address, flags: 0x202 }]);
});

test("a numbered device is the one that was not there", () => {
  const link = (index: number, name: string) => ({ index, name, flags: 0 });
  const after = [link(1, "lo"), link(2, "e0"), link(3, "other"), link(4, "e1")];
  expect(newcomer([link(1, "lo"), link(2, "e0")], after, "e%d")).toEqual(link(4, "e1"));
  expect(newcomer(after, after, "e%d")).toBeUndefined();
});

/** A kernel with one link and one address, that notes what it is told. */
class Kernel {
  readonly told: string[] = [];
  readonly #pending: Uint8Array[] = [];
  readonly scripted = scriptedSys({
    sendmsg: (fd: number, bytes: Uint8Array) => {
      for (const request of decodeMessages(bytes)) this.#take(fd, request);
      return bytes.length;
    },
    recvmsg: (_fd: number, into: Uint8Array) => {
      const next = this.#pending.shift() ?? new Uint8Array(0);
      into.set(next);
      return next.length;
    },
  });
  readonly #names: readonly string[];
  readonly #moveErrno: number;

  /** The names that each socket knows, and the answer to a move. */
  constructor({ names = ["4 eth0", "6 in0"], moveErrno = 0 } = {}) {
    this.#names = names;
    this.#moveErrno = moveErrno;
  }

  #answer(type: number, sequence: number, { fixed, attributes }: Payload): void {
    this.#pending.push(encodeMessage({ type, flags: 0, sequence }, fixed, attributes));
  }

  #end(type: number, sequence: number, errno = 0): void {
    const fixed = new Uint8Array(4);
    new DataView(fixed.buffer).setInt32(0, -errno, true);
    this.#answer(type, sequence, { fixed, attributes: [] });
  }

  #take(fd: number, { type, sequence, body }: NetlinkMessage): void {
    if (type === RTM_GETADDR) {
      this.#answer(RTM_NEWADDR, sequence, addAddress(7, address));
      this.#answer(RTM_NEWADDR, sequence, addAddress(8, address));
      this.#end(NLMSG_DONE, sequence);
    } else if (type === RTM_GETLINK) this.#show(fd, sequence, readLink(body).name);
    else this.#change(fd, type, sequence, body);
  }

  #show(fd: number, sequence: number, name: string): void {
    const moved = this.told.includes(`4 ${name}`);
    if (!this.#names.includes(`${fd} ${name}`) || (fd === 6 && !moved)) {
      return this.#end(NLMSG_ERROR, sequence, ENODEV);
    }
    const { fixed, attributes } = moveLink(7, name, 0);
    fixed[8] = 1; // It is up.
    this.#answer(RTM_NEWLINK, sequence, { fixed, attributes });
    this.#end(NLMSG_ERROR, sequence);
  }

  #change(fd: number, type: number, sequence: number, body: Uint8Array): void {
    const name = type === RTM_NEWADDR ? "address" : readLink(body).name;
    this.told.push(`${fd} ${name === "" ? (body[8] === 1 ? "up" : "down") : name}`);
    const isMove = type === RTM_NEWLINK && name !== "";
    this.#end(NLMSG_ERROR, sequence, isMove ? this.#moveErrno : 0);
  }
}

describe("a move", () => {
  test("goes down, over, and gets its addresses before it comes up", () => {
    const { told, scripted } = new Kernel();
    moveDevices(scripted.sys, [{ from: "eth0", to: "in0" }], "/proc/9/ns/net");
    // 4 is the socket here, 6 the one there.
    expect(told).toEqual(["4 down", "4 in0", "6 address", "6 up"]);
    expect(scripted.open()).toEqual([]);
    const entered = scripted.calls.filter(([name]) => name === "setns").map(([, fd]) => fd);
    expect(entered).toEqual([3, 5]);
  });

  test.each([
    [EPERM, "CAP_NET_ADMIN"],
    [22, "rtnetlink RTM_NEWLINK"],
  ])("that the kernel refuses (%d) leaves the device up on the host", (moveErrno, words) => {
    const { told, scripted } = new Kernel({ moveErrno });
    const go = () => moveDevices(scripted.sys, [{ from: "eth0", to: "in0" }], "/n");
    expect(go).toThrow(words);
    expect(told).toEqual(["4 down", "4 in0", "4 up"]);
    expect(scripted.open()).toEqual([]);
  });

  test("of a device that is not there is an error that names it", () => {
    const { told, scripted } = new Kernel();
    const go = () => moveDevices(scripted.sys, [{ from: "eth9", to: "eth9" }], "/n");
    expect(go).toThrow('linux.netDevices "eth9": the host has no such device');
    expect(told).toEqual([]);
  });

  test("to a name that is taken there is refused before anything is touched", () => {
    const { told, scripted } = new Kernel({ names: ["4 eth0", "6 eth0"] });
    told.push("4 eth0");
    const go = () => moveDevices(scripted.sys, [{ from: "eth0", to: "eth0" }], "/n");
    expect(go).toThrow("the container has one of that name");
    expect(told).toHaveLength(1);
  });

  test("comes back to its own namespace also where the socket cannot be made", () => {
    let sockets = 0;
    const { sys, calls } = scriptedSys({ socket: () => (++sockets > 1 ? -24 : 40) });
    expect(() => moveDevices(sys, [], "/n")).toThrow("socket AF_NETLINK");
    expect(calls.filter(([name]) => name === "setns")).toHaveLength(2);
  });
});

test("answers to earlier questions are passed over", () => {
  const old = encodeMessage({ type: NLMSG_ERROR, flags: 0, sequence: 0 }, new Uint8Array(4), []);
  const own = encodeMessage({ type: NLMSG_ERROR, flags: 0, sequence: 1 }, new Uint8Array(4), []);
  const pending = [old, own];
  const { sys } = scriptedSys({
    recvmsg: (_fd: number, into: Uint8Array) => {
      const next = pending.shift() ?? new Uint8Array(0);
      into.set(next);
      return next.length;
    },
  });
  const socket = new RouteSocket(sys);
  socket.change(RTM_NEWLINK, moveLink(1, "x", 2), "RTM_NEWLINK", "x");
  expect(pending).toEqual([]);
});
