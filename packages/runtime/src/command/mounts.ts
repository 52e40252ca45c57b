/**
 * `mounts add` and `mounts remove`, as in crun: mounts of a running container, from a file with a
 * JSON array like `mounts` of config.json. Of `remove`, only the destinations matter.
 */

import { parseContainerId } from "@tare/spec/container-id.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Mount } from "@tare/spec/oci-runtime.ts";
import { parseMounts } from "@tare/spec/oci-runtime-parse.ts";
import type { Record } from "../container/record.ts";
import { isAlive } from "../container/store.ts";
import { addMounts, removeMounts } from "../mounts/running.ts";
import { check, errnoOf } from "../sys/check.ts";
import { decodeText, readAll, readText } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import type { Commands } from "./command.ts";
import type { Context } from "./context.ts";
import { known, wrongState } from "./known.ts";

const FILE_BYTES_MAX = 1024 * 1024;
const STDIN = 0 as Fd;

export const COMMANDS: Commands = { mounts: { options: {}, mixed: true, run: runMounts } };

function runMounts(context: Context): number {
  const { sys, args } = context;
  const [verb, word, file, ...more] = args.words;
  const act = verb === "add" ? addMounts : verb === "remove" ? removeMounts : undefined;
  if (act === undefined || word === undefined || file === undefined || more.length > 0) {
    throw new TareError("bad_input", "Cannot change mounts: want add or remove, an id and a file", {
      hint: "As in: mounts add ID FILE",
    });
  }
  const mounts = readMounts(sys, file);
  const { directory, record, status } = known(context, parseContainerId(word));
  directory[Symbol.dispose]();
  if (status !== "running" && status !== "created" && status !== "paused") {
    throw wrongState("change mounts of", record.id, status, "It has none without a process");
  }
  using pidfd = openFirst(sys, record);
  act(sys, { record, mounts, pid: record.pid ?? 0, pidfd: pidfd.fd });
  return 0;
}

function readMounts(sys: Sys, file: string): readonly Mount[] {
  const text =
    file === "-"
      ? decodeText(sys, readAll(sys, STDIN, "standard input", FILE_BYTES_MAX), "standard input")
      : readText(sys, file, FILE_BYTES_MAX);
  if (text !== undefined) return parseMounts(text, file);
  throw new TareError("not_found", `Cannot read "${file}": no such file`);
}

/** The descriptor is opened before the check: whoever it is, it stays the same process. */
function openFirst(sys: Sys, record: Record): OwnedFd {
  const ret = sys.pidfd_open(record.pid ?? 0, 0);
  if (errnoOf(ret) === 0) {
    const pidfd = new OwnedFd(sys, check(ret, "pidfd_open"));
    if (isAlive(sys, record)) return pidfd;
    pidfd.close();
  }
  throw wrongState("change mounts of", record.id, "stopped", "It has none without a process");
}
