/**
 * A cgroup under a container's own, for `exec --cgroup`: a path below it, or for v1 one for each of
 * some controllers, `cpu,cpuacct:a/b`. It must exist; without controllers, in one hierarchy at least.
 */

import { TareError } from "@tare/spec/error.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { O_DIRECTORY, O_PATH } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { OpenCgroup } from "./join.ts";
import { splitPath } from "./path.ts";
import { openBelow } from "./tree.ts";

const OPTION = "--cgroup";

/** Paths by controller; the one of "" is for all hierarchies. */
export type SubCgroups = ReadonlyMap<string, string>;

/** Throws `bad_input` for a path with "..", a controller that comes twice, or both forms together. */
export function parseSubCgroups(texts: readonly string[]): SubCgroups {
  const paths = new Map<string, string>();
  for (const text of texts) {
    const colon = text.indexOf(":");
    if (colon < 0 && texts.length > 1) throw wrong(text, "missing <controller>: prefix");
    const path = parsePath(text.slice(colon + 1));
    for (const controller of controllersOf(text, colon)) {
      if (paths.has(controller)) throw wrong(text, `controller ${controller} comes twice`);
      paths.set(controller, path);
    }
  }
  return paths;
}

function controllersOf(text: string, colon: number): readonly string[] {
  if (colon < 0) return [""];
  const names = text.slice(0, colon).split(",");
  if (names.includes("")) throw wrong(text, "empty <controller> prefix");
  return names;
}

function parsePath(path: string): string {
  if (path.split("/").includes("..")) {
    // The words of runc's newer versions, of 1.1, and of crun.
    const why = "is not a sub cgroup path: `..` components are not allowed";
    throw wrong(path, `bad sub cgroup path: ${path} ${why}`);
  }
  return splitPath(path, OPTION).join("/");
}

function wrong(text: string, why: string): TareError {
  return new TareError("bad_input", `Cannot use ${OPTION} "${text}": ${why}`);
}

/** The container's cgroups with these in the place of those above them. Takes `cgroup` over. */
export function openSubCgroups(sys: Sys, cgroup: OpenCgroup, subs: SubCgroups): OpenCgroup {
  using opened = new DisposableStack();
  opened.use(cgroup);
  const { state } = cgroup;
  const known = new Set(state.dirs.flatMap(({ controllers }) => controllers));
  for (const name of subs.keys()) {
    if (name !== "" && !known.has(name)) throw wrong(name, `unknown controller ${name}`);
  }
  const everywhere = subs.get("") ?? "";
  // As crun has it: a hierarchy of v1 without the group keeps the process where the container is.
  const isSomewhere =
    everywhere !== "" &&
    cgroup.dirs.some(({ fd }, index) => {
      return state.dirs[index]?.version === 1 && isBelow(sys, fd, everywhere);
    });
  const dirs = cgroup.dirs.map((dir, index): OwnedFd => {
    const { controllers = [], version } = state.dirs[index] ?? {};
    const named = controllers.find((each) => subs.has(each));
    const path = subPathOf(subs, controllers);
    if (path === "") return opened.use(new OwnedFd(sys, dir.release()));
    const ret = openBelow(sys, dir.fd, path, O_PATH | O_DIRECTORY);
    // Beside hierarchies of v1, that of v2 holds no controller: nobody makes groups in it.
    const isBeside = version === 2 && state.mode === "hybrid";
    const mayLack = isBeside || (named === undefined && isSomewhere);
    if (errnoOf(ret) === ENOENT && mayLack) return opened.use(new OwnedFd(sys, dir.release()));
    const what = `adding pid ${sys.getpid()} to cgroups`;
    if (errnoOf(ret) === ENOENT) {
      const { mountpoint, path: own } = state.dirs[index] ?? {};
      const why = `${mountpoint}/${own}/${path}/cgroup.procs: no such file or directory`;
      throw new TareError("not_found", `Cannot exec: ${what}: ${why}`);
    }
    return opened.use(new OwnedFd(sys, check(ret, `${what}, openat2`, path)));
  });
  opened.move();
  return new OpenCgroup(state, dirs);
}

/** What is asked for in the hierarchy of these controllers; "" where it is the container's own cgroup. */
export function subPathOf(subs: SubCgroups, controllers: readonly string[]): string {
  const named = controllers.find((each) => subs.has(each));
  return subs.get(named ?? "") ?? "";
}

function isBelow(sys: Sys, dir: Fd, path: string): boolean {
  const ret = openBelow(sys, dir, path, O_PATH | O_DIRECTORY);
  if (errnoOf(ret) !== 0) return false;
  sys.close(check(ret, "openat2", path));
  return true;
}
