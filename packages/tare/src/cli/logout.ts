/** `tare logout`: what is kept for a registry is forgotten. */
import { parseRegistry } from "@tare/engine/registry/login.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import { readLine } from "./read-line.ts";
import { openRegistries } from "./registries.ts";

export const LOGOUT = {
  summary: {
    name: "logout",
    usage: "[REGISTRY]",
    help: "Forget a registry's password (default docker.io)",
  },
  flags: {},
  interspersed: true,
  needsRoot: false,
  run: runLogout,
} satisfies Command;

async function runLogout(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(LOGOUT, words, around);
  if (line === undefined) return 0;
  const [word = "docker.io", more] = line.positionals;
  if (more !== undefined) throw new TareError("bad_input", "Cannot log out: want one registry");
  const registry = parseRegistry(word);
  const dropped = await openRegistries(around).credentials.drop(registry);
  around.print(
    dropped ? `Removing login credentials for ${registry}\n` : `Not logged in to ${registry}\n`,
  );
  return 0;
}
