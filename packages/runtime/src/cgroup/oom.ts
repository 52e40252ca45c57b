/**
 * Being told when a container runs out of memory: of v1 by an eventfd, of v2 by a poll of the file
 * that counts.
 * Sources: cgroup-v1/memory.rst, "OOM Control"; cgroup-v2.rst, "memory.events".
 */

import { TareError } from "@tare/spec/error.ts";
import { errnoName, errnoText } from "../sys/abi-errno.ts";
import { O_RDONLY } from "../sys/abi-file.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN, POLLPRI } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { OpenCgroup } from "./join.ts";
import { keyValues } from "./stats.ts";
import { openBelow, readControl, writeControl } from "./tree.ts";

/** Something to poll, and what it means when it is ready. */
export type OomWatch = {
  readonly fd: Fd;
  /** For poll(2). */
  readonly events: number;
  /** What has happened since it was asked last; "gone": the cgroup was removed. */
  readonly take: () => "oom" | "nothing" | "gone";
  readonly [Symbol.dispose]: () => void;
};

/** Undefined where no hierarchy of the container counts memory. */
export function watchOom(sys: Sys, { state, dirs }: OpenCgroup): OomWatch | undefined {
  const v1 = state.dirs.findIndex(({ controllers, version }) => {
    return version === 1 && controllers.includes("memory");
  });
  const dir = dirs[v1 >= 0 ? v1 : state.dirs.findIndex(({ version }) => version === 2)]?.fd;
  if (dir === undefined) return undefined;
  return v1 >= 0 ? watchV1(sys, dir) : watchV2(sys, dir);
}

/** The kernel also signals when the cgroup is removed: then its files are gone. */
function watchV1(sys: Sys, dir: Fd): OomWatch {
  const name = "memory.oom_control";
  using opened = new DisposableStack();
  const flags = EFD_CLOEXEC | EFD_NONBLOCK;
  const event = opened.use(new OwnedFd(sys, check(sys.eventfd(0, flags), "eventfd2")));
  using file = new OwnedFd(sys, check(openBelow(sys, dir, name, O_RDONLY), "openat2", name));
  // Once this is written the kernel holds of both files what it needs.
  const errno = writeControl(sys, dir, "cgroup.event_control", `${event.fd} ${file.fd}`);
  if (errno !== 0) {
    const why = `${errnoText(errno)} (${errnoName(errno)})`;
    throw new TareError("system", `Cannot watch the memory of the container: ${why}`);
  }
  opened.move();
  const take = (): ReturnType<OomWatch["take"]> => {
    const isTold = errnoOf(sys.read(event.fd, new Uint8Array(8))) === 0;
    if (readControl(sys, dir, name) === undefined) return "gone";
    return isTold ? "oom" : "nothing";
  };
  return { fd: event.fd, events: POLLIN, take, [Symbol.dispose]: () => event.close() };
}

/** Each change of memory.events wakes; only a kill counts. */
function watchV2(sys: Sys, dir: Fd): OomWatch | undefined {
  const name = "memory.events";
  if (readControl(sys, dir, name) === undefined) return undefined;
  const ret = openBelow(sys, dir, name, O_RDONLY);
  const file = new OwnedFd(sys, check(ret, "openat2", name));
  const text = new Uint8Array(4096);
  // What was read is what the next poll compares with.
  const kills = (): bigint | undefined => {
    const read = sys.pread(file.fd, text, 0);
    if (errnoOf(read) !== 0) return undefined;
    const lines = sys.decode_utf8(text.subarray(0, check(read, "pread", name))) ?? "";
    return keyValues(lines).get("oom_kill") ?? 0n;
  };
  let before = kills() ?? 0n;
  const take = (): ReturnType<OomWatch["take"]> => {
    const now = kills();
    if (now === undefined) return "gone";
    const answer = now > before ? "oom" : "nothing";
    before = now;
    return answer;
  };
  return { fd: file.fd, events: POLLPRI, take, [Symbol.dispose]: () => file.close() };
}
