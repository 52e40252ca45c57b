/** `--format` of commands that list and inspect: Docker's templates, its `table`, and `json`. */

import { printTable } from "./table.ts";
import { parseText } from "./values.ts";

export type Row = Readonly<Record<string, unknown>>;

/** A function for a field that takes an argument, such as `.Label "key"`. */
export type Title = string | ((argument: unknown) => string);

/** The title of `.Label "some.long-key"`, as Docker has it: "long key". */
export function labelTitle(key: unknown): string {
  return String(key).split(".").at(-1)?.replaceAll(/[-_]/g, " ") ?? "";
}

/** What a command that lists can print of each thing. */
export type Listing<R extends Row> = {
  /** The title of each field, in the order in which an error names them. */
  readonly titles: Readonly<Record<keyof R & string, Title>>;
  /** The fields of the table that is printed without a format. */
  readonly columns: readonly (keyof R & string)[];
};

/** The flag of all commands that list; the example is a template of the command's own fields. */
export function listFormatFlag(example: string) {
  return {
    name: "format",
    arg: "TEMPLATE",
    help: `How to print: json, table, table TEMPLATE, or a template such as '${example}'`,
    parse: parseText,
  } as const;
}

/** The flag of all commands that inspect. */
export function inspectFormatFlag(example: string) {
  return {
    name: "format",
    short: "f",
    arg: "TEMPLATE",
    help: `How to print: json, or a template such as '${example}'`,
    parse: parseText,
  } as const;
}

const TABLE = "table ";

/** The flag's text as the shell gives it: `\t` and `\n` are written out there. */
function spellOut(text: string): string {
  return text.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

/** What a template makes of some data; what reads templates is loaded where there is one. */
export async function openTemplate(text: string): Promise<(data: unknown) => string> {
  const { parseTemplate } = await import("../template/syntax.ts");
  const { executeTemplate } = await import("../template/execute.ts");
  const template = parseTemplate(spellOut(text));
  return (data) => executeTemplate(template, data);
}

/**
 * A table of the listing's columns; by a format a line for each row, by a template, by a table of one
 * (`table {{.A}}\t{{.B}}`), or as JSON.
 * @throws TareError `bad_input` for a template that is none, or one with a field that there is not
 */
export async function printListing<R extends Row>(
  format: string | undefined,
  rows: readonly R[],
  { titles, columns }: Listing<R>,
): Promise<string> {
  if (format === undefined || format === "" || format.trim() === "table") {
    const lines = [titles, ...rows].map((row) => columns.map((column) => String(row[column])));
    return printTable(lines);
  }
  if (format === "json") return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const isTable = format.startsWith(TABLE);
  const print = await openTemplate(isTable ? format.slice(TABLE.length) : format);
  const lines = rows.map(print);
  if (!isTable) return lines.map((line) => `${line}\n`).join("");
  return printTable([print(titles), ...lines].map((line) => line.split("\t")));
}

/**
 * What `inspect` prints of some objects: a list, or a line each by a template.
 * @throws TareError `bad_input`
 */
export async function printInspected(
  format: string | undefined,
  objects: readonly Row[],
): Promise<string> {
  if (format === undefined || format === "") return `${JSON.stringify(objects, undefined, 4)}\n`;
  if (format === "json") return `${JSON.stringify(objects)}\n`;
  const print = await openTemplate(format);
  return objects.map((each) => `${print(each)}\n`).join("");
}
