/** Each namespace hides what it should, can be joined by path, and leaves the host as it was. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DEFAULT_NAMESPACES } from "../harness/bundle.ts";
import { patiently } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import { openScene } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const NAMESPACE_FILES = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];

function namespaces(...types: string[]) {
  return [...DEFAULT_NAMESPACES, ...types].map((type) => ({ type }));
}

test("a container has its own host name and the host keeps its own", async () => {
  const scene = await openScene();
  const before = hostname();
  const ran = await scene.runIn({
    hostname: "inside-42",
    sh: "hostname; hostname changed; hostname",
  });
  // CAP_SYS_ADMIN is missing, so the change itself is refused.
  expect(ran.stdout.split("\n")[0]).toBe("inside-42");
  expect(hostname()).toBe(before);

  const caps = ["CAP_SYS_ADMIN"];
  const root = await scene.runIn({
    hostname: "inside-43",
    sh: "hostname changed; hostname",
    process: { capabilities: { bounding: caps, permitted: caps, effective: caps } },
  });
  expect(root.stdout).toBe("changed\n");
  expect(hostname()).toBe(before);
});

test("a domain name is set where the configuration has one", async () => {
  const scene = await openScene();
  const ran = await scene.runIn({
    args: ["/t/report"],
    edit: (config) => {
      config.ociVersion = "1.1.0";
      config.domainname = "example.test";
    },
  });
  expect(JSON.parse(ran.stdout).domainname).toBe("example.test");
});

describe("pid namespace", () => {
  test("the program is pid 1 and host processes are invisible", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      sh: "echo $$; ls /proc | grep -c '^[0-9]'; ls -d /proc/[0-9]*",
    });
    const [pid, count, ...seen] = ran.stdout.trim().split("\n");
    expect(pid).toBe("1");
    expect(Number(count)).toBeLessThan(5); // The shell, ls, grep.
    expect(seen.length).toBeLessThan(4);
    expect(existsSync(`/proc/${process.pid}`)).toBeTrue();
    expect(seen).not.toContain(`/proc/${process.pid}`);
  });

  test("/proc is the new namespace's own: its pid 1 runs our program", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({ args: ["cat", "/proc/1/cmdline"] });
    expect(ran.stdout).toBe("cat\0/proc/1/cmdline\0");
  });

  test("processes left inside die with pid 1", async () => {
    const scene = await openScene(); // Its census looks for the sleep.
    const ran = await scene.runIn({ sh: "sleep 100 & sleep 100 & exit 3" });
    expect(ran.code).toBe(3);
  });
});

describe("mount namespace", () => {
  test("the root is another and the host's mount table is unchanged during and after", async () => {
    const scene = await openScene();
    const before = readFileSync("/proc/self/mountinfo", "utf8");
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    await scene.create(bundle);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
    await scene.start(bundle.id);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
    const pid = (await scene.state(bundle.id))?.pid ?? 0;
    expect(readFileSync(`/proc/${pid}/mountinfo`, "utf8")).not.toContain(" /work ");
    await scene.delete(bundle.id, "--force");
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
  });

  test("nothing of the old root can be seen: no mount but the configured ones", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({ sh: "ls /; cut -d' ' -f5 /proc/self/mountinfo | sort -u" });
    expect(ran.stdout).toContain("t\n"); // The fixture's own directory.
    const points = ran.stdout.split("\n").filter((line) => line.startsWith("/"));
    const ours = /^\/($|dev($|\/(console|mqueue|pts|shm)$)|proc($|\/)|sys($|\/(fs|firmware)))/;
    expect(points.filter((point) => !ours.test(point))).toEqual([]);
    expect(points).toContain("/");
  });

  test("the classic way out of a chroot ends in the container's own root", async () => {
    const scene = await openScene();
    const canary = join(scene.dir, "canary");
    writeFileSync(canary, "");
    const bare = await run([
      "unshare",
      "--mount",
      "chroot",
      scene.rootfs,
      "/t/leave-chroot",
      canary,
    ]);
    expect(bare.stdout).toBe("escaped\n"); // The recipe works where there is only a chroot.
    const caps = ["CAP_SYS_CHROOT"];
    const ran = await scene.runIn({
      args: ["/t/leave-chroot", canary],
      process: { capabilities: { bounding: caps, permitted: caps, effective: caps } },
    });
    expect(ran.stdout).toBe("inside\n");
  });
});

test("a new network namespace has only loopback", async () => {
  const scene = await openScene();
  const ran = await scene.runIn({
    sh: "tail -n +3 /proc/net/dev | cut -d: -f1; wc -l < /proc/net/route",
  });
  expect(ran.stdout.split("\n").map((line) => line.trim())).toEqual(["lo", "1", ""]);
});

test("an ipc namespace has no queue or segment of the host", async () => {
  const scene = await openScene();
  const made = Bun.spawnSync(["ipcmk", "-M", "4096"]).stdout.toString();
  const id = /\d+/.exec(made)?.[0] ?? "";
  try {
    const ran = await scene.runIn({ args: ["cat", "/proc/sysvipc/shm"] });
    expect(readFileSync("/proc/sysvipc/shm", "utf8")).toMatch(new RegExp(`^ *-?\\d+ +${id} `, "m"));
    expect(ran.stdout.trim().split("\n")).toHaveLength(1); // The heading.
  } finally {
    Bun.spawnSync(["ipcrm", "-m", id]);
  }
});

test("each namespace differs from the host's, and each left out is the host's", async () => {
  const scene = await openScene();
  const script = NAMESPACE_FILES.map((name) => `readlink /proc/self/ns/${name}`).join("; ");
  const all = await scene.runIn({ sh: script });
  const own = NAMESPACE_FILES.map((name) => readlinkSync(`/proc/self/ns/${name}`));
  const inside = all.stdout.trim().split("\n");
  expect(inside).toHaveLength(own.length);
  for (const [index, link] of inside.entries()) expect(link).not.toBe(own[index] ?? "");

  const shared = await scene.runIn({
    sh: "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc",
    linux: { namespaces: ["pid", "mount", "uts", "cgroup"].map((type) => ({ type })) },
    edit: (config) => {
      // The host's queues and sysfs must not be mounted by a container of the host's namespaces.
      config.mounts = config.mounts.filter(({ type }) => type !== "mqueue" && type !== "sysfs");
    },
  });
  expect(shared.stdout).toBe(
    `${readlinkSync("/proc/self/ns/net")}\n${readlinkSync("/proc/self/ns/ipc")}\n`,
  );
});

test("a cgroup namespace shows the container's own group as the root", async () => {
  const scene = await openScene();
  const ran = await scene.runIn({ args: ["cat", "/proc/self/cgroup"] });
  const paths = ran.stdout
    .trim()
    .split("\n")
    .map((line) => line.split(":")[2]);
  expect(ran.stdout).not.toContain(scene.mark);
  expect(paths).toContain("/");
});

test("a time namespace moves the clock of the boot by the offset", async () => {
  const scene = await openScene();
  const ran = await scene.runIn({
    args: ["cat", "/proc/uptime", "/proc/self/timens_offsets"],
    linux: {
      namespaces: namespaces("time"),
      timeOffsets: { boottime: { secs: 1_000_000, nanosecs: 0 }, monotonic: { secs: 500_000 } },
    },
    edit: (config) => {
      config.ociVersion = "1.1.0";
    },
  });
  const host = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  const inside = Number(ran.stdout.split(" ")[0]);
  expect(inside - host).toBeGreaterThan(999_990);
  expect(inside - host).toBeLessThan(1_000_010);
});

describe("joining by path", () => {
  test("a second container lives in the first one's network, ipc and uts namespaces", async () => {
    const scene = await openScene();
    const first = scene.bundle({ args: ["sleep", "30"], hostname: "shared-name" });
    await scene.create(first);
    await scene.start(first.id);
    const pid = (await scene.state(first.id))?.pid ?? 0;
    const link = (name: string) => readlinkSync(`/proc/${pid}/ns/${name}`);
    const expected = ["net", "ipc", "uts"].map(link).join("\n");
    const second = await scene.runIn({
      sh: "for n in net ipc uts; do readlink /proc/self/ns/$n; done; hostname",
      linux: {
        namespaces: [
          ...["pid", "mount", "cgroup"].map((type) => ({ type })),
          { type: "network", path: `/proc/${pid}/ns/net` },
          { type: "ipc", path: `/proc/${pid}/ns/ipc` },
          { type: "uts", path: `/proc/${pid}/ns/uts` },
        ],
      },
      edit: (config) => {
        delete config.hostname;
      },
    });
    await scene.delete(first.id, "--force");
    expect(second.stdout).toBe(`${expected}\nshared-name\n`);
  });

  test("a second container in the first one's pid namespace sees it", async () => {
    const scene = await openScene();
    const first = scene.bundle({ args: ["sleep", "31"] });
    await scene.create(first);
    await scene.start(first.id);
    const pid = (await scene.state(first.id))?.pid ?? 0;
    const ran = await scene.runIn({
      sh: "echo $$; cat /proc/1/cmdline",
      linux: {
        namespaces: [
          ...["mount", "cgroup", "network", "ipc", "uts"].map((type) => ({ type })),
          { type: "pid", path: `/proc/${pid}/ns/pid` },
        ],
      },
    });
    await scene.delete(first.id, "--force");
    const [own, cmdline] = ran.stdout.split("\n");
    expect(Number(own)).toBeGreaterThan(1);
    expect(cmdline).toBe("sleep\x0031\0");
  });

  test("a path of another type is refused", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      linux: {
        namespaces: [
          ...["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
          { type: "network", path: "/proc/self/ns/uts" },
        ],
      },
    });
    expect(ran.code).not.toBe(0);
  });

  test("a type given twice, an unknown type and a path that is no namespace are refused", async () => {
    const scene = await openScene();
    for (const extra of [
      { type: "pid" },
      { type: "moon" },
      { type: "time", path: "/etc/passwd" },
    ]) {
      const linux = { namespaces: [...namespaces(), extra] };
      expect((await scene.runIn({ linux })).code).not.toBe(0);
    }
  });
});
