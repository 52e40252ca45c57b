/** `list`: all containers below the root, in the layouts of runc. */

import { TareError } from "@tare/spec/error.ts";
import type { Record } from "../container/record.ts";
import { findDirectory, listIds, toState } from "../container/store.ts";
import type { Commands } from "./command.ts";
import { type Context, print } from "./context.ts";
import { statusNow } from "./known.ts";

const LIST_OPTIONS = {
  format: "value",
  f: { short: "format" },
  quiet: "flag",
  q: { short: "quiet" },
} as const;

/** Of a column: its least width, and the blanks after its longest cell. */
const WIDTH_MIN = 12;
const PADDING = 3;

export const COMMANDS: Commands = {
  list: { options: LIST_OPTIONS, mixed: true, words: 0, run: runList },
};

function runList(context: Context): number {
  const { sys, root, args } = context;
  const rows = (listIds(sys, root) ?? noRoot(context)).flatMap((id) => listRow(context, id));
  const format = args.options.get("format") ?? "table";
  if (args.flags.has("quiet")) print(sys, rows.map(({ id }) => `${id}\n`).join(""));
  else if (format === "json") print(sys, `${JSON.stringify(rows.length === 0 ? null : rows)}\n`);
  else if (format === "table") print(sys, table(rows));
  else {
    throw new TareError("bad_input", `Cannot list as "${format}": unknown format`, {
      hint: "Use table or json",
    });
  }
  return 0;
}

/** The default one is made when it is needed. */
function noRoot({ root, rootGiven }: Context): readonly string[] {
  if (!rootGiven) return [];
  throw new TareError("not_found", `Cannot list containers below "${root}": no such directory`, {
    hint: "Check --root",
  });
}

type Row = {
  readonly ociVersion: string;
  readonly id: string;
  readonly pid: number;
  readonly status: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations?: Record["annotations"];
  readonly owner: string;
};

/** One container; one that is just being removed, or damaged, does not hide the others. */
function listRow({ sys, root }: Context, id: string): Row[] {
  const none = { pid: 0, bundle: "", rootfs: "", created: "", owner: "" };
  try {
    using directory = findDirectory(sys, root, id);
    if (directory === undefined) return [];
    const record = directory.read();
    if (record === undefined) return [{ ociVersion: "", id, status: "creating", ...none }];
    const status = statusNow(sys, directory, record);
    const { ociVersion, bundle, rootfs, created, owner } = record;
    const pid = status === "stopped" ? 0 : (record.pid ?? 0);
    const { annotations } = toState(record, status);
    const annotated = annotations === undefined ? {} : { annotations };
    return [{ ociVersion, id, pid, status, bundle, rootfs, created, ...annotated, owner }];
  } catch {
    return [{ ociVersion: "", id, status: "damaged", ...none }];
  }
}

/** Columns as Go's tabwriter makes them with runc's settings; the last one is as wide as it is. */
function table(rows: readonly Row[]): string {
  const head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
  const lines = rows.map(({ id, pid, status, bundle, created, owner }) => {
    return [id, String(pid), status, bundle, created, owner];
  });
  const all = [head, ...lines];
  const widths = head.map((_name, column) =>
    Math.max(WIDTH_MIN, ...all.map((line) => (line[column] ?? "").length + PADDING)),
  );
  const last = head.length - 1;
  const cell = (text: string, column: number): string =>
    column === last ? text : text.padEnd(widths[column] ?? 0);
  return all.map((line) => `${line.map(cell).join("")}\n`).join("");
}
