/** A container that a command is for: its record, and the status it has at this moment. */

import { TareError } from "@tare/spec/error.ts";
import type { Status } from "@tare/spec/oci-runtime.ts";
import { isCgroupFrozen } from "../cgroup/freezer.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import type { Record } from "../container/record.ts";
import { type ContainerDirectory, openDirectory, statusOf } from "../container/store.ts";
import type { Sys } from "../sys/types.ts";
import type { Context } from "./context.ts";

/** How long a command waits for a container that is just being created. */
const CREATE_MS_MAX = 250;
const CREATE_STEP_MS = 10;

export type Known = {
  readonly directory: ContainerDirectory;
  readonly record: Record;
  readonly status: Status;
};

/**
 * @throws TareError `not_found` for an unknown id, `corrupt` where a crash came before its record
 *   was written.
 */
export function known({ sys, root }: Pick<Context, "sys" | "root">, id: string): Known {
  const directory = openDirectory(sys, root, id);
  let record = directory.read();
  // Callers that run create and go on at once, without its end, mean the container that will be there.
  for (let waited = 0; record?.ready !== true && waited < CREATE_MS_MAX; waited += CREATE_STEP_MS) {
    if (record !== undefined && statusOf(sys, directory, record) !== "creating") break;
    sys.sleep_ms(CREATE_STEP_MS);
    record = directory.read();
  }
  if (record === undefined) {
    throw new TareError(
      "corrupt",
      `Cannot read the state of container "${id}": a crash came before it was written`,
      {
        hint: `Remove it with delete --force ${id}`,
      },
    );
  }
  return { directory, record, status: statusNow(sys, directory, record) };
}

/** The status of runtime.md, and "paused" for one whose cgroup is frozen, whoever did that. */
export function statusNow(sys: Sys, directory: ContainerDirectory, record: Record): Status {
  const status = statusOf(sys, directory, record);
  const mayPause = status === "running" || status === "created";
  return mayPause && isCgroupFrozen(sys, parseCgroupState(record.cgroup)) ? "paused" : status;
}

/** For a command that the status does not allow. */
export function wrongState(verb: string, id: string, status: Status, why: string): TareError {
  return new TareError("bad_state", `Cannot ${verb} container "${id}": it is ${status}`, {
    hint: why,
  });
}
