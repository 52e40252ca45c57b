/** What a hostile container must not touch: a directory of the host, described before and after. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** One line a thing: type, mode, owner, name, content or target. */
export function describeTree(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    const { mode, uid, gid, rdev } = lstatSync(path);
    const content = entry.isFile() ? readFileSync(path, "utf8") : "";
    const target = entry.isSymbolicLink() ? readlinkSync(path) : "";
    const line = [path, mode.toString(8), uid, gid, rdev, content, target].join(" ");
    return entry.isDirectory() ? [line, ...describeTree(path)] : [line];
  });
}
