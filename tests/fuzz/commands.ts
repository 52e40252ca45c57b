/** Commands on the made-up machine: on a damaged record, and with words that nobody would write. */
import { RECORD } from "./documents.ts";
import { textFaultsOf } from "./judge.ts";
import { changed, damage, toText } from "./mutate.ts";
import type { Random } from "./random.ts";
import { runWords } from "./world.ts";

const COMMANDS_ON_ONE = [
  ["state"],
  ["start"],
  ["kill", "x", "9"],
  ["kill", "--all", "x", "9"],
  ["delete"],
  ["delete", "--force"],
  ["pause"],
  ["resume"],
  ["ps"],
  ["update", "--memory", "1048576"],
  ["exec", "x", "true"],
  ["list"],
];

/** A damaged record, and a command on it. */
export function tryRecord(random: Random): string[] {
  const at = random.below(RECORD.length);
  const lines = RECORD.map((line, index) =>
    index === at ? changed(line, random).text : toText(line),
  );
  const whole = `${lines.join("\n")}\n`;
  const text = random.chance(0.3) ? damage(whole, random) : whole;
  const command = random.pick(COMMANDS_ON_ONE);
  const words = command.includes("x") || command[0] === "list" ? command : [...command, "x"];
  const files = new Map<string, string | undefined>([
    ["/run/r", undefined],
    ["/run/r/x", undefined],
    ["state.jsonl", text],
    ["/proc/self/mountinfo", ""],
    ["/proc/self/cgroup", "0::/\n"],
  ]);
  return judgeWords(["--root", "/run/r", ...words], files, text);
}

const VALUES = [
  ..."x ../x . / -1 0 99999999999999999999 1e3 0x10 true on /dev/null json table text".split(" "),
  ...[
    "",
    "--",
    "-",
    "=",
    "a=b",
    "a\nb",
    "\u001b[31m",
    "é\u{1f4a9}",
    "__proto__",
    "a".repeat(70_000),
  ],
  ..."KILL SIGTERM 64 65 9 rw 0-3 1:1:1 max CAP_KILL root 1000:1000".split(" "),
];
const NAMES = [
  ..."run create start state kill delete list spec features pause resume ps update exec help".split(
    " ",
  ),
  ..."version --version --help -h constructor toString __proto__".split(" "),
];
const OPTIONS = [
  ..."root log log-format log-level debug rootless cgroup-manager systemd-cgroup bundle config".split(
    " ",
  ),
  ..."pid-file console-socket preserve-fds no-pivot no-new-keyring keep detach force all regex".split(
    " ",
  ),
  ..."format quiet memory cpus pids-limit blkio-weight cpu-quota resources process env cwd user".split(
    " ",
  ),
  ..."tty cap apparmor additional-gids process-label kill-on-close unknown b f d a q r p e u g t c v".split(
    " ",
  ),
];

function optionOf(random: Random): string[] {
  const dashes = random.pick(["--", "-", "--", "---"]);
  const name = `${dashes}${random.pick(OPTIONS)}`;
  if (random.chance(0.3)) return [`${name}=${random.pick(VALUES)}`];
  return random.chance(0.5) ? [name, random.pick(VALUES)] : [name];
}

/** A command line. */
export function tryWords(random: Random): string[] {
  const words: string[] = [];
  while (random.chance(0.4)) words.push(...optionOf(random));
  words.push(random.chance(0.95) ? random.pick(NAMES) : random.pick(VALUES));
  while (random.chance(0.6)) {
    words.push(...(random.chance(0.6) ? optionOf(random) : [random.pick(VALUES)]));
  }
  return judgeWords(words, new Map(), words.join(" "));
}

function judgeWords(
  words: readonly string[],
  files: ReadonlyMap<string, string | undefined>,
  input: string,
): string[] {
  const { status, stderr } = runWords(words, files);
  const said = words.map((word) => word.slice(0, 40)).join(" ");
  const faults = textFaultsOf(stderr, input);
  if (status !== 0 && stderr === "") faults.push("it fails and says nothing");
  if (!Number.isInteger(status) || status < 0 || status > 255)
    faults.push(`its status is ${status}`);
  return faults.map((fault) => `${said}: ${fault}`);
}
