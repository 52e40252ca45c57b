import { expect, test } from "bun:test";
import type { CgroupState } from "../cgroup/state.ts";
import { ownControllers } from "./controllers.ts";

const dir = (version: 1 | 2, ...controllers: string[]) => {
  return { version, controllers, mountpoint: "/m", path: "c", made: true };
};
const HYBRID: CgroupState = {
  mode: "hybrid",
  dirs: [dir(1, "cpu", "cpuacct"), dir(1, "name=systemd"), dir(2)],
};

test("hierarchies without a cgroup of the container's are left out", () => {
  const text = "9:hugetlb:/\n4:cpu,cpuacct:/c\n3:net_cls:/a:b\n1:name=systemd:/c\n0::/c\n";
  expect(ownControllers(text, HYBRID)).toEqual(["cpu,cpuacct", "name=systemd", ""]);
});

test("all are named by naming none", () => {
  expect(ownControllers("4:cpu,cpuacct:/c\n1:name=systemd:/c\n0::/c\n", HYBRID)).toBeUndefined();
  expect(ownControllers("0::/c\n", { mode: "v2", dirs: [dir(2)] })).toBeUndefined();
  expect(ownControllers("2:cpu:/\n0::/\n", { mode: "none", dirs: [] })).toBeUndefined();
});
