/** `pause` and `resume`: stops all processes of a container, and lets them go on. */

import { TareError } from "@tare/spec/error.ts";
import { freezeCgroup, thawCgroup } from "../cgroup/freezer.ts";
import { parseCgroupState } from "../cgroup/state.ts";
import type { Commands } from "./command.ts";
import { type Context, containerId } from "./context.ts";
import { known } from "./known.ts";

export const COMMANDS: Commands = {
  pause: { options: {}, mixed: true, words: 1, run: runPause },
  resume: { options: {}, mixed: true, words: 1, run: runResume },
};

function runPause(context: Context): number {
  const id = containerId(context.args);
  const { record, status } = known(context, id);
  if (status !== "running" && status !== "created") {
    // The words that engines look for in runc's message.
    throw wrong("pause", id, `container not running: it is ${status}`);
  }
  freezeCgroup(context.sys, parseCgroupState(record.cgroup));
  return 0;
}

function runResume(context: Context): number {
  const id = containerId(context.args);
  const { record, status } = known(context, id);
  if (status !== "paused") throw wrong("resume", id, `container not paused: it is ${status}`);
  thawCgroup(context.sys, parseCgroupState(record.cgroup));
  return 0;
}

function wrong(verb: string, id: string, why: string): TareError {
  return new TareError("bad_state", `Cannot ${verb} container "${id}": ${why}`);
}
