/**
 * Moves network devices of the host into a container: linux.netDevices. Addresses that somebody set
 * for good go with them, and they come up; routes do not, as in runc. When the container's network
 * ends, the kernel gives physical ones back and destroys the others.
 * Source: runtime-spec config-linux.md, "Network Devices".
 */

import { TareError } from "@tare/spec/error.ts";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { EPERM } from "../sys/abi-errno.ts";
import { AT_FDCWD, O_RDONLY } from "../sys/abi-file.ts";
import { CLONE_NEWNET } from "../sys/abi-process.ts";
import { check, SysError } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { NLM_F_CREATE, NLM_F_EXCL } from "./netlink.ts";
import { RouteSocket } from "./route-socket.ts";
import {
  type Address,
  addAddress,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  IFA_F_PERMANENT,
  IFF_UP,
  type Link,
  moveLink,
  RT_SCOPE_UNIVERSE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  setLinkUp,
} from "./rtnetlink.ts";

export type DeviceMove = {
  /** Its name on the host. */
  readonly from: string;
  /** Its name in the container; may end in `%d`. */
  readonly to: string;
};

/** Which devices get which names; two for one name are refused. Pure. */
export function planDeviceMoves({ linux }: Config): readonly DeviceMove[] {
  const moves = [...linux.netDevices].map(([from, { name }]) => ({ from, to: name ?? from }));
  const seen = new Set<string>();
  for (const { from, to } of moves) {
    if (seen.has(to) && !isTemplate(to)) {
      throw new TareError(
        "bad_input",
        `Cannot move linux.netDevices "${from}": another one is named "${to}" too`,
      );
    }
    seen.add(to);
  }
  return moves;
}

/** The addresses that are given again: set for good, and known beyond the link. Pure. */
export function keptAddresses(addresses: readonly Address[]): readonly Address[] {
  return addresses
    .filter(({ flags, scope }) => (flags & IFA_F_PERMANENT) !== 0 && scope === RT_SCOPE_UNIVERSE)
    .map((each) => ({ ...each, flags: each.flags & (IFA_F_NODAD | IFA_F_NOPREFIXROUTE) }));
}

/** Moves them all to the network namespace of the file at `path`. */
export function moveDevices(sys: Sys, moves: readonly DeviceMove[], path: string): void {
  const opened = openAt(sys, AT_FDCWD, path, O_RDONLY, 0);
  using namespace = new OwnedFd(sys, check(opened, "openat2", path));
  using here = new RouteSocket(sys);
  using there = socketIn(sys, namespace.fd);
  for (const move of moves) moveDevice(here, there, namespace.fd, move);
}

/** A socket belongs to the network namespace in which it was made. */
function socketIn(sys: Sys, namespace: Fd): RouteSocket {
  const own = "/proc/self/ns/net";
  using home = new OwnedFd(sys, check(openAt(sys, AT_FDCWD, own, O_RDONLY, 0), "openat2", own));
  check(sys.setns(namespace, CLONE_NEWNET), "setns (network namespace)");
  try {
    return new RouteSocket(sys);
  } finally {
    check(sys.setns(home.fd, CLONE_NEWNET), "setns (network namespace)", own);
  }
}

function moveDevice(here: RouteSocket, there: RouteSocket, namespace: Fd, move: DeviceMove): void {
  const { from, to } = move;
  const link = here.link(from);
  if (link === undefined) throw refused(move, "the host has no such device");
  // The kernel moves first and renames then: it would be over there, and not come back.
  if (!isTemplate(to) && there.link(to) !== undefined) {
    throw refused(move, "the container has one of that name");
  }
  // Before it goes down, which takes addresses of IPv6 away.
  const addresses = keptAddresses(here.addressesOf(link.index));
  const before = isTemplate(to) ? there.links() : [];
  here.change(RTM_NEWLINK, setLinkUp(link.index, false), "RTM_NEWLINK", from);
  try {
    here.change(RTM_NEWLINK, moveLink(link.index, to, namespace), "RTM_NEWLINK", from);
  } catch (error) {
    if ((link.flags & IFF_UP) !== 0) raiseAgain(here, link);
    throw worded(move, error);
  }
  const moved = isTemplate(to) ? newcomer(before, there.links(), to) : there.link(to);
  if (moved === undefined) throw refused(move, "it did not arrive");
  for (const address of addresses) {
    const payload = addAddress(moved.index, address);
    there.change(RTM_NEWADDR, payload, "RTM_NEWADDR", moved.name, NLM_F_CREATE | NLM_F_EXCL);
  }
  there.change(RTM_NEWLINK, setLinkUp(moved.index, true), "RTM_NEWLINK", moved.name);
}

/** One that was moved all the same is not there any more: the first error counts. */
function raiseAgain(here: RouteSocket, { index, name }: Link): void {
  try {
    here.change(RTM_NEWLINK, setLinkUp(index, true), "RTM_NEWLINK", name);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
  }
}

function isTemplate(name: string): boolean {
  return name.includes("%");
}

/** The link that was not there before and is named after the template. Pure. */
export function newcomer(
  before: readonly Link[],
  after: readonly Link[],
  template: string,
): Link | undefined {
  const known = new Set(before.map(({ index }) => index));
  const [prefix = ""] = template.split("%");
  return after.find(({ index, name }) => !known.has(index) && name.startsWith(prefix));
}

function worded(move: DeviceMove, error: unknown): unknown {
  if (!(error instanceof SysError)) return error;
  if (error.errno === EPERM) return refused(move, "that takes CAP_NET_ADMIN on the host", error);
  return refused(move, error.message, error);
}

function refused({ from, to }: DeviceMove, why: string, cause?: unknown): TareError {
  const as = from === to ? "" : ` as "${to}"`;
  return new TareError("system", `Cannot move linux.netDevices "${from}"${as}: ${why}`, { cause });
}
