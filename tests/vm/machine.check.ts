/** Runs inside the virtual machine: it is what the tests expect it to be. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { hierarchies, onlyCgroup2 } from "../harness/cgroups.ts";
import { busyboxRootfs } from "../harness/fixtures.ts";
import { readMountTable } from "../harness/mount-table.ts";
import { run } from "../harness/run.ts";

test("this is the virtual machine: Debian's cloud kernel", () => {
  expect(readFileSync("/proc/sys/kernel/hostname", "utf8")).toBe("tare-vm\n");
  expect(readFileSync("/proc/version", "utf8")).toMatch(/cloud-amd64 .*debian/);
});

test("cgroup v2 is alone and has every controller", () => {
  expect(onlyCgroup2()).toBeTrue();
  const [unified] = hierarchies();
  const wanted = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];
  expect(unified?.controllers).toEqual(expect.arrayContaining(wanted));
});

test("AppArmor is on", () => {
  expect(readFileSync("/sys/module/apparmor/parameters/enabled", "utf8")).toBe("Y\n");
});

test("the temporary directory can be id-mapped: it is ext4", () => {
  const root = readMountTable("self").find(({ point }) => point === "/");
  expect(root?.type).toBe("ext4");
});

test("a module that is not loaded yet is loaded on demand", async () => {
  expect(
    (
      await run([
        "unshare",
        "-m",
        "mount",
        "-t",
        "overlay",
        "-o",
        "lowerdir=/etc:/usr",
        "o",
        "/mnt",
      ])
    ).code,
  ).toBe(0);
});

test("another runtime runs a container of the busybox fixture here", async () => {
  const rootfs = await busyboxRootfs();
  const ran = await run([
    "sh",
    "-c",
    `dir=$(mktemp -d) && cd $dir && crun spec && sed -i '
    s|"path": "rootfs"|"path": "${rootfs}"|; s|"terminal": true|"terminal": false|
    s|"sh"|"/bin/sh", "-c", "cat /sys/fs/cgroup/cgroup.controllers; exit 7"|' config.json && crun run check`,
  ]);
  expect(ran.stderr).toBe("");
  expect(ran.stdout).toContain("memory");
  expect(ran.code).toBe(7);
});
