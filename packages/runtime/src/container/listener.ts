/** Passes the listener of a container's filter on to its agent, for those few who have one. */

import type { Status } from "@tare/spec/oci-runtime.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Record } from "./record.ts";
import type { OnListener } from "./start-socket.ts";
import { toState } from "./store.ts";

/** What takes the listener of this container; undefined where its filter has none. */
export function listenerTaker(sys: Sys, record: Record): OnListener | undefined {
  if (record.agent === undefined) return undefined;
  return (fd) => passListener(sys, record, "created", record.pid ?? 0, fd);
}

/** Passes on the listener of a process that a container's filter binds, and closes it. */
export function passListener(sys: Sys, record: Record, status: Status, pid: number, fd: Fd): void {
  using listener = new OwnedFd(sys, fd);
  if (record.agent === undefined) return;
  const { sendListener } = loadPart(sys, "tare-runtime~listener");
  sendListener(sys, { agent: record.agent, state: toState(record, status), pid }, listener.fd);
}
