/** linux.netDevices: devices of the host go into the container. The host is a namespace of the test. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { JsonObject } from "../harness/bundle.ts";
import { patiently } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundleOptions } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const isMissing = Bun.which("ip") === null;
if (isMissing) console.warn("skipped: iproute2 is not installed");

type Want = {
  /** Shell lines that make the host's devices. */
  readonly host: string;
  /** Run in the container. */
  readonly sh: string;
  readonly netDevices: JsonObject;
  /** Shell lines on the host after the container's end. */
  readonly after?: string;
  readonly more?: SceneBundleOptions;
};

/** `run` in a new network namespace that stands for the host's. */
async function runWith(scene: Scene, want: Want): Promise<Ran> {
  const bundle = scene.bundle({
    sh: want.sh,
    ...want.more,
    edit: (config) => {
      Object.assign(config.linux, { netDevices: want.netDevices });
      want.more?.edit?.(config);
    },
  });
  const command = scene.command("run", "--bundle", bundle.dir, bundle.id);
  const script = `set -e\n${want.host}\nset +e\n"$@"\nstatus=$?\n${want.after ?? ":"}\nexit $status`;
  return run(["unshare", "--net", "sh", "-c", script, "sh", ...command], {
    env: { TARE_TEST_MARK: scene.mark },
  });
}

const VETH = "ip link add ta type veth peer name tb; ip link set tb up";

describe.skipIf(isMissing)("a device of the host", () => {
  test("is in the container, up, with its addresses, its own settings, and gone from the host", async () => {
    const scene = await openScene();
    const ran = await runWith(scene, {
      host: `${VETH}
        ip link set ta address 02:00:00:00:00:42 mtu 1300
        ip address add 10.9.8.7/24 dev ta
        ip address add 10.9.8.9/32 peer 10.1.1.1 dev ta
        ip -6 address add 2001:db8::7/64 dev ta nodad
        ip address add 169.254.3.3/16 scope link dev ta
        ip link set ta up`,
      sh: "ip -o address show dev ta; ip -o link show dev ta",
      netDevices: { ta: {} },
      after: "ip link show ta 2>&1",
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout).toContain("inet 10.9.8.7/24");
    expect(ran.stdout).toContain("inet 10.9.8.9 peer 10.1.1.1/32");
    expect(ran.stdout).toContain("inet6 2001:db8::7/64");
    expect(ran.stdout).not.toContain("169.254.3.3");
    expect(ran.stdout).toContain("mtu 1300");
    expect(ran.stdout).toContain("02:00:00:00:00:42");
    expect(ran.stdout).toMatch(/<[^>]*\bUP\b/);
    // A pair ends with either of its ends.
    expect(ran.stdout).toContain("does not exist");
  });

  test("can have another name, or one that the kernel numbers", async () => {
    const scene = await openScene();
    const ran = await runWith(scene, {
      host: `${VETH}; ip address add 10.9.8.7/24 dev ta`,
      sh: "ls /sys/class/net | sort; ip -o -4 address show dev in0; ip -o link show dev eth0",
      netDevices: { ta: { name: "in0" }, tb: { name: "eth%d" } },
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout).toStartWith("eth0\nin0\nlo\n");
    expect(ran.stdout).toContain("inet 10.9.8.7/24");
    expect(ran.stdout).toMatch(/eth0.*<[^>]*\bUP\b/);
  });

  test("reaches the other end", async () => {
    const scene = await openScene();
    const ran = await runWith(scene, {
      host: `${VETH}; ip address add 10.9.8.1/24 dev tb; ip address add 10.9.8.7/24 dev ta`,
      sh: "ping -c 1 -W 2 10.9.8.1 > /dev/null && echo reached",
      netDevices: { ta: {} },
    });
    expect(ran).toMatchObject({ stdout: "reached\n", code: 0 });
  });

  test("goes into a network namespace that is joined", async () => {
    const scene = await openScene();
    const ran = await runWith(scene, {
      host: `${VETH}
        unshare --net sh -c 'echo $$ > ${scene.dir}/pid; exec sleep 30' &
        while [ ! -s ${scene.dir}/pid ]; do sleep 0.01; done
        touch ${scene.dir}/net; mount --bind /proc/$(cat ${scene.dir}/pid)/ns/net ${scene.dir}/net`,
      sh: "ls /sys/class/net",
      netDevices: { ta: { name: "in0" } },
      after: `umount ${scene.dir}/net; kill $(cat ${scene.dir}/pid)`,
      more: {
        edit: (config) => {
          const network = config.linux.namespaces.find(({ type }) => type === "network");
          if (network !== undefined) network.path = `${scene.dir}/net`;
        },
      },
    });
    expect(ran.stderr).toBe("");
    expect(ran.stdout).toContain("in0");
  });

  test("a name that is taken there is an error, and the host keeps the device as it was", async () => {
    const scene = await openScene();
    const ran = await runWith(scene, {
      host: `${VETH}; ip link set ta up`,
      sh: "echo ran",
      netDevices: { ta: { name: "lo" } },
      after: "ip -o link show dev ta",
    });
    expect(ran.stderr).toContain('linux.netDevices "ta" as "lo": the container has one');
    expect(ran.stdout).toMatch(/ta.*<[^>]*\bUP\b/);
    expect(ran).toMatchObject({ code: 1 });
  });

  test.each([
    ["a device that is not there", { nothing: {} }, 'netDevices "nothing"'],
    ["two for one name", { ta: { name: "x" }, tb: { name: "x" } }, '"x" too'],
  ])("%s is an error", async (_name, netDevices, words) => {
    const scene = await openScene();
    const ran = await runWith(scene, { host: VETH, sh: "echo ran", netDevices });
    expect(ran).toMatchObject({ stdout: "", code: 1 });
    expect(ran.stderr).toContain(words);
  });

  test("needs a network of the container's own", async () => {
    const scene = await openScene();
    const ran = await runWith(scene, {
      host: VETH,
      sh: "echo ran",
      netDevices: { ta: {} },
      more: {
        edit: ({ linux }) => {
          linux.namespaces = linux.namespaces.filter(({ type }) => type !== "network");
        },
      },
    });
    expect(ran).toMatchObject({ stdout: "", code: 1 });
    expect(ran.stderr).toContain("linux.netDevices");
  });
});

test("linux.intelRdt without resctrl is an error that names the missing piece", async () => {
  const scene = await openScene();
  const ran = await scene.runIn({
    sh: "echo ran",
    edit: (config) => Object.assign(config.linux, { intelRdt: { closID: "x" } }),
  });
  expect(ran).toMatchObject({ stdout: "", code: 1 });
  expect(ran.stderr).toContain("no resctrl is mounted");
});
