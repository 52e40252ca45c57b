import { describe, expect, test } from "bun:test";
import type { Config } from "@tare/spec/oci-runtime.ts";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { type HostNamespace, planSysctls as plan, sysctlFile } from "./sysctl.ts";

const ALL = ["ipc", "network", "uts", "user", "mount"];

function configOf(sysctl: { readonly [name: string]: string }, types = ALL): Config {
  const maps = [{ containerID: 0, hostID: 0, size: 1 }];
  return parseConfig(
    JSON.stringify({
      ociVersion: "1.0.2",
      root: { path: "r" },
      linux: {
        sysctl,
        namespaces: types.map((type) => ({ type })),
        ...(types.includes("user") ? { uidMappings: maps, gidMappings: maps } : {}),
      },
    }),
  );
}

const planSysctls = (config: Config, isHost: HostNamespace = () => false) => plan(config, isHost);

describe("names", () => {
  test.each([
    ["net.ipv4.ip_forward", "net/ipv4/ip_forward"],
    ["net/ipv4/ip_forward", "net/ipv4/ip_forward"],
    // sysctl(8): after a first dot a slash stands for a dot in a name, and the other way round.
    ["net.ipv4.conf.eno2/100.rp_filter", "net/ipv4/conf/eno2.100/rp_filter"],
    ["net/ipv4/conf/eno2.100/rp_filter", "net/ipv4/conf/eno2.100/rp_filter"],
    ["kernel.msgmax", "kernel/msgmax"],
  ])("%s is %s", (name, file) => {
    expect(sysctlFile(name)).toBe(file);
  });

  const bad = ["", ".", "..", "net", "net.", ".net.x", "net..x", "/net/x", "net//x", "net/x/"];
  test.each([...bad, "net/../kernel/x", "net/./x", "net/.."])("%j is no name", (name) => {
    expect(() => sysctlFile(name)).toThrow("not a name of a setting");
  });

  test("a slash between dots cannot make a way up", () => {
    expect(sysctlFile("net.a/b")).toBe("net/a.b");
    expect(() => sysctlFile("net.//")).toThrow("not a name");
    expect(() => sysctlFile("net./")).toThrow("not a name");
  });
});

describe("what may be set", () => {
  test.each([
    ["kernel.shmmax", "ipc"],
    ["kernel.shm_rmid_forced", "ipc"],
    ["fs.mqueue.msg_max", "ipc"],
    ["net.core.somaxconn", "network"],
    ["kernel.domainname", "uts"],
    ["user.max_mnt_namespaces", "user"],
  ])("%s, with a %s namespace only", (name, type) => {
    const file = name.split(".").join("/");
    expect(
      planSysctls(configOf({ [name]: "1" })).map((step) => "name" in step && step.name),
    ).toEqual([file]);
    const others = ALL.filter((each) => each !== type);
    expect(() => planSysctls(configOf({ [name]: "1" }, others))).toThrow(`host's ${type}`);
  });

  test.each([
    "kernel.core_pattern",
    "kernel.sysrq",
    "vm.swappiness",
    "fs.file-max",
    "kernel.shmmax.x",
    "fs.mqueuex.y",
    "netx.core",
    "kernel/core_pattern",
    "debug.exception-trace",
  ])("%s is the host's", (name) => {
    expect(() => planSysctls(configOf({ [name]: "1" }))).toThrow("it is the host's");
  });

  test("a namespace that is joined must not be the host's: the file is looked at, not its name", () => {
    const config = configOf({ "net.ipv4.ip_forward": "1" }, []);
    const namespaces = [{ type: "network" as const, path: "/proc/7/ns/net" }];
    const joined = { ...config, linux: { ...config.linux, namespaces } };
    const asked: string[] = [];
    const isHost = (answer: boolean) => (type: string, path: string) => {
      asked.push(`${type} ${path}`);
      return answer;
    };
    expect(planSysctls(joined, isHost(false))).toHaveLength(1);
    expect(() => planSysctls(joined, isHost(true))).toThrow("host's network");
    expect(asked).toEqual(["network /proc/7/ns/net", "network /proc/7/ns/net"]);
  });

  test("a value is one line, whatever is in it otherwise (CVE-2022-0811)", () => {
    expect(() => planSysctls(configOf({ "net.x.y": "1\n2" }))).toThrow("more than one line");
    const [step] = planSysctls(configOf({ "net.x.y": "1 + kernel.core_pattern=|/x" }));
    expect(step).toEqual({
      op: "sysctl",
      name: "net/x/y",
      value: "1 + kernel.core_pattern=|/x",
      why: "a setting of the network namespace",
    });
  });

  test("several stay in their order", () => {
    const steps = planSysctls(configOf({ "net.b.b": "1", "kernel.sem": "2", "net.a.a": "3" }));
    expect(steps.map((step) => (step.op === "sysctl" ? step.value : ""))).toEqual(["1", "2", "3"]);
  });
});
