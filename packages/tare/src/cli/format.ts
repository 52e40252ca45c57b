/** `--format` of commands that list and inspect: Docker's templates, its `table`, and `json`. */

import { executeTemplate } from "../template/execute.ts";
import { parseTemplate } from "../template/syntax.ts";
import { printTable } from "./table.ts";

export type Row = Readonly<Record<string, unknown>>;

const TABLE = "table ";

/** The flag's text as the shell gives it: `\t` and `\n` are written out there. */
function spellOut(text: string): string {
  return text.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/**
 * A line for each row, by a template, by a table of one (`table {{.A}}\t{{.B}}`), or as JSON.
 * `heads` are the titles of fields whose title is not their name in capitals.
 * @throws TareError `bad_input` for a template that is none
 */
export function printRows(
  format: string,
  rows: readonly Row[],
  heads: Readonly<Record<string, string>>,
): string {
  if (format === "json") return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const isTable = format.startsWith(TABLE);
  const template = parseTemplate(spellOut(isTable ? format.slice(TABLE.length) : format));
  const lines = rows.map((row) => executeTemplate(template, row));
  if (!isTable) return lines.map((line) => `${line}\n`).join("");
  const names = Object.keys(rows[0] ?? heads);
  const titles = Object.fromEntries(names.map((name) => [name, heads[name] ?? titleOf(name)]));
  const head = executeTemplate(template, titles);
  return printTable([head, ...lines].map((line) => line.split("\t")));
}

/** `CreatedSince` is CREATED SINCE. */
function titleOf(name: string): string {
  return name.replaceAll(/([a-z])([A-Z])/g, "$1 $2").toUpperCase();
}

/**
 * What `inspect` prints of some objects: a list, or a line each by a template.
 * @throws TareError `bad_input`
 */
export function printInspected(format: string | undefined, objects: readonly Row[]): string {
  if (format === undefined) return `${JSON.stringify(objects, undefined, 4)}\n`;
  if (format === "json") return `${JSON.stringify(objects)}\n`;
  const template = parseTemplate(spellOut(format));
  return objects.map((each) => `${executeTemplate(template, each)}\n`).join("");
}
