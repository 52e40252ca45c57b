/**
 * What the container's first process runs as: command line, environment and working directory,
 * from the image's defaults and the caller's words. Docker's rules.
 */
import { TareError } from "@tare/spec/error.ts";
import type { ImageDefaults } from "@tare/spec/oci-image-config.ts";

/** A root file system without an image asks for nothing. */
export const NO_DEFAULTS: ImageDefaults = {
  env: [],
  entrypoint: [],
  cmd: [],
  exposedPorts: [],
  volumes: [],
  labels: new Map(),
  onBuild: [],
  shell: [],
};

const PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export type CommandChoice = {
  readonly entrypoint: readonly string[] | undefined;
  readonly command: readonly string[];
};

/**
 * The arguments to execute. A given entrypoint drops the image's command with its entrypoint.
 * @throws TareError `bad_input` when nothing is left to run.
 */
export function chooseArgs(choice: CommandChoice, image: ImageDefaults): string[] {
  const entrypoint = choice.entrypoint ?? image.entrypoint;
  const inherited = choice.entrypoint === undefined ? image.cmd : [];
  const args = [...entrypoint, ...(choice.command.length > 0 ? choice.command : inherited)];
  if (args.length > 0) return args;
  throw new TareError("bad_input", "Cannot run the container: no command is given", {
    hint: "The image names none either; write one after the image",
  });
}

export type EnvironmentWish = {
  readonly image: readonly string[];
  readonly requested: readonly string[];
  readonly hostname: string;
  readonly terminal: boolean;
  readonly home: string;
};

/**
 * The environment, each key once: the engine's, then the image's, then the caller's. A name alone of
 * the caller's, already looked up in vain, takes the variable away, as in Docker.
 */
export function planEnvironment(wish: EnvironmentWish): string[] {
  const values = new Map<string, string>([
    ["PATH", PATH_DEFAULT],
    ["HOSTNAME", wish.hostname],
  ]);
  if (wish.terminal) values.set("TERM", "xterm");
  for (const entry of wish.image) assign(values, entry, "the image's Env");
  for (const entry of wish.requested) {
    if (entry.includes("=")) assign(values, entry, "-e");
    else values.delete(entry);
  }
  if (!values.has("HOME")) values.set("HOME", wish.home);
  return [...values].map(([key, value]) => `${key}=${value}`);
}

/** An entry without "=" would be read from the engine's own environment by some (CVE-2026-57231). */
function assign(values: Map<string, string>, entry: string, origin: string): void {
  const at = entry.indexOf("=");
  if (at > 0 && !entry.includes("\0")) {
    values.set(entry.slice(0, at), entry.slice(at + 1));
    return;
  }
  throw new TareError(
    "bad_input",
    `Cannot use environment entry "${entry}" of ${origin}: want KEY=value`,
  );
}
