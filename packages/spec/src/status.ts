/**
 * The life of a container as a table: what is not in it is refused, and the message falls out of it.
 * Source: runtime-spec 1.3, runtime.md, "State"; `paused` is the value that runc and crun add.
 */
import { TareError } from "./error.ts";
import type { Status } from "./oci-runtime.ts";

/** What happens to a container: `ready` ends its creation, `exit` is the end of its process. */
export type StatusEvent = "ready" | "start" | "pause" | "resume" | "exit";

/** A created container's process waits, and can be frozen, but would come back as running: refused. */
const NEXT: {
  readonly [status in Status]: { readonly [event in StatusEvent]?: Status };
} = {
  creating: { ready: "created", exit: "stopped" },
  created: { start: "running", exit: "stopped" },
  running: { pause: "paused", exit: "stopped" },
  paused: { resume: "running", exit: "stopped" },
  stopped: {},
};

const EVENTS: { readonly [event in StatusEvent]: string } = {
  ready: "finish creating",
  start: "start",
  pause: "pause",
  resume: "resume",
  exit: "stop",
};

/** The status after an event. Throws `bad_state` where the container `id` cannot have it. */
export function nextStatus(id: string, status: Status, event: StatusEvent): Status {
  const next = NEXT[status][event];
  if (next !== undefined) return next;
  const wanted = (Object.keys(NEXT) as Status[]).filter((each) => NEXT[each][event] !== undefined);
  failState(id, EVENTS[event], status, wanted);
}

/** Throws `bad_state` unless the status is one of `wanted`: "Cannot exec in container ...". */
export function requireStatus(
  id: string,
  action: string,
  status: Status,
  wanted: readonly Status[],
): void {
  if (!wanted.includes(status)) failState(id, action, status, wanted);
}

function failState(id: string, action: string, status: Status, wanted: readonly Status[]): never {
  throw new TareError(
    "bad_state",
    `Cannot ${action} container "${id}": it is ${status}, not ${wanted.join(" or ")}`,
  );
}
