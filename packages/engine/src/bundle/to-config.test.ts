import { describe, expect, test } from "bun:test";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import type { ContainerRequest } from "../container/request.ts";
import type { HostFacts } from "../host/facts.ts";
import { ALL_CAPABILITIES } from "./capabilities.ts";
import { printConfig } from "./print.ts";
import { NO_DEFAULTS } from "./process.ts";
import { type ContainerPlan, hostnameOf, toConfig } from "./to-config.ts";

const ID = "0123456789abcdef".repeat(4);

const HOST: HostFacts = {
  architecture: "x86_64",
  kernel: "6.1.0",
  hostname: "machine",
  cgroupVersion: 1,
  capabilities: ALL_CAPABILITIES,
  cpus: 4,
  swapAccounting: true,
  thermalPaths: ["/sys/devices/system/cpu/cpu0/thermal_throttle"],
};

const REQUEST: ContainerRequest = {
  root: { kind: "image", reference: "x" },
  command: ["/bin/true"],
  env: [],
  interactive: false,
  terminal: false,
  remove: true,
  init: false,
  readOnly: false,
  privileged: false,
  noNewPrivileges: false,
  seccomp: { kind: "default" },
  capAdd: [],
  capDrop: [],
  mounts: [],
  devices: [],
  ulimits: [],
  sysctls: new Map(),
  resources: {},
  network: "none",
  userNamespace: { kind: "host" },
};

const PLAN: ContainerPlan = {
  id: ID,
  request: REQUEST,
  image: NO_DEFAULTS,
  user: { uid: 0, gid: 0, additionalGids: [], home: "/root" },
  host: HOST,
  rootfs: "rootfs",
  mounts: [],
  generated: new Map([["/etc/hosts", "/c/hosts"]]),
  devices: [],
  initPath: undefined,
  seccomp: undefined,
  idMappings: { uid: [], gid: [] },
  hiddenPaths: [],
  newestRuntime: true,
};

function plan(request: Partial<ContainerRequest>, change: Partial<ContainerPlan> = {}) {
  return toConfig({ ...PLAN, request: { ...REQUEST, ...request }, ...change });
}

const namespaces = (config: ReturnType<typeof plan>) =>
  config.linux.namespaces.map(({ type }) => type);
const destinations = (config: ReturnType<typeof plan>) =>
  config.mounts.map(({ destination }) => destination);

describe("toConfig", () => {
  test("what is printed is what a runtime reads", () => {
    const config = plan({
      ulimits: [{ name: "nofile", soft: 10n, hard: -1n }],
      resources: { memory: 2n ** 40n },
      sysctls: new Map([["net.ipv4.ip_forward", "1"]]),
    });
    expect(parseConfig(printConfig(config))).toEqual(config);
  });

  test("the default policy is Docker's", () => {
    const config = plan({});
    expect(config.process?.capabilities.bounding).toHaveLength(14);
    expect(config.process?.capabilities.effective).toHaveLength(14);
    expect(config.process?.capabilities.inheritable).toEqual([]);
    expect(config.process?.capabilities.ambient).toEqual([]);
    expect(config.process?.noNewPrivileges).toBeFalse();
    expect(config.linux.maskedPaths).toHaveLength(13);
    expect(config.linux.readonlyPaths).toHaveLength(5);
    expect(config.linux.resources.devices[0]).toEqual({ allow: false, type: "a", access: "rwm" });
    expect(config.linux.resources.pids).toEqual({ limit: 2048n });
    expect(namespaces(config)).toEqual(["mount", "uts", "pid", "ipc", "network", "time"]);
    expect(config.hostname).toBe("0123456789ab");
    expect(config.process?.env).toEqual([
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOSTNAME=0123456789ab",
      "HOME=/root",
    ]);
    expect(destinations(config)).toEqual([
      "/proc",
      "/dev",
      "/sys",
      "/dev/pts",
      "/dev/mqueue",
      "/dev/shm",
      "/etc/hosts",
      "/sys/fs/cgroup",
    ]);
    for (const mount of config.mounts.filter(({ type }) => type === "sysfs" || type === "cgroup")) {
      expect(mount.options).toContain("ro");
    }
  });

  test("another user holds no capability, as after execve", () => {
    const { capabilities } = plan({}, { user: { ...PLAN.user, uid: 1000 } }).process ?? {};
    expect(capabilities?.bounding).toHaveLength(14);
    expect(capabilities?.permitted).toEqual([]);
    expect(capabilities?.effective).toEqual([]);
  });

  test("a privileged one has everything, and nothing is masked but what the engine hides", () => {
    const config = plan({ privileged: true }, { hiddenPaths: ["/var/lib/tare"] });
    expect(config.process?.capabilities.bounding).toHaveLength(41);
    expect(config.linux.maskedPaths).toEqual(["/var/lib/tare"]);
    expect(config.linux.readonlyPaths).toEqual([]);
    expect(config.linux.resources.devices).toEqual([{ allow: true, type: "a", access: "rwm" }]);
    expect(config.mounts.find(({ type }) => type === "sysfs")?.options).toContain("rw");
  });

  test("namespaces follow the request and the host", () => {
    expect(namespaces(plan({ network: "host" }))).not.toContain("network");
    expect(namespaces(plan({}, { host: { ...HOST, cgroupVersion: 2 } }))).toContain("cgroup");
    const map = [{ containerID: 0, hostID: 100000, size: 65536 }];
    const mapped = plan({ network: "host" }, { idMappings: { uid: map, gid: map } });
    expect(namespaces(mapped)).toContain("user");
    expect(mapped.mounts.find(({ destination }) => destination === "/sys")?.type).toBe("bind");
    expect(namespaces(plan({}, { newestRuntime: false }))).not.toContain("time");
    expect(plan({}, { newestRuntime: false }).ociVersion).toBe("1.0.2");
  });

  test("a mount of the caller takes the place of ours, children come after parents", () => {
    const tmpfs = (target: string) => ({ kind: "tmpfs" as const, target, options: [] });
    const config = plan(
      {},
      { mounts: [tmpfs("/a/b"), tmpfs("/a"), tmpfs("/dev/shm/"), tmpfs("/etc/hosts")] },
    );
    const list = destinations(config);
    expect(list.indexOf("/a")).toBeLessThan(list.indexOf("/a/b"));
    expect(list.filter((path) => path.startsWith("/dev/shm"))).toEqual(["/dev/shm/"]);
    expect(config.mounts.filter((mount) => mount.destination === "/etc/hosts")).toHaveLength(1);
    expect(config.mounts.find((mount) => mount.destination === "/etc/hosts")?.type).toBe("tmpfs");
  });

  test("propagation of a volume reaches the root", () => {
    const bind = (propagation: "rshared" | "rslave" | "rprivate") => ({
      kind: "bind" as const,
      source: "/a",
      target: "/b",
      readonly: false,
      recursive: true,
      propagation,
      createSource: false,
    });
    expect(plan({}, { mounts: [bind("rprivate")] }).linux.rootfsPropagation).toBeUndefined();
    expect(plan({}, { mounts: [bind("rslave")] }).linux.rootfsPropagation).toBe("rslave");
    expect(plan({}, { mounts: [bind("rshared")] }).linux.rootfsPropagation).toBe("shared");
  });

  test("a bind mount that is read-only is so with all that is mounted below it", () => {
    const options = (change: { readonly: boolean; recursive: boolean }) => {
      const places = { source: "/a", target: "/m", createSource: false };
      const bind = { kind: "bind", propagation: "rprivate", ...places, ...change } as const;
      const { mounts } = plan({}, { mounts: [bind] });
      return mounts.find(({ destination }) => destination === "/m")?.options;
    };
    expect(options({ readonly: true, recursive: true })).toEqual([
      "rbind",
      "rprivate",
      "ro",
      "rro",
    ]);
    expect(options({ readonly: true, recursive: false })).toEqual(["bind", "rprivate", "ro"]);
    expect(options({ readonly: false, recursive: true })).toEqual(["rbind", "rprivate"]);
  });

  test("an init goes in front of the command", () => {
    const config = plan({}, { initPath: "/opt/tare-init" });
    expect(config.process?.args).toEqual(["/sbin/tare-init", "--", "/bin/true"]);
    expect(destinations(config)).toContain("/sbin/tare-init");
  });
});

describe("the command", () => {
  const image = { ...NO_DEFAULTS, entrypoint: ["/e"], cmd: ["c"], env: ["A=1", "PATH=/x"] };
  const args = (request: Partial<ContainerRequest>) => plan(request, { image }).process?.args;

  test("of the image and of the caller", () => {
    expect(args({ command: [] })).toEqual(["/e", "c"]);
    expect(args({ command: ["x"] })).toEqual(["/e", "x"]);
    expect(args({ command: ["x"], entrypoint: ["/f"] })).toEqual(["/f", "x"]);
    expect(args({ command: [], entrypoint: ["/f"] })).toEqual(["/f"]);
    expect(() => args({ command: [], entrypoint: [] })).toThrow(/no command is given/);
  });

  test("a later variable wins and keeps the place of the first", () => {
    const env = plan({ env: ["A=2", "B=3", "TERM=vt100"], terminal: true }, { image }).process?.env;
    expect(env).toEqual([
      "PATH=/x",
      "HOSTNAME=0123456789ab",
      "TERM=vt100",
      "A=2",
      "B=3",
      "HOME=/root",
    ]);
  });

  test("a name alone takes the image's variable away", () => {
    const env = plan({ env: ["B=3", "A", "B", "NEVER"] }, { image }).process?.env;
    expect(env).toEqual(["PATH=/x", "HOSTNAME=0123456789ab", "HOME=/root"]);
  });

  test.each(["=x", "A=\0"])("refuses variable %j", (entry) => {
    expect(() => plan({ env: [entry] })).toThrow(/KEY=value/);
  });

  test("the host name is the machine's on its network", () => {
    expect(hostnameOf(ID, { ...REQUEST, network: "host" }, HOST)).toBe("machine");
    expect(hostnameOf(ID, { ...REQUEST, network: "host", hostname: "me" }, HOST)).toBe("me");
  });
});
