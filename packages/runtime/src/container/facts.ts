/** What is read of the host once, before anything is planned. */

import { TareError } from "@tare/spec/error.ts";
import type { NamespaceType, Process } from "@tare/spec/oci-runtime.ts";
import { AT_FDCWD } from "../sys/abi-file.ts";
import { readText } from "../sys/file.ts";
import { statAt } from "../sys/stat.ts";
import type { Sys } from "../sys/types.ts";
import { unameField } from "../sys/uname.ts";
import type { Modules } from "./unsupported.ts";

export type Kernel = { readonly major: number; readonly minor: number };

/** The oldest kernel with everything that is used without asking: mount_setattr, cgroup.kill, openat2. */
export const KERNEL_MIN: Kernel = { major: 5, minor: 14 };

export function readKernel(sys: Sys): Kernel {
  const [major, minor] = unameField(sys, "release").split(".");
  return {
    major: Number.parseInt(major ?? "", 10) || 0,
    minor: Number.parseInt(minor ?? "", 10) || 0,
  };
}

export function checkKernel({ major, minor }: Kernel): void {
  if (major > KERNEL_MIN.major || (major === KERNEL_MIN.major && minor >= KERNEL_MIN.minor)) return;
  const want = `${KERNEL_MIN.major}.${KERNEL_MIN.minor}`;
  throw new TareError(
    "unsupported",
    `Cannot run on Linux ${major}.${minor}: ${want} or newer is needed`,
    {
      hint: "mount_setattr(2), openat2(2) and clone3(2) are used without an older way beside them",
    },
  );
}

const PARAMETER_BYTES_MAX = 64;

/** Which security modules run; asked only where the configuration has a label. */
export function readModules(sys: Sys, process: Process | undefined, mountLabel?: string): Modules {
  const labels = [process?.apparmorProfile, process?.selinuxLabel, mountLabel];
  if (labels.every((label) => label === undefined || label === "")) return NO_MODULES;
  const parameter = readText(sys, "/sys/module/apparmor/parameters/enabled", PARAMETER_BYTES_MAX);
  const enforce = readText(sys, "/sys/fs/selinux/enforce", PARAMETER_BYTES_MAX);
  return { apparmor: parameter?.startsWith("Y") === true, selinux: enforce !== undefined };
}

const NO_MODULES: Modules = { apparmor: false, selinux: false };

/** Names below /proc/self/ns that are not those of the specification. */
const NAMESPACE_FILES: { readonly [type in NamespaceType]?: string } = {
  network: "net",
  mount: "mnt",
};

/** Whether a namespace file names the namespace that this process is in: namespaces(7), inode numbers. */
export function isOurs(sys: Sys, type: NamespaceType, path: string): boolean {
  const ours = statAt(sys, AT_FDCWD, `/proc/self/ns/${NAMESPACE_FILES[type] ?? type}`, 0);
  const theirs = statAt(sys, AT_FDCWD, path, 0);
  return (
    ours.ino === theirs.ino &&
    ours.devMajor === theirs.devMajor &&
    ours.devMinor === theirs.devMinor
  );
}

/** "allow" or "deny". */
const SETGROUPS_BYTES_MAX = 16;

/**
 * Whether the user namespace of a process forbids setgroups(2), so that a program in it has its caller's
 * groups whatever it asks for (user_namespaces(7)). Further groups are then passed over for root, as by
 * runc and crun; for other callers they are an error, as in runc.
 */
export function groupsMayStay(sys: Sys, { user }: Process, pid: number | "self"): boolean {
  if (sys.geteuid() !== 0 && user.additionalGids.length > 0) return false;
  return readText(sys, `/proc/${pid}/setgroups`, SETGROUPS_BYTES_MAX)?.startsWith("deny") === true;
}

/** Inode of the user namespace that the machine starts with: PROC_USER_INIT_INO of proc_ns.h. */
const FIRST_USER_NAMESPACE = 0xeffffffdn;

/** Root of another user namespace may no more than an ordinary user: as runc looks at it. */
export function isRootless(sys: Sys): boolean {
  if (sys.geteuid() !== 0) return true;
  return statAt(sys, AT_FDCWD, "/proc/self/ns/user", 0).ino !== FIRST_USER_NAMESPACE;
}
