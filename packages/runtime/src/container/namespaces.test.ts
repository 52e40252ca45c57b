import { describe, expect, test } from "bun:test";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { checkNamespaces, planNamespaces, withOwnMaps } from "./namespaces.ts";

type Fields = { readonly [name: string]: unknown };
type Named = string | { readonly type: string; readonly path: string };

const MAPS = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const FACTS = { id: "x", keyring: true, entersCgroup: true };
const MAPPED = { uidMappings: MAPS, gidMappings: MAPS };

function configOf(namespaces: readonly Named[], linux: Fields = {}, more: Fields = {}): Config {
  const list = namespaces.map((each) => (typeof each === "string" ? { type: each } : each));
  return parseConfig(
    JSON.stringify({
      ociVersion: "1.3.0",
      root: { path: "r" },
      ...more,
      linux: { namespaces: list, ...linux },
    }),
  );
}

const joined = (type: string) => ({ type, path: `/run/${type}` });
const cloneOf = (namespaces: readonly Named[], linux: Fields = {}) =>
  planNamespaces(configOf(namespaces, linux), FACTS).clone;
const insideOf = (namespaces: readonly Named[], linux: Fields = {}, more: Fields = {}) =>
  planNamespaces(configOf(namespaces, linux, more), FACTS).init.map((step) =>
    step.op === "join" ? `join ${step.type}` : step.op,
  );

describe("new namespaces", () => {
  test.each([
    ["pid", 0x20000000],
    ["network", 0x40000000],
    ["mount", 0x00020000],
    ["ipc", 0x08000000],
    ["uts", 0x04000000],
    ["user", 0x10000000],
    ["time", 0x00000080],
  ])("%s is a flag of the clone", (type, flag) => {
    const {
      flags,
      namespaces,
      joined: none,
      stage,
    } = cloneOf([type], type === "user" ? MAPPED : {});
    expect(flags).toBe(flag);
    expect(namespaces.join(" ")).toBe(type);
    expect(none).toEqual([]);
    expect(stage).toBeFalse();
  });

  test("a cgroup namespace is made later, when the process is in its cgroup", () => {
    expect(cloneOf(["cgroup"]).flags).toBe(0);
    const ops = insideOf(["cgroup", "mount"]);
    expect(ops.indexOf("cgroup-namespace")).toBeGreaterThan(ops.indexOf("enter-cgroup"));
  });

  test("all at once is one clone", () => {
    const all = ["pid", "network", "mount", "ipc", "uts", "cgroup", "time"];
    expect(cloneOf(all).flags).toBe(0x6c020080);
  });
});

describe("what the first process does", () => {
  test("the usual container", () => {
    const usual = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    expect(insideOf(usual, {}, { hostname: "h", domainname: "d" })).toEqual([
      "enter-cgroup",
      "all-processors",
      "cgroup-namespace",
      "session",
      "keyring",
      "loopback",
      "hostname",
      "domainname",
    ]);
  });

  test("in a user namespace it first becomes its root", () => {
    expect(insideOf(["user", "mount"], MAPPED)[0]).toBe("become-root");
  });

  test("the loopback of a joined network is left as it is", () => {
    expect(insideOf(["mount", joined("network")])).not.toContain("loopback");
    expect(insideOf(["mount"])).not.toContain("loopback");
  });

  test("the session and the keyring are always its own", () => {
    for (const types of [[], ["mount"], ["pid", "user"]]) {
      const ops = insideOf(types, types.includes("user") ? MAPPED : {});
      expect(ops).toContain("session");
      expect(ops).toContain("keyring");
    }
    const [step] = planNamespaces(configOf([]), { ...FACTS, id: "id.1" }).init.filter(
      ({ op }) => op === "keyring",
    );
    expect(step?.op === "keyring" ? step.name : "").toBe("_ses.id.1");
  });
});

describe("joined namespaces", () => {
  test("the pid namespace counts only for children: it is joined before the clone", () => {
    const clone = cloneOf(["mount", joined("pid")]);
    expect(clone.joined).toEqual([{ type: "pid", path: "/run/pid" }]);
    expect(clone.flags).toBe(0x20000);
    expect(clone.stage).toBeFalse();
  });

  test("the others are joined by the process itself, the mount namespace last", () => {
    const types = ["mount", "uts", "ipc", "network", "cgroup", "time"];
    const joins = insideOf(types.map(joined)).filter((op) => op.startsWith("join"));
    expect(joins).toEqual([
      "join network",
      "join ipc",
      "join uts",
      "join time",
      "join cgroup",
      "join mount",
    ]);
  });

  test("with a user namespace a stage joins everything, the user namespace first", () => {
    const clone = cloneOf([joined("network"), joined("pid"), joined("user"), "mount"]);
    expect(clone.stage).toBeTrue();
    expect(clone.joined.map(({ type }) => type)).toEqual(["user", "pid", "network"]);
    const fresh = cloneOf(["user", joined("network")], MAPPED);
    expect(fresh.stage).toBeTrue();
    expect(insideOf(["user", joined("network")], MAPPED)).not.toContain("join network");
  });

  test("who meets strangers in a pid namespace is hidden before anything else", () => {
    const ops = insideOf(["mount", joined("pid")]);
    expect(ops[0]).toBe("hide");
    expect(insideOf(["mount", "pid"])).not.toContain("hide");
  });
});

describe("clocks", () => {
  const offsets = { timeOffsets: { boottime: { secs: 5, nanosecs: 1 } } };

  test("are set in a time namespace, by a stage where there is a user namespace", () => {
    expect(cloneOf(["time", "mount"], offsets).offsets?.boottime?.secs).toBe(5n);
    expect(cloneOf(["time", "mount"], offsets).stage).toBeFalse();
    expect(cloneOf(["time", "user"], { ...offsets, ...MAPPED }).stage).toBeTrue();
    expect(cloneOf(["time", "mount"]).offsets).toBeUndefined();
  });
});

describe("refusals", () => {
  const check =
    (namespaces: readonly Named[], linux: Fields = {}, more: Fields = {}) =>
    () =>
      checkNamespaces(configOf(namespaces, linux, more));

  test("what the namespaces cannot carry", () => {
    expect(check([])).toThrow("no mount namespace");
    expect(check(["mount"], {}, { hostname: "h" })).toThrow("no uts namespace");
    expect(check(["mount"], {}, { domainname: "d" })).toThrow("no uts namespace");
    expect(check(["mount"], { timeOffsets: { monotonic: { secs: 1 } } })).toThrow("no time");
    expect(check(["mount"], MAPPED)).toThrow("no user namespace");
    expect(check(["mount", "user"])).toThrow("gidMappings is empty");
    expect(check(["mount", "user"], { uidMappings: MAPS })).toThrow("gidMappings is empty");
  });

  test("and nothing else", () => {
    expect(check(["mount"])).not.toThrow();
    expect(check(["mount", joined("user")])).not.toThrow();
    expect(check(["mount", joined("uts")], {}, { hostname: "h" })).not.toThrow();
    expect(check(["mount", "user"], MAPPED)).not.toThrow();
  });
});

describe("a user namespace without maps", () => {
  const own = () => ({ uid: 7, gid: 8 });

  test("has who calls as its root", () => {
    const { linux } = withOwnMaps(configOf(["user", "mount"]), own);
    expect(linux.uidMappings).toEqual([{ containerID: 0, hostID: 7, size: 1 }]);
    expect(linux.gidMappings).toEqual([{ containerID: 0, hostID: 8, size: 1 }]);
  });

  test("keeps half a map, which is refused, and maps that are whole", () => {
    const half = configOf(["user", "mount"], { uidMappings: MAPS });
    expect(withOwnMaps(half, own)).toBe(half);
    expect(() => checkNamespaces(half)).toThrow("gidMappings");
    const whole = configOf(["user", "mount"], MAPPED);
    expect(withOwnMaps(whole, own)).toBe(whole);
  });

  test("is not asked for where there is none, or it is joined", () => {
    const never = () => {
      throw new Error("asked");
    };
    for (const namespaces of [["mount"], ["mount", joined("user")]]) {
      expect(() => withOwnMaps(configOf(namespaces), never)).not.toThrow();
    }
  });
});
