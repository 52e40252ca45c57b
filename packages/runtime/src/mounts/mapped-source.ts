/**
 * The source of an id-mapped bind, opened when its turn comes: it may lie on what the same container has
 * mounted before. To map owners takes rights over the file system, which the first process may not have:
 * so a process of the runtime's joins the mount namespace, and answers the tree.
 */

import { fromReport, TareError, toReport } from "@tare/spec/error.ts";
import { Channel } from "../container/channel.ts";
import type { MountStep } from "../container/step.ts";
import { waitFor } from "../process/wait.ts";
import { NO_FD } from "../sys/abi-file.ts";
import { CLONE_NEWNS, SIGCHLD } from "../sys/abi-process.ts";
import { check } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { openBindSource } from "./attach.ts";
import { mapOwners, openMaps } from "./idmap.ts";

type Bind = Extract<MountStep, { op: "bind" }>;

/** The detached tree of a bind, as the process `pid` sees it at this moment, with its owners mapped. */
export function openMappedSource(sys: Sys, step: Bind, pid: number): OwnedFd {
  if (step.idmap === undefined) throw new TareError("internal", "Cannot map owners: no map");
  // Here, where /proc is the host's.
  using maps = openMaps(sys, step.idmap);
  using pidfd = new OwnedFd(sys, check(sys.pidfd_open(pid, 0), "pidfd_open"));
  const [ours, theirs] = Channel.pair(sys);
  const helper = check(sys.clone3(0, SIGCHLD, NO_FD), "clone3");
  if (helper === 0) answerTree(sys, step, { pidfd: pidfd.fd, maps: maps.fd, channel: theirs });
  theirs.close();
  try {
    const received = ours.receive();
    if (received?.message.kind === "error") throw fromReport(received.message.report);
    const tree = received?.fds[0];
    if (tree !== undefined) return new OwnedFd(sys, tree);
    throw new TareError("internal", `Cannot open "${step.source}": who should do it ended`);
  } finally {
    ours.close();
    waitFor(sys, helper);
  }
}

type Gift = { readonly pidfd: Fd; readonly maps: Fd; readonly channel: Channel };

/** Never returns. */
function answerTree(sys: Sys, step: Bind, { pidfd, maps, channel }: Gift): never {
  try {
    check(sys.setns(pidfd, CLONE_NEWNS), "setns");
    const tree = openBindSource(sys, step);
    mapOwners(sys, tree, maps, { recursive: step.idmap?.recursive === true, path: step.source });
    channel.send({ kind: "received" }, [tree]);
  } catch (error) {
    channel.sendLast({ kind: "error", report: toReport(error) });
  }
  sys.exit_group(0);
  throw new Error("exit_group returned");
}
