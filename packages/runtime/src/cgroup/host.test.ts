import { describe, expect, test } from "bun:test";
import { componentsBelow, parseCgroupHost, withV2Controllers } from "./host.ts";

/** A Firecracker machine without systemd: each v1 controller apart, a v2 tree with hugetlb beside. */
const HYBRID_MOUNTS = `23 1 254:0 / / rw,relatime - ext4 /dev/root rw,discard
24 23 0:23 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`;
const HYBRID_SELF = `9:name=systemd:/
8:pids:/
7:blkio:/
6:freezer:/
5:devices:/
4:memory:/jobs/a14b2538d5ddbb44
3:cpuset:/
2:cpuacct:/
1:cpu:/
0::/
`;

/** Debian 10 with systemd: co-mounted controllers, named in another order than in /proc. */
const DEBIAN_MOUNTS = `25 18 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:24 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:10 - cgroup cgroup rw,xattr,name=systemd
31 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
36 25 0:33 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:20 - cgroup cgroup rw,net_cls,net_prio
`;
const DEBIAN_SELF = `9:net_prio,net_cls:/
5:cpuacct,cpu:/user.slice
1:name=systemd:/user.slice/user-0.slice/session-3.scope
0::/user.slice/user-0.slice/session-3.scope
`;

const V2_MOUNTS = `28 21 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`;
const V2_CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma misc\n";

describe("parseCgroupHost", () => {
  test("reads a hybrid host with each controller apart", () => {
    const host = withV2Controllers(
      parseCgroupHost({ mountinfo: HYBRID_MOUNTS, selfCgroup: HYBRID_SELF }),
      "hugetlb\n",
    );
    expect(host.mode).toBe("hybrid");
    expect(host.hierarchies.map((each) => each.controllers.join())).toEqual([
      "name=systemd",
      "pids",
      "blkio",
      "freezer",
      "devices",
      "memory",
      "cpuset",
      "cpuacct",
      "cpu",
      "hugetlb",
    ]);
    expect(host.hierarchies[5]).toEqual({
      version: 1,
      controllers: ["memory"],
      mountpoint: "/sys/fs/cgroup/memory",
      mountRoot: "/",
      ownPath: "/jobs/a14b2538d5ddbb44",
    });
    expect(host.hierarchies[9]?.version).toBe(2);
  });

  test("reads co-mounted controllers in any order", () => {
    const host = parseCgroupHost({ mountinfo: DEBIAN_MOUNTS, selfCgroup: DEBIAN_SELF });
    expect(host.mode).toBe("hybrid");
    expect(host.hierarchies.map((each) => each.mountpoint)).toEqual([
      "/sys/fs/cgroup/net_cls,net_prio",
      "/sys/fs/cgroup/cpu,cpuacct",
      "/sys/fs/cgroup/systemd",
      "/sys/fs/cgroup/unified",
    ]);
  });

  test("reads a v2 host", () => {
    const host = withV2Controllers(
      parseCgroupHost({ mountinfo: V2_MOUNTS, selfCgroup: "0::/user.slice/session-1.scope\n" }),
      V2_CONTROLLERS,
    );
    expect(host).toEqual({
      mode: "v2",
      hierarchies: [
        {
          version: 2,
          controllers: ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"],
          mountpoint: "/sys/fs/cgroup",
          mountRoot: "/",
          ownPath: "/user.slice/session-1.scope",
        },
      ],
    });
  });

  test("a stray v1 mount does not make a v2 host hybrid", () => {
    const stray = "99 21 0:60 / /run/net_cls rw - cgroup cgroup rw,net_cls\n";
    const host = parseCgroupHost({
      mountinfo: V2_MOUNTS + stray,
      selfCgroup: "2:net_cls:/\n0::/\n",
    });
    expect(host.mode).toBe("v2");
    expect(host.hierarchies).toHaveLength(1);
  });

  test("v1 without a v2 mount is v1, and an unmounted hierarchy is none", () => {
    const only = "36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices";
    const host = parseCgroupHost({
      mountinfo: only,
      selfCgroup: "5:devices:/\n4:memory:/\n0::/\n",
    });
    expect(host.mode).toBe("v1");
    expect(host.hierarchies.map((each) => each.controllers[0])).toEqual(["devices"]);
  });

  test("no mount at all", () => {
    expect(parseCgroupHost({ mountinfo: "", selfCgroup: "0::/\n" })).toEqual({
      mode: "none",
      hierarchies: [],
    });
  });

  test("prefers the mount that shows our cgroup, then the whole tree, then the usual place", () => {
    const mounts = [
      "50 1 0:32 /other /mnt/a rw - cgroup cgroup rw,memory",
      "51 1 0:32 /docker/x /mnt/b rw - cgroup cgroup rw,memory",
      "52 1 0:32 / /mnt/c rw - cgroup cgroup rw,memory",
      "53 1 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    ];
    const pick = (count: number): string | undefined =>
      parseCgroupHost({
        mountinfo: mounts.slice(0, count).join("\n"),
        selfCgroup: "4:memory:/docker/x\n",
      }).hierarchies[0]?.mountpoint;
    expect([1, 2, 3, 4].map(pick)).toEqual(["/mnt/a", "/mnt/b", "/mnt/c", "/sys/fs/cgroup/memory"]);
  });

  test("undoes the kernel's escapes and keeps colons of a path", () => {
    const host = parseCgroupHost({
      mountinfo: "35 31 0:32 / /mnt/a\\040b\\134c rw - cgroup cgroup rw,memory",
      selfCgroup: "4:memory:/a:b:c\n",
    });
    expect(host.hierarchies[0]?.mountpoint).toBe("/mnt/a b\\c");
    expect(host.hierarchies[0]?.ownPath).toBe("/a:b:c");
  });

  test("other file systems with cgroup in their names are passed over", () => {
    const mountinfo =
      "60 1 0:70 / /a rw - cgroupfs x rw,memory\n61 1 0:71 / /b\\040-\\040cgroup rw - tmpfs cgroup rw,memory\n";
    expect(parseCgroupHost({ mountinfo, selfCgroup: "4:memory:/\n" }).mode).toBe("none");
  });

  const broken: [name: string, mountinfo: string, selfCgroup: string, message: string][] = [
    ["a line of one field", "", "nonsense\n", "no three fields"],
    ["a path that is not absolute", "", "4:memory:x\n", "no three fields"],
    ["a mount without options", "35 31 0:32 / /m rw - cgroup cgroup", "", "too few fields"],
    [
      "a flood of mounts",
      "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n".repeat(1025),
      "4:memory:/\n",
      "more than 1024",
    ],
  ];
  test.each(broken)("refuses %s", (_name, mountinfo, selfCgroup, message) => {
    expect(() => parseCgroupHost({ mountinfo, selfCgroup })).toThrow(message);
  });
});

describe("componentsBelow", () => {
  const cases: [root: string, path: string, want: readonly string[] | undefined][] = [
    ["/", "/a/b", ["a", "b"]],
    ["/a", "/a/b", ["b"]],
    ["/a", "/a", []],
    ["/a", "/ab", undefined],
    ["/a/b", "/a", undefined],
    ["/", "/../x", undefined],
    ["/..", "/", undefined],
  ];
  test.each(cases)("%s shows %s", (root, path, want) => {
    expect(componentsBelow(root, path)).toEqual(want as string[]);
  });
});
