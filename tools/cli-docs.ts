/**
 * The help texts of all commands as docs/cli.md has them. `bun tools/cli-docs.ts` writes them there;
 * `cli-docs.test.ts` says when that was forgotten.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { COMMANDS } from "../packages/tare/src/cli/commands.ts";
import { commandHelp, overview } from "../packages/tare/src/cli/help.ts";
import { GLOBAL_FLAGS } from "../packages/tare/src/cli/main.ts";
import { ROOT, readText } from "./repository.ts";

export const PAGE = "docs/cli.md";
const FIRST_HEADING = `\n## tare ${COMMANDS[0]?.name}\n`;

/** The page with the texts as they are now: the overview at its first fence, a heading for each command. */
export async function writtenAnew(page: string): Promise<string> {
  const end = page.indexOf(FIRST_HEADING);
  if (end < 0) throw new Error(`${PAGE} has no heading ${FIRST_HEADING.trim()}`);
  const text = overview(COMMANDS, GLOBAL_FLAGS);
  // As a function: a replacement text has signs of its own.
  const head = page.slice(0, end).replace(/```\n[\s\S]*?\n```\n/, () => fenced(text));
  const parts = await Promise.all(
    COMMANDS.map(async (entry) => {
      const aliases = (entry.aliases ?? []).map((name) => `\`tare ${name}\``).join(", ");
      const also = aliases === "" ? "" : `Also ${aliases}.\n\n`;
      return `\n## tare ${entry.name}\n\n${also}${fenced(commandHelp(await entry.load()))}`;
    }),
  );
  return head + parts.join("");
}

function fenced(text: string): string {
  return `\`\`\`\n${text.trimEnd()}\n\`\`\`\n`;
}

if (import.meta.main) writeFileSync(join(ROOT, PAGE), await writtenAnew(readText(PAGE)));
