/**
 * `events`: what a container uses, in the JSON of runc, every few seconds or once; and when it runs
 * out of memory. Ends with the container.
 */

import { TareError } from "@tare/spec/error.ts";
import { type OpenCgroup, openState } from "../cgroup/join.ts";
import { type OomWatch, watchOom } from "../cgroup/oom.ts";
import { readStats } from "../cgroup/read-stats.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import { eventData, type JsonObject, toJson } from "../cgroup/stats.ts";
import type { Record } from "../container/record.ts";
import { readSchemata } from "../resctrl/read.ts";
import { ESRCH } from "../sys/abi-errno.ts";
import { POLLIN } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { monotonicMs } from "../sys/clock.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Commands } from "./command.ts";
import { type Context, containerId, print } from "./context.ts";
import { parseDuration } from "./duration.ts";
import { known } from "./known.ts";

const EVENTS_OPTIONS = { interval: "value", stats: "flag" } as const;

export const COMMANDS: Commands = {
  events: { options: EVENTS_OPTIONS, mixed: true, words: 1, run: runEvents },
};

function runEvents(context: Context): number {
  const { sys, args } = context;
  const id = containerId(args);
  const intervalMs = parseDuration(args.options.get("interval") ?? "5s", "interval");
  const { record, status } = known(context, id);
  if (status === "stopped" || record.pid === undefined) {
    throw new TareError("bad_state", `Cannot watch: container with id ${id} is not running`);
  }
  using cgroup = openState(sys, parseCgroupState(record.cgroup));
  const tellStats = (): void => {
    const data = eventData(readStats(sys, cgroup), intelRdt(sys, record));
    print(sys, `${toJson({ type: "stats", id, data })}\n`);
  };
  if (args.flags.has("stats")) tellStats();
  else watch(sys, record.pid, cgroup, { intervalMs, tellStats, tellOom: () => tellOom(sys, id) });
  return 0;
}

function tellOom(sys: Sys, id: string): void {
  print(sys, `${toJson({ type: "oom", id })}\n`);
}

function intelRdt(sys: Sys, { resctrl }: Record): JsonObject {
  if (resctrl === undefined) return {};
  return { schemata: readSchemata(sys, resctrl) };
}

type Telling = {
  readonly intervalMs: number;
  readonly tellStats: () => void;
  readonly tellOom: () => void;
};

/** Until the first process ends, or the cgroup is taken away from under it. */
function watch(sys: Sys, pid: number, cgroup: OpenCgroup, telling: Telling): void {
  const ret = sys.pidfd_open(pid, 0);
  // It has ended since its status was asked for.
  if (errnoOf(ret) === ESRCH) return;
  using pidfd = new OwnedFd(sys, check(ret, "pidfd_open"));
  using oom = watchOom(sys, cgroup);
  let next = monotonicMs(sys) + telling.intervalMs;
  for (;;) {
    const isOver = waitUntil(sys, pidfd.fd, oom, next);
    // Asked each time: the kill that ends the container is told too.
    const what = oom?.take();
    if (what === "oom") telling.tellOom();
    if (isOver || what === "gone") return;
    const now = monotonicMs(sys);
    if (now < next) continue;
    telling.tellStats();
    // What was missed while this process was stopped is not made up for.
    next = Math.max(next + telling.intervalMs, now);
  }
}

/** Whether the first process has ended. */
function waitUntil(sys: Sys, pidfd: Fd, oom: OomWatch | undefined, end: number): boolean {
  const set = Int32Array.of(pidfd, POLLIN, 0, oom?.fd ?? -1, oom?.events ?? 0, 0);
  const ms = Math.max(0, end - monotonicMs(sys));
  check(
    retried(() => sys.poll(set, ms)),
    "poll",
  );
  return set[2] !== 0;
}
