/** A plan as the commands that a person would type, each after a comment that says why. */

import type { CgroupDir, CgroupPlan } from "./plan.ts";

/** Lines of POSIX shell; what the shell has no word for is a comment. */
export function toShell(plan: CgroupPlan): readonly string[] {
  const lines = plan.dirs.flatMap(makeDirectory);
  for (const { dir, file, value, why, field } of plan.writes) {
    const where = plan.dirs[dir];
    if (where === undefined) continue;
    lines.push(`# ${field}: ${why}`, `echo ${quote(value)} > ${quote(`${pathOf(where)}/${file}`)}`);
  }
  if (plan.devices !== undefined) {
    lines.push(`# ${plan.devices.why}; the shell has no word for bpf(2)`);
  }
  for (const dir of plan.dirs) lines.push(`echo $$ > ${quote(`${pathOf(dir)}/cgroup.procs`)}`);
  return lines;
}

function makeDirectory(dir: CgroupDir): string[] {
  const path = pathOf(dir);
  const lines = [`# ${dir.why}`, `mkdir -p ${quote(path)}`];
  if (dir.enable.length > 0) {
    const words = quote(dir.enable.map((name) => `+${name}`).join(" "));
    for (let depth = 0; depth < dir.path.length; depth++) {
      const parent = [dir.mountpoint, ...dir.path.slice(0, depth)].join("/");
      lines.push(`echo ${words} > ${quote(`${parent}/cgroup.subtree_control`)}`);
    }
  }
  for (const file of dir.inherit) {
    const parent = [dir.mountpoint, ...dir.path.slice(0, -1)].join("/");
    lines.push(`cat ${quote(`${parent}/${file}`)} > ${quote(`${path}/${file}`)}`);
  }
  return lines;
}

function pathOf(dir: CgroupDir): string {
  return [dir.mountpoint, ...dir.path].join("/");
}

const PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:,=";

function quote(text: string): string {
  const isPlain = text !== "" && [...text].every((letter) => PLAIN.includes(letter));
  return isPlain ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
