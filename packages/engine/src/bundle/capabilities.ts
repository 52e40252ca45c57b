/**
 * Which capabilities a container gets: Docker's fourteen, plus what is added, minus what is dropped.
 * Source: capabilities(7), include/uapi/linux/capability.h for the order.
 */
import { TareError } from "@tare/spec/error.ts";

/** Every capability in the kernel's order: the index is its number. */
export const ALL_CAPABILITIES: readonly string[] = [
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE",
  "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO",
  "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME",
  "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG",
  "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE",
].flatMap((line) => line.split(" ").map((name) => `CAP_${name}`));

/** What a container has when nothing is said, the same fourteen as Docker's. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP",
  "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE",
].flatMap((line) => line.split(" ").map((name) => `CAP_${name}`));

export type CapabilityRequest = {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly privileged: boolean;
  /** What the caller could give away: its own bounding set. */
  readonly available: readonly string[];
};

/** The container's capabilities in the kernel's order; `ALL` stands for each one that is available. */
export function chooseCapabilities(request: CapabilityRequest): string[] {
  const known = request.available;
  if (request.privileged) return [...known];
  const add = request.add.map((name) => parseCapability(name, "--cap-add"));
  const drop = request.drop.map((name) => parseCapability(name, "--cap-drop"));
  const chosen = new Set(pick(known, add, drop));
  return known.filter((name) => chosen.has(name));
}

/** Docker's rule: a drop beats `--cap-add ALL`, and a named addition beats a drop. */
function pick(
  known: readonly string[],
  add: readonly string[],
  drop: readonly string[],
): readonly string[] {
  if (add.includes("ALL")) return known.filter((name) => !drop.includes(name));
  if (drop.includes("ALL")) return add;
  return [...DEFAULT_CAPABILITIES.filter((name) => !drop.includes(name)), ...add];
}

/** The names in a mask such as CapBnd of /proc/self/status; bits without a name are left out. */
export function capabilitiesInMask(mask: bigint): string[] {
  return ALL_CAPABILITIES.filter((_name, bit) => (mask >> BigInt(bit)) & 1n);
}

function parseCapability(text: string, flag: string): string {
  const upper = text.toUpperCase();
  if (upper === "ALL") return upper;
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (ALL_CAPABILITIES.includes(name)) return name;
  throw new TareError(
    "bad_input",
    `Cannot use ${flag} "${text}": the kernel has no such capability`,
    {
      hint: "capabilities(7) lists the names; ALL stands for every one",
    },
  );
}
