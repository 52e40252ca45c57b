/** Help texts, derived from the tables of commands and flags. */
import type { Command, CommandSummary } from "./command.ts";
import type { Flag, FlagTable } from "./flag.ts";

/** The overview that `tare` and `tare help` print. */
export function overview(commands: readonly CommandSummary[], globals: FlagTable): string {
  return `Usage: tare [FLAGS] COMMAND

A Linux container engine.

Flags, before the command:
${flagList(globals)}

Commands:
${listOf(commands)}

"tare COMMAND --help" explains a command. The image @host is this machine's own root file system,
copied on write: tare run -it @host
`;
}

/** The text of `tare GROUP --help`. */
export function groupHelp(group: string, commands: readonly CommandSummary[]): string {
  return `Usage: tare ${group} COMMAND\n\nCommands:\n${listOf(commands)}\n`;
}

function listOf(commands: readonly CommandSummary[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return commands.map(({ name, help }) => `  ${name.padEnd(width)}  ${help}`).join("\n");
}

/** The text of `tare COMMAND --help`. */
export function commandHelp(command: Command): string {
  const { name, usage, help } = command.summary;
  const flags = Object.values(command.flags);
  const flagWord = flags.length === 0 ? "" : " [FLAGS]";
  const head = `Usage: tare ${name}${flagWord}${usage === "" ? "" : ` ${usage}`}\n\n${help}\n`;
  if (flags.length === 0) return head;
  return `${head}\nFlags:\n${flagList(command.flags)}\n`;
}

function flagList(flags: FlagTable): string {
  const rows = Object.values(flags)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(flagRow);
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
}

function flagRow(flag: Flag): readonly [string, string] {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  const arg = flag.arg === undefined ? "" : ` ${flag.arg}`;
  return [`${short}--${flag.name}${arg}`, flag.help];
}
