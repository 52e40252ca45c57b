/** The census must find a planted leak of each kind, and must not see other people's things. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Census,
  type CensusScope,
  expectClean,
  leaks,
  leaksThatStay,
  takeCensus,
} from "./census.ts";
import { hierarchies } from "./cgroups.ts";
import { mustSucceed } from "./fixtures.ts";
import { requireRoot } from "./places.ts";
import { run, until } from "./run.ts";

requireRoot();

let undo: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.reverse()) await step();
  undo = [];
});

let count = 0;
function open(): { scope: CensusScope; dir: string; before: Census } {
  const mark = `tare-census-${process.pid}-${++count}`;
  const dir = mkdtempSync(join(tmpdir(), `${mark}-`));
  undo.push(() => rmSync(dir, { recursive: true, force: true }));
  const scope = { mark, stateRoots: [dir], pids: [] };
  return { scope, dir, before: takeCensus(scope) };
}

async function sh(script: string): Promise<void> {
  mustSucceed(await run(["sh", "-ec", script]));
}

function spawnMarked(mark: string, argv: string[]) {
  const child = Bun.spawn(argv, { env: { ...process.env, LEAK: mark } });
  undo.push(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return child;
}

describe("the census finds", () => {
  test("a process by its environment, and the end of it", async () => {
    const { scope, before } = open();
    const child = spawnMarked(scope.mark, ["sleep", "60"]);
    await Bun.sleep(50);
    expect(leaks(before, takeCensus(scope)).join()).toMatch(/^processes: \d+ \(sleep\) sleep 60$/);
    child.kill("SIGKILL");
    expect(await leaksThatStay(scope, before)).toEqual([]);
  });

  test("a process by its cgroup, and the cgroup", async () => {
    const { scope, before } = open();
    const home = hierarchies()[0]?.dir ?? "";
    const group = join(home, scope.mark);
    mkdirSync(group);
    undo.push(() => rmdirSync(group));
    const child = Bun.spawn(["sleep", "60"]);
    undo.push(async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    writeFileSync(join(group, "cgroup.procs"), String(child.pid));
    const found = leaks(before, takeCensus(scope)).join("\n");
    expect(found).toContain(`processes: ${child.pid} (sleep)`);
    expect(found).toContain(`cgroups: ${group}`);
  });

  test("a mount of the test and a mount over a directory of the system", async () => {
    const { scope, dir } = open();
    const gate = join(dir, "gate");
    const inside = join(dir, "m");
    await sh(`mkfifo ${gate}; mkdir ${inside}`);
    const script = `read go < ${gate}; mount -t tmpfs leak ${inside}; mount -t tmpfs leak /srv
      exec sleep 60`;
    const child = spawnMarked("", ["unshare", "--mount", "sh", "-c", script]);
    await Bun.sleep(50);
    const there = { ...scope, mountTables: [child.pid] };
    const before = takeCensus(there);
    await sh(`echo > ${gate}`);
    await Bun.sleep(50);
    const found = leaks(before, takeCensus(there)).join("\n");
    expect(found).toMatch(new RegExp(`mounts: of ${child.pid}: \\d+ tmpfs leak on ${inside}`));
    expect(found).toMatch(/mounts: of \d+: \d+ tmpfs leak on \/srv/);
  });

  test("a namespace that a process holds", async () => {
    const { scope, before } = open();
    spawnMarked(scope.mark, ["unshare", "--uts", "sleep", "60"]);
    await Bun.sleep(100);
    expect(leaks(before, takeCensus(scope)).join("\n")).toMatch(/namespaces: uts:\[\d+\] of \d+/);
  });

  test("a file below a state root", () => {
    const { scope, dir, before } = open();
    mkdirSync(join(dir, "a"));
    writeFileSync(join(dir, "a/state.json"), "{}");
    expect(leaks(before, takeCensus(scope))).toEqual([
      `files: ${join(dir, "a")}`,
      `files: ${join(dir, "a/state.json")}`,
    ]);
  });

  test("in a shared directory only what bears the mark, and no cache in its own", () => {
    const { scope, dir, before } = open();
    const shared = mkdtempSync(join(tmpdir(), "shared-"));
    undo.push(() => rmSync(shared, { recursive: true, force: true }));
    mkdirSync(join(dir, ".cache"));
    writeFileSync(join(dir, ".cache/filter"), "");
    writeFileSync(join(shared, "of-others"), "");
    writeFileSync(join(shared, `${scope.mark}-state`), "");
    const found = leaks(before, takeCensus({ ...scope, sharedRoots: [shared] }));
    expect(found).toEqual([`files: ${shared}/${scope.mark}-state`]);
  });

  test("a named network namespace", async () => {
    const { scope, before } = open();
    const path = `/run/netns/${scope.mark}`;
    await sh(`mkdir -p /run/netns; touch ${path}; unshare --net=${path} true`);
    undo.push(() => sh(`umount ${path}; rm ${path}`));
    const found = leaks(before, takeCensus(scope)).join("\n");
    expect(found).toContain(`networks: namespace ${scope.mark}`);
    expect(found).toMatch(/mounts: of self: \d+ nsfs/);
  });

  test("a loop device, where the machine has them", async () => {
    const { scope, dir, before } = open();
    const file = join(dir, "disk");
    await sh(`truncate -s 1M ${file}`);
    const set = await run(["losetup", "--find", "--show", file]);
    if (set.code !== 0) {
      expect(set.stderr).toContain("losetup"); // No loop driver here: nothing can leak.
      return;
    }
    undo.push(() => sh(`losetup -d ${set.stdout.trim()}`));
    expect(leaks(before, takeCensus(scope)).join("\n")).toContain("loops: loop");
  });

  test("a namespace descriptor of this process and any descriptor of another", async () => {
    const { scope, dir, before } = open();
    const fd = openSync("/proc/self/ns/net", "r");
    undo.push(() => closeSync(fd));
    expect(leaks(before, takeCensus(scope)).join()).toMatch(
      /^descriptors: \d+ of \d+: net:\[\d+\]$/,
    );

    const gate = join(dir, "gate");
    await sh(`mkfifo ${gate}`);
    const child = spawnMarked("", [
      "sh",
      "-c",
      `read line < ${gate}; exec 7< /dev/zero; exec sleep 60`,
    ]);
    const wide = { ...scope, pids: [child.pid] };
    const waits = () => readFileSync(`/proc/${child.pid}/comm`, "utf8") === "sh\n";
    await until(waits, 5_000, () => "the shell");
    const earlier = takeCensus(wide);
    await sh(`echo > ${gate}`);
    const found = () => leaks(earlier, takeCensus(wide)).join("\n");
    const line = `7 of ${child.pid}: /dev/zero`;
    await until(
      () => found().includes(line),
      5_000,
      () => line,
    );
  });
});

test("the census does not see what others do meanwhile", async () => {
  const { scope, before } = open();
  const elsewhere = mkdtempSync(join(tmpdir(), "somebody-"));
  undo.push(() => rmSync(elsewhere, { recursive: true, force: true }));
  spawnMarked("another", ["unshare", "--uts", "sleep", "60"]);
  await sh(`mount -t tmpfs none ${elsewhere}`);
  undo.push(() => sh(`umount ${elsewhere}`));
  await Bun.sleep(50);
  expect(leaks(before, takeCensus(scope))).toEqual([]);
});

test("expectClean names every leak", () => {
  const { scope, dir, before } = open();
  writeFileSync(join(dir, "left"), "");
  expect(() => expectClean(before, takeCensus(scope))).toThrow(
    `left behind:\n  files: ${dir}/left`,
  );
});
