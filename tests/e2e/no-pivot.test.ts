/** `--no-pivot`: a root that is entered by chroot(2), and what of the host stays within reach. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_NAMESPACES } from "../harness/bundle.ts";
import { parseMountTable } from "../harness/mount-table.ts";
import { patiently } from "../harness/places.ts";
import { type Ran, run } from "../harness/run.ts";
import { openScene, type Scene, type SceneBundleOptions } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

function runWithout(scene: Scene, options: SceneBundleOptions): Promise<Ran> {
  const bundle = scene.bundle(options);
  const argv = scene.command("run", "--no-pivot", "--bundle", bundle.dir, bundle.id);
  return run(argv, { env: { TARE_TEST_MARK: scene.mark } });
}

const MAPPED = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
const USERNS = {
  namespaces: [...DEFAULT_NAMESPACES, "user"].map((type) => ({ type })),
  uidMappings: MAPPED,
  gidMappings: MAPPED,
};
const ALL = ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE", "CAP_SETFCAP"];
const PRIVILEGED = { bounding: ALL, permitted: ALL, effective: ALL };
const kinds: [name: string, linux: NonNullable<SceneBundleOptions["linux"]>][] = [
  ["as the machine", {}],
  ["in a user namespace", USERNS],
];

test.each(kinds)("the container is as with pivot_root(2), %s", async (_name, linux) => {
  const scene = await openScene();
  const options = { args: ["cat", "/proc/self/mountinfo"], linux };
  const without = await runWithout(scene, options);
  const withIt = await scene.runIn(options);
  const shown = ({ stdout }: Ran) =>
    parseMountTable(stdout).map(({ point, type, options: words }) => [point, type, ...words]);
  expect(without.stderr).toBe("");
  expect(shown(without)).toEqual(shown(withIt));
});

// runc's "must not expose bare /proc": a full one that is left behind lets the kernel give another.
test.each(kinds)("no procfs without masks can be mounted inside, %s", async (_name, linux) => {
  const scene = await openScene();
  const sh = "unshare -mrpf sh -c 'mount -t proc none /proc && echo mounted; true'";
  const process = { capabilities: PRIVILEGED };
  const maskedPaths = ["/proc/timer_list", "/proc/keys"];
  const ran = await runWithout(scene, { sh, process, linux: { ...linux, maskedPaths } });
  expect(ran.stdout).toBe("");
  expect(ran.stderr).toContain("mount");
});

test("nor where the machine has one procfs over another", async () => {
  const scene = await openScene();
  const sh = "unshare -mrpf sh -c 'mount -t proc none /proc && echo mounted; true'";
  const process = { capabilities: PRIVILEGED };
  const bundle = scene.bundle({ sh, process, linux: { maskedPaths: ["/proc/keys"] } });
  const argv = scene.command("run", "--no-pivot", "--bundle", bundle.dir, bundle.id);
  const twice = "mount -t proc none /proc; mount -t proc none /proc";
  const words = ["unshare", "--mount", "sh", "-ec", `${twice}; exec "$@"`, "sh", ...argv];
  const ran = await run(words, { env: { TARE_TEST_MARK: scene.mark } });
  expect(ran.stdout).toBe("");
  expect(ran.stderr).toContain("mount");
});

test.each(kinds)(
  "who takes the root away finds no view of the kernel, %s",
  async (_name, linux) => {
    const scene = await openScene();
    const mounted = join(scene.dir, "mounted");
    await scene.mountHost(mounted, "-t", "tmpfs", "none");
    writeFileSync(join(mounted, "secret"), "of a mount");
    const places = [scene.dir, "/proc/self", "/sys/kernel", join(mounted, "secret")];
    const args = ["/t/uncover-root", ...places];
    const process = { args, capabilities: PRIVILEGED };
    const ran = await runWithout(scene, { process, linux });
    // The bare root file system of the host is there: that is what is weaker. In a user namespace the
    // host's mounts are locked, so there only the views of the kernel are covered.
    const mount = "uidMappings" in linux ? "there" : "absent";
    expect(ran.stdout.split("\n")).toEqual(["there", "absent", "absent", mount, ""]);
    expect(readFileSync(join(mounted, "secret"), "utf8")).toBe("of a mount");
    expect((await scene.runIn({ process, linux })).stdout).not.toContain("there");
  },
);
