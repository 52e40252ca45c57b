/** Makes a container's resctrl groups, puts processes into them, takes them away. */

import { TareError } from "@tare/spec/error.ts";
import type { IntelRdt } from "@tare/spec/oci-runtime.ts";
import { EEXIST, ENOENT } from "../sys/abi-errno.ts";
import { AT_FDCWD, AT_REMOVEDIR } from "../sys/abi-file.ts";
import { check, errnoOf, SysError } from "../sys/check.ts";
import { readText, writeTextAt } from "../sys/file.ts";
import type { Sys } from "../sys/types.ts";
import {
  linesBefore,
  missingLine,
  planResctrl,
  planState,
  type ResctrlPlan,
  type ResctrlState,
  resctrlRoot,
} from "./plan.ts";

const MOUNTINFO_BYTES_MAX = 16 * 1024 * 1024;
const SCHEMATA_BYTES_MAX = 64 * 1024;
const STATUS_BYTES_MAX = 4096;

/** Whether the kernel has resctrl mounted. */
export function hasResctrl(sys: Sys): boolean {
  return findRoot(sys) !== undefined;
}

function findRoot(sys: Sys): string | undefined {
  return resctrlRoot(readText(sys, "/proc/self/mountinfo", MOUNTINFO_BYTES_MAX) ?? "");
}

/** The plan for this host; `unsupported` where there is no resctrl. Makes nothing. */
export function prepareResctrl(sys: Sys, rdt: IntelRdt, id: string): ResctrlPlan {
  const root = findRoot(sys);
  if (root === undefined) {
    throw new TareError("unsupported", "Cannot honour linux.intelRdt: no resctrl is mounted", {
      hint: "It takes CONFIG_X86_CPU_RESCTRL, a processor with it, and mount -t resctrl resctrl /sys/fs/resctrl",
    });
  }
  return planResctrl(rdt, id, root);
}

/** Makes the groups and puts the process into them; `note` records first what will be taken away. */
export function joinResctrl(
  sys: Sys,
  plan: ResctrlPlan,
  pid: number,
  note: (state: ResctrlState) => void,
): void {
  const isThere = errnoOf(sys.faccessat2(AT_FDCWD, plan.group, 0, 0)) === 0;
  if (isThere && plan.kind === "own") {
    throw new TareError("conflict", `Cannot make linux.intelRdt group "${plan.group}": it exists`);
  }
  if (!isThere && plan.kind === "present") {
    throw new TareError(
      "bad_input",
      `Cannot use linux.intelRdt.closID: there is no group "${plan.group}"`,
      { hint: "Make it first, or give a schema: then it is made" },
    );
  }
  if (isThere) checkSchemata(sys, plan);
  const state = planState(plan);
  note(state);
  if (!isThere) makeGroup(sys, plan.group);
  if (!isThere && plan.schemata.length > 0) writeSchemata(sys, plan);
  if (plan.monitor !== undefined) makeGroup(sys, plan.monitor);
  putInto(sys, state, pid);
}

/** A group that others made is not changed: it has to say what is asked for. */
function checkSchemata(sys: Sys, { group, schemata }: ResctrlPlan): void {
  if (schemata.length === 0) return;
  const present = readText(sys, `${group}/schemata`, SCHEMATA_BYTES_MAX) ?? "";
  const missing = missingLine(schemata, present);
  if (missing === undefined) return;
  throw new TareError(
    "conflict",
    `Cannot use linux.intelRdt group "${group}": its schemata are not "${missing}"`,
  );
}

function makeGroup(sys: Sys, path: string): void {
  const ret = sys.mkdirat(AT_FDCWD, path, 0o755);
  if (errnoOf(ret) === EEXIST && path.includes("/mon_groups/")) return;
  if (errnoOf(ret) !== 0) throw explained(sys, "mkdir", path, errnoOf(ret));
}

/**
 * Other schemata for a container that has a group, all or none; the answer takes them back.
 * @throws TareError `bad_input` for a line that is none of the kind, `unsupported` without resctrl,
 *   `system` in the kernel's words where it refuses them.
 */
export function updateSchemata(
  sys: Sys,
  state: Pick<ResctrlState, "join"> | undefined,
  asked: Pick<IntelRdt, "l3CacheSchema" | "memBwSchema">,
): () => void {
  const { l3CacheSchema } = asked;
  if (!hasResctrl(sys)) {
    const what =
      l3CacheSchema === undefined ? "MBA: memory bandwidth schema" : "CAT: l3 cache schema";
    throw new TareError("unsupported", `Cannot update: Intel RDT/${what} is not enabled`);
  }
  const [group] = state?.join ?? [];
  if (group === undefined) {
    const why = "updating a non-existent Intel RDT configuration is not supported";
    throw new TareError("bad_state", `Cannot update: ${why}`);
  }
  const { schemata } = planResctrl({ ...asked, schemata: [], enableMonitoring: false }, "", "");
  const before = linesBefore(
    schemata,
    readText(sys, `${group}/schemata`, SCHEMATA_BYTES_MAX) ?? "",
  );
  // Why it failed is what the caller must learn, not that this did too.
  const undo = () => ignoreErrors(() => writeSchemata(sys, { group, schemata: before }));
  try {
    writeSchemata(sys, { group, schemata });
  } catch (error) {
    // The kernel has taken the lines before the one that it refused.
    undo();
    throw error;
  }
  return undo;
}

function ignoreErrors(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof TareError)) throw error;
  }
}

function writeSchemata(
  sys: Sys,
  { group, schemata }: Pick<ResctrlPlan, "group" | "schemata">,
): void {
  const text = schemata.map((line) => `${line}\n`).join("");
  writeExplained(sys, `${group}/schemata`, text);
}

/** Puts a process into the groups of a container: the first one, or one that is executed later. */
export function putInto(sys: Sys, { join }: Pick<ResctrlState, "join">, pid: number): void {
  for (const group of join) writeExplained(sys, `${group}/tasks`, `${pid}\n`);
}

function writeExplained(sys: Sys, path: string, text: string): void {
  try {
    writeTextAt(sys, AT_FDCWD, path, text, 0);
  } catch (error) {
    if (error instanceof SysError) throw explained(sys, error.call, path, error.errno);
    throw error;
  }
}

/** The kernel writes down why, beside the errno. */
function explained(sys: Sys, call: string, path: string, errno: number): TareError {
  const cause = new SysError(call, path, errno);
  const root = findRoot(sys);
  const status = readText(sys, `${root}/info/last_cmd_status`, STATUS_BYTES_MAX)?.trim() ?? "";
  const why = status === "" || status === "ok" ? "" : ` (${status.slice(0, 200)})`;
  return new TareError("system", `Cannot honour linux.intelRdt: ${cause.message}${why}`, { cause });
}

/** Removes what was made for the container; what is gone is gone. */
export function removeResctrl(sys: Sys, { remove }: Pick<ResctrlState, "remove">): void {
  for (const group of remove) {
    const ret = sys.unlinkat(AT_FDCWD, group, AT_REMOVEDIR);
    if (errnoOf(ret) !== ENOENT) check(ret, "rmdir", group);
  }
}
