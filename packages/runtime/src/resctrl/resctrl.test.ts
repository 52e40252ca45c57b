import { describe, expect, test } from "bun:test";
import { encodeUtf8 } from "@tare/spec/bytes.ts";
import type { IntelRdt } from "@tare/spec/oci-runtime.ts";
import { EEXIST, ENOENT, ENOSPC } from "../sys/abi-errno.ts";
import { scriptedSys } from "../sys/scripted-sys.ts";
import {
  hasResctrl,
  joinResctrl,
  prepareResctrl,
  putInto,
  removeResctrl,
  updateSchemata,
} from "./apply.ts";
import { missingLine, planResctrl, planState, resctrlRoot } from "./plan.ts";

const NONE: IntelRdt = { schemata: [], enableMonitoring: false };
const ROOT = "/sys/fs/resctrl";
const MOUNTINFO = `21 1 0:20 / /sys rw - sysfs sysfs rw\n30 21 0:25 / ${ROOT} rw,nosuid shared:9 - resctrl resctrl rw\n`;

describe("where resctrl is mounted", () => {
  test("stands in mountinfo", () => {
    expect(resctrlRoot(MOUNTINFO)).toBe(ROOT);
    expect(resctrlRoot("30 21 0:25 / /a\\040b rw - resctrl resctrl rw\n")).toBe("/a b");
    expect(resctrlRoot("30 21 0:25 / /resctrl rw - tmpfs resctrl rw\n")).toBeUndefined();
    expect(resctrlRoot("")).toBeUndefined();
  });
});

describe("the group of a container", () => {
  const cases: [name: string, rdt: Partial<IntelRdt>, want: object, remove: string[]][] = [
    ["its own", {}, { group: `${ROOT}/x`, kind: "own", monitor: undefined }, [`${ROOT}/x`]],
    ["one that must be there", { closID: "gold" }, { group: `${ROOT}/gold`, kind: "present" }, []],
    [
      "one that is made where it is missing",
      { closID: "gold", l3CacheSchema: "L3:0=f" },
      { group: `${ROOT}/gold`, kind: "named" },
      [],
    ],
    ["the one that all start in", { closID: "/" }, { group: ROOT, kind: "present" }, []],
    [
      "its own, watched",
      { enableMonitoring: true },
      { monitor: `${ROOT}/x/mon_groups/x` },
      [`${ROOT}/x/mon_groups/x`, `${ROOT}/x`],
    ],
    [
      "another's, watched",
      { closID: "gold", enableMonitoring: true },
      { monitor: `${ROOT}/gold/mon_groups/x` },
      [`${ROOT}/gold/mon_groups/x`],
    ],
  ];
  test.each(cases)("is %s", (_name, rdt, want, remove) => {
    const plan = planResctrl({ ...NONE, ...rdt }, "x", ROOT);
    expect(plan).toMatchObject(want);
    expect(planState(plan).remove).toEqual(remove);
  });

  test("gets the cache's line first, the bandwidth's next, the others last", () => {
    const rdt = { ...NONE, memBwSchema: "MB:0=20", l3CacheSchema: "L3:0=f", schemata: ["L2:0=1"] };
    expect(planResctrl(rdt, "x", ROOT).schemata).toEqual(["L3:0=f", "MB:0=20", "L2:0=1"]);
  });

  test.each(["..", ".", "a/b", "/a", "info", "mon_groups", "mon_data"])(
    "%j is no name of one",
    (closID) => {
      expect(() => planResctrl({ ...NONE, closID }, "x", ROOT)).toThrow("linux.intelRdt.closID");
    },
  );

  test.each([
    ["memBwSchema", { memBwSchema: "L3:0=1" }],
    ["l3CacheSchema", { l3CacheSchema: "L3:0=1\nMB:0=1" }],
    ["schemata[1]", { schemata: ["L3:0=1", "L3:0=1\n"] }],
  ])("%s with %j is refused", (field, rdt) => {
    expect(() => planResctrl({ ...NONE, ...rdt }, "x", ROOT)).toThrow(`intelRdt.${field}`);
  });
});

describe("schemata that are there already", () => {
  const present = "    MB:0=100;1= 70\n    L3:0=007f0;1=1f\n";
  test.each([
    [["L3:0=7f0;1=1f"], undefined],
    [["L3:0=7F0"], undefined],
    [["MB:1=70", "L3:1=01f"], undefined],
    [["L3:0=7f1"], "L3:0=7f1"],
    [["L3:2=1"], "L3:2=1"],
    [["MB:0=100", "L2:0=1"], "L2:0=1"],
    [["nonsense"], "nonsense"],
    [["L3:0=0"], "L3:0=0"],
  ])("%j: missing %j", (wanted, missing) => {
    expect(missingLine(wanted, present)).toBe(missing);
  });
});

/** A resctrl tree in memory: directories and files by path. */
function tree(
  directories: readonly string[],
  files: Readonly<Record<string, string>> = {},
  failing: Readonly<Record<string, number>> = {},
  failures = Number.POSITIVE_INFINITY,
) {
  let failed = 0;
  const present = new Set([ROOT, ...directories]);
  const texts = new Map(Object.entries({ "/proc/self/mountinfo": MOUNTINFO, ...files }));
  const written: string[] = [];
  const open = new Map<number, { path: string; rest: string }>();
  let next = 10;
  const world = scriptedSys({
    faccessat2: (_at: number, path: string) => (present.has(path) ? 0 : -ENOENT),
    mkdirat: (_at: number, path: string) => {
      if (failing[path] !== undefined) return -failing[path];
      if (present.has(path)) return -EEXIST;
      present.add(path);
      return 0;
    },
    unlinkat: (_at: number, path: string) => (present.delete(path) ? 0 : -ENOENT),
    openat2: (_at: number, path: string, flags: number) => {
      if ((flags & 3) === 0 && !texts.has(path)) return -ENOENT;
      open.set(next, { path, rest: texts.get(path) ?? "" });
      return next++;
    },
    read: (fd: number, into: Uint8Array) => {
      const file = open.get(fd);
      const bytes = encodeUtf8(file?.rest ?? "");
      into.set(bytes);
      if (file !== undefined) file.rest = "";
      return bytes.length;
    },
    write: (fd: number, bytes: Uint8Array) => {
      const path = open.get(fd)?.path ?? "";
      if (failing[path] !== undefined && failed++ < failures) return -failing[path];
      written.push(`${path.slice(ROOT.length)} < ${String.fromCharCode(...bytes).trim()}`);
      return bytes.length;
    },
  });
  return { ...world, present, written };
}

function join(world: ReturnType<typeof tree>, rdt: Partial<IntelRdt>): unknown[] {
  const noted: unknown[] = [];
  const plan = prepareResctrl(world.sys, { ...NONE, ...rdt }, "x");
  joinResctrl(world.sys, plan, 42, (state) => noted.push(state));
  return noted;
}

describe("in a resctrl tree", () => {
  test("a group of its own is made, written, joined, and taken away", () => {
    const world = tree([]);
    const rdt = { l3CacheSchema: "L3:0=f", memBwSchema: "MB:0=20", enableMonitoring: true };
    const [state] = join(world, rdt);
    expect(world.written).toEqual([
      "/x/schemata < L3:0=f\nMB:0=20",
      "/x/tasks < 42",
      "/x/mon_groups/x/tasks < 42",
    ]);
    expect([...world.present]).toEqual([ROOT, `${ROOT}/x`, `${ROOT}/x/mon_groups/x`]);
    removeResctrl(world.sys, state as { remove: string[] });
    expect([...world.present]).toEqual([ROOT]);
    removeResctrl(world.sys, state as { remove: string[] });
  });

  test("a group of others is joined as it is, and stays", () => {
    const world = tree([`${ROOT}/gold`], { [`${ROOT}/gold/schemata`]: "  L3:0=0f\n" });
    const [state] = join(world, { closID: "gold", l3CacheSchema: "L3:0=f" });
    expect(world.written).toEqual(["/gold/tasks < 42"]);
    removeResctrl(world.sys, state as { remove: string[] });
    expect(world.present.has(`${ROOT}/gold`)).toBeTrue();
  });

  test("one that is asked for by name with a schema is made, and stays", () => {
    const world = tree([]);
    const [state] = join(world, { closID: "gold", schemata: ["L3:0=f"] });
    expect(world.written).toEqual(["/gold/schemata < L3:0=f", "/gold/tasks < 42"]);
    expect(state).toEqual({ join: [`${ROOT}/gold`], remove: [] });
  });

  test("what is not there, or not alike, or another's, is refused before anything is noted", () => {
    expect(() => join(tree([]), { closID: "gold" })).toThrow("there is no group");
    const other = tree([`${ROOT}/gold`], { [`${ROOT}/gold/schemata`]: "L3:0=1\n" });
    expect(() => join(other, { closID: "gold", schemata: ["L3:0=f"] })).toThrow('not "L3:0=f"');
    const taken = tree([`${ROOT}/x`]);
    expect(() => join(taken, {})).toThrow("it exists");
    expect([...taken.written, ...other.written]).toEqual([]);
  });

  test("what the kernel wrote down about a failure is told", () => {
    const status = { [`${ROOT}/info/last_cmd_status`]: "Out of CLOSIDs\n" };
    const full = tree([], status, { [`${ROOT}/x`]: ENOSPC });
    expect(() => join(full, {})).toThrow("(Out of CLOSIDs)");
    const bad = tree([], status, { [`${ROOT}/x/schemata`]: 22 });
    expect(() => join(bad, { schemata: ["L3:0=zz"] })).toThrow("(Out of CLOSIDs)");
  });

  test("other schemata are all there, or those before", () => {
    const path = `${ROOT}/x/schemata`;
    const before = { [path]: "    MB:0= 90\n    L3:0=00f\n    L2:0=1\n" };
    const asked = { l3CacheSchema: "L3:0=3", memBwSchema: "MB:0=20" };
    const world = tree([`${ROOT}/x`], before);
    const undo = updateSchemata(world.sys, { join: [`${ROOT}/x`] }, asked);
    expect(world.written).toEqual(["/x/schemata < L3:0=3\nMB:0=20"]);
    undo();
    expect(world.written.slice(1)).toEqual(["/x/schemata < MB:0= 90\nL3:0=00f"]);
    // The made-up kernel refuses the first write alone.
    const refusing = tree([`${ROOT}/x`], before, { [path]: 22 }, 1);
    const update = () => updateSchemata(refusing.sys, { join: [`${ROOT}/x`] }, asked);
    expect(update).toThrow("linux.intelRdt");
    expect(refusing.written).toEqual(["/x/schemata < MB:0= 90\nL3:0=00f"]);
  });

  test("a later process is put into the same groups", () => {
    const world = tree([`${ROOT}/x`]);
    putInto(world.sys, { join: [`${ROOT}/x`] }, 77);
    expect(world.written).toEqual(["/x/tasks < 77"]);
  });

  test("without resctrl the error says what is missing", () => {
    const { sys } = scriptedSys({ openat2: () => -ENOENT });
    expect(hasResctrl(sys)).toBeFalse();
    expect(() => prepareResctrl(sys, NONE, "x")).toThrow("no resctrl is mounted");
  });
});
