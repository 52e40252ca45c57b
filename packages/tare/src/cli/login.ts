/** `tare login`: a name and a password are tried, then kept where docker keeps them. */
import { passwordCredential } from "@tare/engine/registry/credential.ts";
import { checkLogin, parseRegistry } from "@tare/engine/registry/login.ts";
import { TareError } from "@tare/spec/error.ts";
import type { Command, Surroundings } from "./command.ts";
import type { FlagValues } from "./flag.ts";
import { interruptible } from "./interrupt.ts";
import { readLine } from "./read-line.ts";
import { openRegistries } from "./registries.ts";
import { parseSwitch, parseText } from "./values.ts";

const FLAGS = {
  username: {
    name: "username",
    short: "u",
    arg: "NAME",
    help: "Who to be there",
    parse: parseText,
  },
  password: {
    name: "password",
    short: "p",
    arg: "PASSWORD",
    help: "Password; every user of the machine can see it: better --password-stdin",
    parse: parseText,
  },
  passwordStdin: {
    name: "password-stdin",
    help: "Read the password from standard input",
    parse: parseSwitch,
  },
} as const;

export const LOGIN = {
  summary: { name: "login", usage: "[REGISTRY]", help: "Log in at a registry (default docker.io)" },
  flags: FLAGS,
  interspersed: true,
  needsRoot: false,
  run: runLogin,
} satisfies Command;

const PASSWORD_BYTES_MAX = 64 * 1024;

async function runLogin(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(LOGIN, words, around);
  if (line === undefined) return 0;
  const [word = "docker.io", more] = line.positionals;
  if (more !== undefined) throw new TareError("bad_input", "Cannot log in: want one registry");
  const registry = parseRegistry(word);
  const client = openRegistries(around);
  const { username, password } = await askWho(line.values, around);
  const credential = passwordCredential(username, password);
  return await interruptible(around, async (signal) => {
    const kept = await checkLogin(client, registry, credential, signal);
    const helper = await client.credentials.keep(registry, kept);
    if (helper === undefined && kept.kind === "password") {
      around.complain(
        `WARNING! The password is stored unencrypted in ${client.credentials.file}; a credential helper (credsStore) keeps it better.\n`,
      );
    }
    around.print("Login Succeeded\n");
    return 0;
  });
}

type Who = { readonly username: string; readonly password: string };

async function askWho(values: FlagValues<typeof FLAGS>, around: Surroundings): Promise<Who> {
  const { username, password, passwordStdin = false } = values;
  if (passwordStdin) {
    if (password !== undefined || username === undefined) {
      throw new TareError(
        "bad_input",
        "Cannot use --password-stdin: want --username with it, and no --password",
      );
    }
    return { username, password: await readPassword() };
  }
  if (password !== undefined) {
    around.complain(
      "WARNING! Using --password on the command line is insecure. Use --password-stdin.\n",
    );
    if (username === undefined) {
      throw new TareError("bad_input", "Cannot log in: a password without --username");
    }
    return { username, password };
  }
  if (!(await around.isTerminal(0))) {
    throw new TareError("bad_input", "Cannot ask for the password: standard input is no terminal", {
      hint: "tare login --username NAME --password-stdin < FILE",
    });
  }
  const { ask, askHidden } = await import("./ask.ts");
  const name = username ?? (await ask("Username: ", around.print));
  return { username: name, password: await askHidden("Password: ", around.print) };
}

/** All of standard input but the end of its line. */
async function readPassword(): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of Bun.stdin.stream()) {
    length += chunk.length;
    if (length > PASSWORD_BYTES_MAX)
      throw new TareError("bad_input", "Cannot log in: that is no password");
    pieces.push(chunk);
  }
  const text = new TextDecoder().decode(Buffer.concat(pieces));
  const end = text.endsWith("\n") ? text.length - 1 : text.length;
  return text.slice(0, text.endsWith("\r\n") ? end - 1 : end);
}
