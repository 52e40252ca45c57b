/**
 * The virtual machine's parts, made from this machine's package sources and cached: Debian's cloud
 * kernel, an initramfs that only finds the disks, a root disk (Debian with the programs the tests
 * use, and bun). What changes with every run is a second disk, see payload.ts.
 * Nothing is installed on this machine.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { cached, debianSources, mustSucceed } from "../harness/fixtures.ts";
import { type Ran, type RunOptions, run } from "../harness/run.ts";

const MAKE_TIMEOUT_MS = 300_000;
const KERNEL_PACKAGE = "linux-image-cloud-amd64";
const DEBIAN_SUITE = "bookworm";
/** Beside minbase: peers to compare with, id maps, module loading, terminal and address tools. */
const ROOT_PACKAGES = "busybox-static,crun,kmod,procps,runc,uidmap,util-linux,util-linux-extra";
/** Beside those: an init system that manages cgroups, for the machine and for each user. */
const SYSTEMD_PACKAGES = "dbus,dbus-user-session,libpam-systemd,passwd,systemd,systemd-sysv";
/** The ordinary user of that machine. */
const USER = "tester";
/** Sparse; what the machine writes goes to a temporary file beside it. */
const ROOT_DISK_SIZE = "6G";
/** In the order in which they need each other. */
const BOOT_MODULES = [
  "drivers/virtio/virtio_ring",
  "drivers/virtio/virtio",
  "drivers/virtio/virtio_pci_legacy_dev",
  "drivers/virtio/virtio_pci_modern_dev",
  "drivers/virtio/virtio_pci",
  "drivers/block/virtio_blk",
];

export type Machine = {
  readonly kernel: string;
  readonly initramfs: string;
  readonly rootDisk: string;
};

/** @param withSystemd pid 1 is systemd, and what runs the tests is a unit of it */
export async function makeMachine(withSystemd = false): Promise<Machine> {
  const kernel = await fetchKernel();
  const initramfs = await makeInitramfs(kernel);
  const rootDisk = await makeRootDisk(kernel, withSystemd);
  return { kernel: join(kernel, "vmlinuz"), initramfs, rootDisk };
}

/** A directory with `vmlinuz` and `lib/modules/VERSION` of the newest cloud kernel the sources offer. */
async function fetchKernel(): Promise<string> {
  const depends = await must(["apt-cache", "depends", KERNEL_PACKAGE]);
  const [, name] = /Depends: (linux-image-\S+)/.exec(depends.stdout) ?? [];
  if (name === undefined) {
    throw new Error(
      `Cannot find the kernel package "${KERNEL_PACKAGE}": run \`apt-get update\` first`,
    );
  }
  return cached("vm-kernel", [name], async (dir) => {
    const unpacked = join(dir, "package");
    await must(["apt-get", "-o", "APT::Sandbox::User=root", "download", name], { cwd: dir });
    const [archive = ""] = readdirSync(dir).filter((file) => file.endsWith(".deb"));
    await must(["dpkg", "-x", join(dir, archive), unpacked]);
    const [image = ""] = readdirSync(join(unpacked, "boot")).filter((file) =>
      file.startsWith("vmlinuz"),
    );
    await must(["mv", join(unpacked, "boot", image), join(dir, "vmlinuz")]);
    await must(["mv", join(unpacked, "lib"), join(dir, "lib")]);
    await must(["rm", "-r", unpacked, join(dir, archive)]);
    await must(["depmod", "-b", dir, kernelVersion(dir)]);
  });
}

function kernelVersion(kernel: string): string {
  const [version] = readdirSync(join(kernel, "lib/modules"));
  if (version === undefined)
    throw new Error(`Cannot use the kernel in "${kernel}": it has no modules`);
  return version;
}

async function makeInitramfs(kernel: string): Promise<string> {
  const script = join(import.meta.dir, "early-init.sh");
  const recipe = [
    basename(kernel),
    readFileSync(script),
    readFileSync("/bin/busybox"),
    BOOT_MODULES.join(),
  ];
  const dir = await cached("vm-initramfs", recipe, async (made) => {
    const tree = join(made, "tree");
    for (const name of ["bin", "dev", "modules", "proc", "root"]) {
      mkdirSync(join(tree, name), { recursive: true });
    }
    cpSync(script, join(tree, "init"));
    chmodSync(join(tree, "init"), 0o755);
    cpSync("/bin/busybox", join(tree, "bin/busybox"));
    for (const applet of ["insmod", "mount", "sh", "switch_root", "umount"]) {
      await must(["ln", "-s", "busybox", join(tree, "bin", applet)]);
    }
    const modules = join(kernel, "lib/modules", kernelVersion(kernel), "kernel");
    for (const module of BOOT_MODULES) {
      await must(["cp", `${join(modules, module)}.ko`, join(tree, "modules")]);
    }
    await must(["sh", "-c", "find . | cpio --quiet -o -H newc > ../initramfs"], { cwd: tree });
    await must(["rm", "-r", tree]);
  });
  return join(dir, "initramfs");
}

async function makeRootDisk(kernel: string, withSystemd: boolean): Promise<string> {
  const packages = withSystemd ? `${ROOT_PACKAGES},${SYSTEMD_PACKAGES}` : ROOT_PACKAGES;
  const unit = withSystemd ? readFileSync(join(import.meta.dir, "tare-tests.service")) : "";
  const argv = [
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    `--include=${packages}`,
    DEBIAN_SUITE,
  ];
  const bun = process.execPath;
  const recipe = [basename(kernel), argv.join(" "), Bun.revision, ROOT_DISK_SIZE, unit];
  const dir = await cached("vm-root", recipe, async (made) => {
    const tree = join(made, "tree");
    await must([...argv, tree, ...debianSources()]);
    mkdirSync(join(tree, "tare"));
    cpSync(bun, join(tree, "usr/local/bin/bun"));
    chmodSync(join(tree, "usr/local/bin/bun"), 0o755);
    await must(["cp", "-a", join(kernel, "lib/modules"), join(tree, "lib/modules")]);
    if (withSystemd) await addUnit(tree, unit);
    await makeDisk(tree, join(made, "disk"), ROOT_DISK_SIZE);
    await must(["rm", "-r", tree]);
  });
  return join(dir, "disk");
}

/** The unit that runs the tests, in place of the prompts of a machine that people log in to. */
async function addUnit(tree: string, unit: string | Buffer): Promise<void> {
  const units = join(tree, "etc/systemd/system");
  writeFileSync(join(units, "tare-tests.service"), unit);
  const inTree = ["chroot", tree];
  await must([...inTree, "systemctl", "enable", "tare-tests.service"]);
  await must([...inTree, "systemctl", "mask", "getty.target", "systemd-firstboot.service"]);
  await must([...inTree, "systemctl", "set-default", "multi-user.target"]);
  await must([...inTree, "useradd", "--create-home", "--shell", "/bin/sh", USER]);
}

/** An ext4 disk image with the content of a directory, without mounting anything. */
export async function makeDisk(tree: string, disk: string, size: string): Promise<void> {
  const features = ["-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0"];
  await must(["mke2fs", "-q", "-F", "-t", "ext4", ...features, "-d", tree, disk, size]);
  if (!existsSync(disk)) throw new Error(`Cannot make the disk "${disk}": mke2fs left none`);
}

async function must(argv: string[], options: RunOptions = {}): Promise<Ran> {
  return mustSucceed(await run(argv, { timeoutMs: MAKE_TIMEOUT_MS, ...options }));
}
