/**
 * Reads a process's mount table, /proc/PID/mountinfo (proc_pid_mountinfo(5)).
 */
import { readFileSync } from "node:fs";

export type MountEntry = {
  readonly id: number;
  readonly root: string;
  readonly point: string;
  /** Per mount, as `ro`, `nosuid`. */
  readonly options: readonly string[];
  /** `shared:1`, `master:2`, `propagate_from:3`, `unbindable`; none when private. */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
};

/** @param who a pid or `self` */
export function readMountTable(who: number | "self"): MountEntry[] {
  return parseMountTable(readFileSync(`/proc/${who}/mountinfo`, "utf8"));
}

export function parseMountTable(text: string): MountEntry[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => {
    const [front = "", back = ""] = line.split(" - ");
    const [id = "", , , root = "", point = "", options = "", ...propagation] = front.split(" ");
    const [type = "", source = "", superOptions = ""] = back.split(" ");
    return {
      id: Number(id),
      root: unquote(root),
      point: unquote(point),
      options: options.split(","),
      propagation,
      type,
      source: unquote(source),
      superOptions: superOptions.split(","),
    };
  });
}

/** The topmost mount at exactly this point. */
export function mountAt(table: readonly MountEntry[], point: string): MountEntry | undefined {
  return table.findLast((entry) => entry.point === point);
}

/** The kernel writes blanks and backslashes as three octal digits. */
function unquote(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
