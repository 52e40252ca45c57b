/** The files of this repository, as the tests of the house rules look at them. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "..");

export type SourceFile = { readonly path: string; readonly text: string };

const TEXT = /\.(?:ts|rs|c|sh|json|md|toml|yml)$|(?:^|\/)(?:Makefile|run)$/;

/** Paths that git knows, committed or not yet, without what it ignores. */
export function listFiles(): string[] {
  const argv = ["git", "-c", `safe.directory=${ROOT}`, "ls-files", "--cached", "--others"];
  const ran = Bun.spawnSync([...argv, "--exclude-standard", "-z"], { cwd: ROOT });
  if (ran.exitCode !== 0) throw new Error(`git ls-files: ${ran.stderr.toString()}`);
  const paths = ran.stdout.toString().split("\0");
  return paths.filter((path) => path !== "" && existsSync(join(ROOT, path)));
}

/** The text files, by path. */
export function readSources(): SourceFile[] {
  return listFiles()
    .filter((path) => TEXT.test(path))
    .map((path) => ({ path, text: readText(path) }));
}

/** A file by its path in the repository. */
export function readText(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** Code without lines that are wholly comment: rules are about what runs. */
export function codeLines(
  text: string,
): readonly { readonly number: number; readonly line: string }[] {
  return text
    .split("\n")
    .map((line, index) => ({ number: index + 1, line }))
    .filter(({ line }) => !/^\s*(?:\/\/|\/\*|\*|#)/.test(line));
}
