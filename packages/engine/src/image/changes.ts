/**
 * `--change`: instructions of a Dockerfile that change an image's configuration and nothing else, for
 * `commit` and `import`. Pure: a configuration and a line in, a configuration out. Fields that we do
 * not know stay as they are.
 * Source: Docker's reference of the Dockerfile; of `docker commit`, "--change".
 */
import { TareError } from "@tare/spec/error.ts";
import { splitWords, type Variables } from "./change-words.ts";
import { parseDuration } from "./duration.ts";

/** The `config` of an image configuration, in its own spelling. */
export type RunConfig = {
  readonly Cmd?: unknown;
  readonly Env?: unknown;
  readonly ExposedPorts?: unknown;
  readonly Labels?: unknown;
  readonly OnBuild?: unknown;
  readonly Shell?: unknown;
  readonly Volumes?: unknown;
  readonly WorkingDir?: unknown;
  readonly [field: string]: unknown;
};

type Instruction = {
  readonly config: RunConfig;
  /** What stands behind the instruction's name. */
  readonly rest: string;
  readonly variables: Variables;
  /** Instructions before this one. */
  readonly before: ReadonlySet<string>;
};

const INSTRUCTIONS: ReadonlyMap<string, (line: Instruction) => RunConfig> = new Map([
  ["CMD", (line) => ({ ...line.config, Cmd: commandOf(line) })],
  ["ENTRYPOINT", changeEntrypoint],
  ["ENV", changeEnvironment],
  ["EXPOSE", changeExposed],
  ["HEALTHCHECK", changeHealthcheck],
  ["LABEL", changeLabels],
  ["ONBUILD", changeTriggers],
  ["STOPSIGNAL", (line) => ({ ...line.config, StopSignal: oneWord(line) })],
  ["USER", (line) => ({ ...line.config, User: oneWord(line) })],
  ["VOLUME", changeVolumes],
  ["WORKDIR", changeDirectory],
]);

/**
 * The configuration after all changes, in their order.
 * @throws TareError `bad_input` for an instruction that is none of these, or malformed.
 */
export function applyChanges(config: RunConfig, changes: readonly string[]): RunConfig {
  const before = new Set<string>();
  let changed = config;
  for (const change of changes) {
    const text = change.trim();
    const end = [...text].findIndex((char) => char === " " || char === "\t");
    const name = (end < 0 ? text : text.slice(0, end)).toUpperCase();
    const rest = end < 0 ? "" : text.slice(end).trim();
    const apply = INSTRUCTIONS.get(name);
    if (apply === undefined) throw unknown(change);
    if (rest === "") throw refuse(change, "nothing stands behind it");
    changed = apply({ config: changed, rest, variables: variablesOf(changed), before });
    before.add(name);
  }
  return changed;
}

function unknown(change: string): TareError {
  return new TareError(
    "bad_input",
    `Cannot apply change "${change}": there is no such instruction`,
    {
      hint: `Those that change a configuration are ${[...INSTRUCTIONS.keys()].join(", ")}`,
    },
  );
}

function refuse(text: string, why: string): TareError {
  return new TareError("bad_input", `Cannot apply change "${text}": ${why}`);
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function mapOf(value: unknown): Map<string, unknown> {
  return new Map(typeof value === "object" && value !== null ? Object.entries(value) : []);
}

function variablesOf(config: RunConfig): Map<string, string> {
  return new Map(
    listOf(config.Env).map((entry) => {
      const at = entry.indexOf("=");
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

function oneWord({ rest, variables }: Instruction): string {
  const words = splitWords(rest, variables);
  const [word] = words;
  if (word !== undefined && words.length === 1) return word;
  throw refuse(rest, "want one word");
}

/** A JSON array of strings, or undefined for any other text. */
function jsonWords(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    const isWords = Array.isArray(list) && list.every((word) => typeof word === "string");
    return isWords ? list : undefined;
  } catch {
    return undefined;
  }
}

/** `["a", "b"]`, or a line for a shell. */
function commandOf({ config, rest }: Pick<Instruction, "config" | "rest">): string[] {
  const words = jsonWords(rest);
  if (words !== undefined) return words;
  const shell = listOf(config.Shell);
  return [...(shell.length === 0 ? ["/bin/sh", "-c"] : shell), rest];
}

/** The image's command were words for another program, unless it was given here. */
function changeEntrypoint(line: Instruction): RunConfig {
  const { Cmd, ...others } = line.config;
  const kept = line.before.has("CMD") ? { Cmd } : {};
  return { ...others, ...kept, Entrypoint: commandOf(line) };
}

function changeEnvironment(line: Instruction): RunConfig {
  const values = new Map(line.variables);
  for (const [key, value] of pairsOf(line)) values.set(key, value);
  return { ...line.config, Env: [...values].map(([key, value]) => `${key}=${value}`) };
}

function changeLabels(line: Instruction): RunConfig {
  const labels = mapOf(line.config.Labels);
  for (const [key, value] of pairsOf(line)) labels.set(key, value);
  return { ...line.config, Labels: Object.fromEntries(labels) };
}

/** `KEY=value KEY2="two words"`, or the older `KEY all that follows`. */
function pairsOf({ rest, variables }: Instruction): (readonly [string, string])[] {
  const words = splitWords(rest, variables);
  const [first = ""] = words;
  if (!first.includes("=")) {
    const blank = [...rest].findIndex((char) => char === " " || char === "\t");
    if (blank < 0) throw refuse(rest, "want KEY=VALUE");
    return [[first, splitWords(rest.slice(blank), variables).join(" ")]];
  }
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at <= 0) throw refuse(rest, `"${word}" is no KEY=VALUE`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

const PORT_MAX = 65_535;
const PROTOCOLS = ["tcp", "udp", "sctp"];

function changeExposed(line: Instruction): RunConfig {
  const ports = mapOf(line.config.ExposedPorts);
  for (const word of splitWords(line.rest, line.variables)) {
    for (const port of portsOf(word)) ports.set(port, {});
  }
  return { ...line.config, ExposedPorts: Object.fromEntries(ports) };
}

/** `80`, `80/udp`, `8000-8010`. */
function portsOf(word: string): string[] {
  const [range = "", protocol = "tcp", more] = word.split("/");
  const [first = "", last = first, rest] = range.split("-");
  const [from, to] = [Number(first), Number(last)];
  const isPort = (text: string, port: number) =>
    Number.isInteger(port) && `${port}` === text && port > 0 && port <= PORT_MAX;
  const wrong = more !== undefined || rest !== undefined || !PROTOCOLS.includes(protocol);
  if (wrong || !isPort(first, from) || !isPort(last, to) || from > to) {
    throw refuse(word, "want a port as 80, 80/udp or 8000-8010");
  }
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${protocol}`);
}

function changeVolumes(line: Instruction): RunConfig {
  const volumes = mapOf(line.config.Volumes);
  for (const path of jsonWords(line.rest) ?? splitWords(line.rest, line.variables)) {
    volumes.set(path, {});
  }
  return { ...line.config, Volumes: Object.fromEntries(volumes) };
}

/** Relative to the directory before. */
function changeDirectory(line: Instruction): RunConfig {
  const path = oneWord(line);
  const base = typeof line.config.WorkingDir === "string" ? line.config.WorkingDir : "";
  const parts: string[] = [];
  for (const part of `${path.startsWith("/") ? "" : base}/${path}`.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return { ...line.config, WorkingDir: `/${parts.join("/")}` };
}

/** Kept for a build that begins with this image; what would nest is refused, as in Docker. */
function changeTriggers(line: Instruction): RunConfig {
  const [first = ""] = line.rest.toUpperCase().split(" ");
  if (["ONBUILD", "FROM", "MAINTAINER"].includes(first)) {
    throw refuse(line.rest, `${first} may not stand behind ONBUILD`);
  }
  return { ...line.config, OnBuild: [...listOf(line.config.OnBuild), line.rest] };
}

const CHECK_FLAGS: ReadonlyMap<string, string> = new Map([
  ["--interval", "Interval"],
  ["--timeout", "Timeout"],
  ["--start-period", "StartPeriod"],
  ["--start-interval", "StartInterval"],
]);

function changeHealthcheck(line: Instruction): RunConfig {
  if (line.rest.toUpperCase() === "NONE") {
    return { ...line.config, Healthcheck: { Test: ["NONE"] } };
  }
  const check: { Test?: unknown; Retries?: number; [field: string]: unknown } = {};
  let rest = line.rest;
  while (rest.startsWith("--")) {
    const end = rest.indexOf(" ");
    const [name = "", value = ""] = (end < 0 ? rest : rest.slice(0, end)).split("=");
    const field = CHECK_FLAGS.get(name);
    if (field !== undefined) check[field] = parseDuration(value);
    else if (name === "--retries" && isCount(value)) check.Retries = Number(value);
    else throw refuse(line.rest, `"${name}=${value}" is no flag of a health check`);
    rest = end < 0 ? "" : rest.slice(end).trim();
  }
  if (!rest.toUpperCase().startsWith("CMD ")) throw refuse(line.rest, "want CMD and a command");
  const command = rest.slice("CMD ".length).trim();
  const words = jsonWords(command);
  check.Test = words === undefined ? ["CMD-SHELL", command] : ["CMD", ...words];
  return { ...line.config, Healthcheck: check };
}

function isCount(text: string): boolean {
  const count = Number(text);
  return Number.isInteger(count) && count >= 0 && count < 2 ** 31 && `${count}` === text;
}
