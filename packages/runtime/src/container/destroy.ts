/** Takes a container away: its processes, its cgroups, its state, in this order. */

import { isCgroupFrozen, thawCgroup } from "../cgroup/freezer.ts";
import { destroyCgroup } from "../cgroup/remove.ts";
import { type CgroupState, parseCgroupState, withUnitsDirs } from "../cgroup/state.ts";
import { ESRCH } from "../sys/abi-errno.ts";
import { SIGKILL } from "../sys/abi-process.ts";
import { POLLIN } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import { retried } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";
import type { Record } from "./record.ts";
import { type ContainerDirectory, isAlive } from "./store.ts";

const DEATH_WAIT_MS = 10_000;
/** A process that takes longer may be one that cannot die where it is. */
const QUICK_DEATH_MS = 500;

/** Kills what still runs and removes all traces; may be repeated after a crash in the middle. */
export function destroy(sys: Sys, directory: ContainerDirectory, record: Record): void {
  const cgroup = parseCgroupState(record.cgroup);
  killFirst(sys, record, cgroup);
  destroyCgroup(sys, withUnitsDirs(cgroup));
  if (cgroup.unit !== undefined) {
    loadPart(sys, "tare-runtime~systemd").stopScope(sys, cgroup.unit);
  }
  if (record.resctrl !== undefined) {
    loadPart(sys, "tare-runtime~resctrl").removeResctrl(sys, record.resctrl);
  }
  directory.remove();
}

/** Ends the first process, and with its pid namespace all others; waits until it is gone. */
function killFirst(sys: Sys, record: Record, cgroup: CgroupState): void {
  if (record.pid === undefined) return;
  const ret = sys.pidfd_open(record.pid, 0);
  if (errnoOf(ret) !== 0) return;
  using pidfd = new OwnedFd(sys, check(ret, "pidfd_open"));
  // The descriptor was opened before the check: whoever it is, it stays the same process.
  if (!isAlive(sys, record)) return;
  const sent = sys.pidfd_send_signal(pidfd.fd, SIGKILL);
  if (errnoOf(sent) !== ESRCH) check(sent, "pidfd_send_signal", String(record.pid));
  // On v1 a frozen process does not even die.
  if (isCgroupFrozen(sys, cgroup)) thawCgroup(sys, cgroup);
  const diesWithin = (ms: number) =>
    check(
      retried(() => sys.poll(Int32Array.of(pidfd.fd, POLLIN, 0), ms)),
      "poll",
    ) > 0;
  if (diesWithin(QUICK_DEATH_MS)) return;
  const { whileThawed } = loadPart(sys, "tare-runtime~stray");
  whileThawed(sys, record.pid, () => diesWithin(DEATH_WAIT_MS));
}
