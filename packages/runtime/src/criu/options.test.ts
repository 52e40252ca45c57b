import { describe, expect, test } from "bun:test";
import type { Option } from "./messages.ts";
import {
  configFileOf,
  type DumpFacts,
  type DumpWishes,
  dumpOptions,
  type RestoreFacts,
  restoreOptions,
} from "./options.ts";

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
  controllers: undefined,
  configFile: undefined,
};
const RESTORED: RestoreFacts = {
  rootfs: "/r",
  mounts: [],
  inherited: [],
  joined: [],
  cgroups: [],
  configFile: undefined,
};
const MOUNT = { destination: "/run/a", cookie: "/run/a", source: "/host/a" };
const PLACES = { images: 4, work: 5 };
const COMMON: readonly Option[] = [
  ["images_dir_fd", 4],
  ["work_dir_fd", 5],
];
const ALWAYS: readonly Option[] = [
  ["log_level", 4],
  ["manage_cgroups_mode", 3],
  ["empty_ns", 0x40000000],
  ["orphan_pts_master", true],
  ["notify_scripts", true],
];

const dumped = (wishes: Partial<DumpWishes>, facts: Partial<DumpFacts> = {}) =>
  dumpOptions({ ...WISHES, ...wishes }, { ...FACTS, ...facts }, PLACES);
const restored = (facts: Partial<RestoreFacts>) =>
  restoreOptions(WISHES, { ...RESTORED, ...facts }, PLACES);

const has = (options: readonly Option[], option: Option) =>
  options.some((each) => JSON.stringify(each) === JSON.stringify(option));

describe("the options of a dump", () => {
  test("with nothing asked for", () => {
    expect(dumped({})).toEqual([
      ["pid", 7],
      ["root", "/r"],
      ...COMMON,
      ["log_file", "dump.log"],
      ...ALWAYS,
    ]);
  });

  test.each<[Option, Partial<DumpWishes>, Partial<DumpFacts>]>([
    [["manage_cgroups_mode", 0], { manageCgroups: "ignore" }, {}],
    [["manage_cgroups_mode", 4], { manageCgroups: "full" }, {}],
    [["manage_cgroups_mode", 5], { manageCgroups: "strict" }, {}],
    [["network_lock", 2], { networkLock: "nftables" }, {}],
    [["tcp_established", true], { flags: ["tcp_established", "shell_job"] }, {}],
    [["shell_job", true], { flags: ["tcp_established", "shell_job"] }, {}],
    [["parent_img", "../one"], { parent: "../one" }, {}],
    [["track_mem", true], { parent: "../one" }, {}],
    [["ps", ["::1", 9]], { pageServer: { address: "::1", port: 9 } }, {}],
    [["freeze_cgroup", "/sys/fs/cgroup/c"], {}, { freezer: "/sys/fs/cgroup/c" }],
    [["cgroup_dump_controller", ""], {}, { controllers: ["cpu", ""] }],
    [["config_file", "/etc/criu/a.conf"], {}, { configFile: "/etc/criu/a.conf" }],
    [["external", "mnt[/run/a]:/run/a"], {}, { mounts: [MOUNT] }],
    [
      ["external", "net[4026531840]:extRootNetNS"],
      {},
      { namespaces: [{ type: "network", inode: 4026531840n }] },
    ],
    [["external", "pid[3]:extRootPidNS"], {}, { namespaces: [{ type: "pid", inode: 3n }] }],
  ])("%p", (option, wishes, facts) => {
    expect([has(dumped(wishes, facts), option), has(dumped({}), option)]).toEqual([true, false]);
  });

  test("of memory only follow its changes, and look at no mounts", () => {
    const options = dumped({ preDump: true }, { mounts: [MOUNT] });
    expect(has(options, ["track_mem", true])).toBe(true);
    expect(options.filter(([name]) => name === "external")).toEqual([]);
  });
});

describe("the options of a restore", () => {
  test("with nothing asked for", () => {
    expect(restored({})).toEqual([
      ["rst_sibling", true],
      ["root", "/r"],
      ...COMMON,
      ["log_file", "restore.log"],
      ...ALWAYS,
      ["evasive_devices", true],
    ]);
  });

  test.each<[Option, Partial<RestoreFacts>]>([
    [["external", "mnt[/run/a]:/host/a"], { mounts: [MOUNT] }],
    [["inherit_fd", ["pipe:[99]", 1]], { inherited: [{ fd: 1, name: "pipe:[99]" }] }],
    [["join_ns", ["mnt", "/n"]], { joined: [{ type: "mount", path: "/n" }] }],
    [["cg_root", ["", "/a/b"]], { cgroups: [{ controllers: [], path: "/a/b" }] }],
    [
      ["cg_root", ["cpu,cpuacct", "/a"]],
      { cgroups: [{ controllers: ["cpu", "cpuacct"], path: "/a" }] },
    ],
    [["lsm_profile", "apparmor:x"], { lsmProfile: "apparmor:x" }],
    [["lsm_mount_context", "l"], { lsmMountContext: "l" }],
  ])("%p", (option, facts) => {
    expect([has(restored(facts), option), has(restored({}), option)]).toEqual([true, false]);
  });
});

describe("the file of criu's options", () => {
  const named = (path: string) => configFileOf(new Map([["org.criu.config", path]]));

  test("is runc's, another of the administrator's, or none", () => {
    expect(configFileOf(new Map())).toBe("/etc/criu/runc.conf");
    expect(named("/etc/criu/this.conf")).toBe("/etc/criu/this.conf");
    expect(named("")).toBeUndefined();
  });

  test.each([
    "/tmp/evil.conf",
    "evil.conf",
    "/etc/criu/",
    "/etc/criu/..",
    "/etc/criu/../../tmp/evil.conf",
    "/etc/criu/a\0",
  ])("is not %p, which an image may have put there", (path) => {
    expect(() => named(path)).toThrow("org.criu.config");
  });
});
