/** Passes the listener of a container's filter on to its agent, for those few who have one. */

import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { OnListener } from "./start-socket.ts";
import { type Record, toState } from "./store.ts";

/** What takes the listener of this container; undefined where its filter has none. */
export function listenerTaker(sys: Sys, record: Record): OnListener | undefined {
  const { agent } = record;
  if (agent === undefined) return undefined;
  return (fd: Fd) => {
    using listener = new OwnedFd(sys, fd);
    const { sendListener } = loadPart(sys, "tare-runtime~listener");
    sendListener(sys, agent, toState(record, "created"), listener.fd);
  };
}
