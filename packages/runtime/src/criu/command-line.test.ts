import { describe, expect, test } from "bun:test";
import {
  type DumpFacts,
  type DumpWishes,
  dumpWords,
  type RestoreFacts,
  restoreWords,
} from "./command-line.ts";

const WISHES: DumpWishes = {
  images: "/i",
  work: "/w",
  manageCgroups: "soft",
  flags: [],
  preDump: false,
};
const FACTS: DumpFacts = {
  pid: 7,
  rootfs: "/r",
  mounts: [],
  namespaces: [],
  freezer: undefined,
};
const RESTORED: RestoreFacts = {
  rootfs: "/r",
  pidFile: "/p",
  mounts: [],
  inherited: [],
  joined: [],
  cgroups: [],
};
const MOUNT = { destination: "/run/a", cookie: "/run/a", source: "/host/a" };

const dumped = (wishes: Partial<DumpWishes>, facts: Partial<DumpFacts> = {}) =>
  dumpWords({ ...WISHES, ...wishes }, { ...FACTS, ...facts }).join(" ");
const restored = (facts: Partial<RestoreFacts>) =>
  restoreWords(WISHES, { ...RESTORED, ...facts }).join(" ");

describe("the words for a dump", () => {
  test("with nothing asked for", () => {
    expect(dumped({})).toBe(
      "dump --tree 7 --root /r --images-dir /i --work-dir /w --log-file dump.log -v4 " +
        "--manage-cgroups=soft --empty-ns net",
    );
  });

  test.each<[string, Partial<DumpWishes>, Partial<DumpFacts>]>([
    ["--manage-cgroups=ignore", { manageCgroups: "ignore" }, {}],
    ["--tcp-established --shell-job", { flags: ["tcp-established", "shell-job"] }, {}],
    ["--prev-images-dir ../one --track-mem", { parent: "../one" }, {}],
    ["--page-server --address ::1 --port 9", { pageServer: { address: "::1", port: 9 } }, {}],
    ["--status-fd 5", { statusFd: 5 }, {}],
    ["--freeze-cgroup /sys/fs/cgroup/c", {}, { freezer: "/sys/fs/cgroup/c" }],
    ["--external mnt[/run/a]:/run/a", {}, { mounts: [MOUNT] }],
    [
      "--external net[4026531840]:extRootNetNS",
      {},
      { namespaces: [{ type: "network", inode: 4026531840n }] },
    ],
    ["--external pid[3]:extRootPidNS", {}, { namespaces: [{ type: "pid", inode: 3n }] }],
  ])("%s", (words, wishes, facts) => {
    expect(` ${dumped(wishes, facts)} `).toContain(` ${words} `);
    expect(dumped({})).not.toContain(words);
  });

  test("of memory only follow its changes, and look at no mounts", () => {
    const words = dumped({ preDump: true }, { mounts: [MOUNT] });
    expect(words).toStartWith("pre-dump --tree 7 ");
    expect(words).toContain("--track-mem");
    expect(words).not.toContain("mnt[");
  });
});

describe("the words for a restore", () => {
  test("with nothing asked for", () => {
    expect(restored({})).toBe(
      "restore --restore-detached --restore-sibling --pidfile /p --root /r --images-dir /i " +
        "--work-dir /w --log-file restore.log -v4 --manage-cgroups=soft --empty-ns net " +
        "--evasive-devices",
    );
  });

  test.each<[string, Partial<RestoreFacts>]>([
    ["--external mnt[/run/a]:/host/a", { mounts: [MOUNT] }],
    ["--inherit-fd fd[1]:pipe:[99]", { inherited: [{ fd: 1, name: "pipe:[99]" }] }],
    ["--join-ns mnt:/n", { joined: [{ type: "mount", path: "/n" }] }],
    ["--cgroup-root /a/b", { cgroups: [{ controllers: [], path: "/a/b" }] }],
    [
      "--cgroup-root cpu,cpuacct:/a",
      { cgroups: [{ controllers: ["cpu", "cpuacct"], path: "/a" }] },
    ],
    ["--lsm-profile apparmor:x", { lsmProfile: "apparmor:x" }],
    ["--lsm-mount-context l", { lsmMountContext: "l" }],
  ])("%s", (words, facts) => {
    expect(` ${restored(facts)} `).toContain(` ${words} `);
    expect(restored({})).not.toContain(words);
  });
});
