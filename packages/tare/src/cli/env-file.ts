/**
 * The format of `--env-file`: a variable a line, `KEY=value` or `KEY`; blank lines and lines whose
 * first character is `#` do not count; nothing is quoted and nothing is expanded, as in Docker.
 */
import { TareError } from "@tare/spec/error.ts";

/** The entries of the file's text; `path` is for the message. */
export function envFileLines(text: string, path: string): string[] {
  const unmarked = text.startsWith("\uFEFF") ? text.slice(1) : text;
  return unmarked.split("\n").flatMap((line, index) => {
    const entry = line.trimStart().replace("\r", "");
    if (entry === "" || entry.startsWith("#")) return [];
    const refusal = refuse(entry);
    if (refusal === undefined) return [entry];
    throw new TareError("bad_input", `Cannot read line ${index + 1} of "${path}": ${refusal}`);
  });
}

function refuse(entry: string): string | undefined {
  const [key = ""] = entry.split("=");
  if (key === "") return "the variable has no name";
  if (key.includes(" ") || key.includes("\t")) return `the name "${key}" has a space`;
  return entry.includes("\0") ? "it has a NUL byte" : undefined;
}
