/** Applies the namespace steps in the container's first process. */

import { assertNever } from "@tare/spec/error.ts";
import type { NamespaceType } from "@tare/spec/oci-runtime.ts";
import { joinCgroup } from "../cgroup/join.ts";
import { ALL_PROCESSORS } from "../process/affinity.ts";
import { becomeNamespaceRoot, hide } from "../process/hidden.ts";
import { AT_FDCWD, O_RDONLY } from "../sys/abi-file.ts";
import { CLONE_NEWCGROUP } from "../sys/abi-process.ts";
import {
  AF_INET,
  IFF_UP,
  SIOCGIFFLAGS,
  SIOCSIFFLAGS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
} from "../sys/abi-socket.ts";
import { check, during } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Ret, Sys } from "../sys/types.ts";
import type { InitGift } from "./init.ts";
import { joinKeyring } from "./keyring.ts";
import { NAMESPACE_FLAGS } from "./namespaces.ts";
import type { NamespaceStep } from "./step.ts";

export function applyNamespaceStep(sys: Sys, gift: InitGift, step: NamespaceStep): void {
  switch (step.op) {
    case "join":
      return joinNamespace(sys, step.type, step.path);
    case "become-root":
      return becomeRoot(sys, gift);
    case "hide":
      // Until execve, which undoes it (CVE-2016-9962, CVE-2019-5736).
      return hide(sys);
    case "enter-cgroup":
      return joinCgroup(sys, gift.join);
    case "wait-cgroup":
      return void gift.channel.expect("placed");
    case "all-processors":
      return void check(sys.sched_setaffinity(0, ALL_PROCESSORS), "sched_setaffinity");
    case "cgroup-namespace":
      return void check(sys.unshare(CLONE_NEWCGROUP), "unshare CLONE_NEWCGROUP");
    case "session":
      return void check(sys.setsid(), "setsid");
    case "keyring":
      return joinKeyring(sys, step.name);
    case "loopback":
      return raiseLoopback(sys);
    case "hostname":
      return void check(sys.sethostname(step.name), "sethostname", step.name);
    case "domainname":
      return void check(sys.setdomainname(step.name), "setdomainname", step.name);
    default:
      return assertNever(step);
  }
}

/** Joins a namespace by its file; the kernel checks that the file is one of this type. */
export function joinNamespace(sys: Sys, type: NamespaceType, path: string): void {
  using file = openNamespace(sys, type, path);
  enterNamespace(type, path, sys.setns(file.fd, NAMESPACE_FLAGS[type]));
}

/** The file of a namespace that the configuration names. */
export function openNamespace(sys: Sys, type: NamespaceType, path: string): OwnedFd {
  const open = () => check(openAt(sys, AT_FDCWD, path, O_RDONLY, 0), "openat2", path);
  return new OwnedFd(
    sys,
    during(() => joining(type), open),
  );
}

/** Looks at the answer of setns(2). */
export function enterNamespace(type: NamespaceType, path: string, ret: Ret<void>): void {
  during(
    () => joining(type),
    () => check(ret, `setns (${type} namespace)`, path),
  );
}

function joining(type: NamespaceType): string {
  return `Cannot join the ${type} namespace of linux.namespaces`;
}

/**
 * Waits until the parent wrote the maps of the new user namespace, then becomes its root. One that a
 * stage made has its maps already, and they can be written once.
 */
function becomeRoot(sys: Sys, gift: InitGift): void {
  const { flags, stage } = gift.plan.clone;
  if ((flags & NAMESPACE_FLAGS.user) !== 0 && !stage) {
    gift.channel.send({ kind: "map" });
    gift.channel.expect("mapped");
  }
  becomeNamespaceRoot(sys);
}

/** `struct ifreq` of netdevice(7): a name of 16 bytes, then flags. */
function raiseLoopback(sys: Sys): void {
  const type = SOCK_DGRAM | SOCK_CLOEXEC;
  using socket = new OwnedFd(sys, check(sys.socket(AF_INET, type, 0), "socket"));
  const request = new Uint8Array(40);
  request.set(sys.encode_utf8("lo"));
  check(sys.ioctl_bytes(socket.fd, SIOCGIFFLAGS, request), "ioctl SIOCGIFFLAGS", "lo");
  const view = new DataView(request.buffer);
  view.setUint16(16, view.getUint16(16, true) | IFF_UP, true);
  check(sys.ioctl_bytes(socket.fd, SIOCSIFFLAGS, request), "ioctl SIOCSIFFLAGS", "lo");
}
