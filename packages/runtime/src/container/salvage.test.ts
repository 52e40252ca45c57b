import { describe, expect, test } from "bun:test";
import { salvageLines } from "./salvage.ts";

const DIRS = [
  { version: 2, controllers: [], mountpoint: "/sys/fs/cgroup", path: "a/b", made: true },
];
const PLANNED = { mode: "v2", dirs: DIRS, planned: true };
const MADE = { mode: "v2", dirs: DIRS };

const line = (fields: object) => JSON.stringify(fields);
const begun = line({ id: "x", ready: false, cgroup: PLANNED });

describe("of a damaged record", () => {
  const cases: readonly [string, readonly (string | null)[], object | undefined][] = [
    ["nothing is left of nothing", [], undefined],
    ["nothing is left of noise", ["{", null, "[]", "7", '"x"', "null"], undefined],
    ["the good lines count", [begun, "{", line({ cgroup: MADE })], { cgroup: MADE }],
    ["a plan stays one", [begun, "{"], { cgroup: PLANNED }],
    [
      "a process says that the plan was carried out",
      [begun, null, line({ pid: 7, startTime: "9" })],
      { cgroup: MADE, pid: 7, startTime: "9" },
    ],
    [
      "a pid without its start time could be anybody's",
      [line({ cgroup: MADE }), line({ pid: 7 })],
      { cgroup: MADE },
    ],
    [
      "a path that leaves its hierarchy removes nothing",
      [line({ cgroup: MADE }), line({ cgroup: { ...MADE, dirs: [{ ...DIRS[0], path: "../x" }] } })],
      { cgroup: MADE },
    ],
    ["hooks are not run", [line({ cgroup: MADE, hooks: { poststop: [{}] } })], { cgroup: MADE }],
  ];
  test.each(cases)("%s", (_name, lines, expected) => {
    const texts = { ociVersion: "", bundle: "", rootfs: "", created: "", owner: "" };
    const rest = { id: "x", ...texts, annotations: {}, ready: false };
    expect(salvageLines(lines, "x")).toEqual(
      (expected === undefined ? undefined : { ...rest, ...expected }) as never,
    );
  });
});
