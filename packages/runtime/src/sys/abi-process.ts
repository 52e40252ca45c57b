/** Constants of processes, signals and identities: sched.h, wait.h, prctl.h, signal.h, capability.h. */

export const CLONE_NEWTIME = 0x80;
export const CLONE_FILES = 0x400;
export const CLONE_NEWNS = 0x20000;
export const CLONE_PARENT = 0x8000;
export const CLONE_NEWCGROUP = 0x2000000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWIPC = 0x8000000;
export const CLONE_NEWUSER = 0x10000000;
export const CLONE_NEWPID = 0x20000000;
export const CLONE_NEWNET = 0x40000000;
export const CLONE_INTO_CGROUP = 0x200000000;

export const WNOHANG = 1;

export const PR_SET_PDEATHSIG = 1;
export const PR_GET_DUMPABLE = 3;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_KEEPCAPS = 8;
export const PR_CAPBSET_DROP = 24;
export const PR_SET_NO_NEW_PRIVS = 38;
export const PR_CAP_AMBIENT = 47;
export const PR_CAP_AMBIENT_RAISE = 2;
export const PR_CAP_AMBIENT_CLEAR_ALL = 4;

export const SIG_SETMASK = 2;

/** Signal names without their prefix, by number: signal(7), all architectures here. */
const SIGNALS =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP " +
  "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";
/** Second names: signal(7) and signal.h. */
const SIGNAL_ALIASES: ReadonlyMap<string, number> = new Map([
  ["IOT", 6],
  ["CLD", 17],
  ["POLL", 29],
  ["UNUSED", 31],
]);
export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGKILL = 9;
export const SIGPIPE = 13;
export const SIGTERM = 15;
export const SIGCHLD = 17;
export const SIGURG = 23;
export const SIGWINCH = 28;
export const SIGSYS = 31;
export const SIGRTMIN = 34;
export const SIGRTMAX = 64;

/** The number of a signal named `TERM`, `SIGTERM`, `15` or `RTMIN+3`; undefined where there is none. */
export function signalNumber(text: string): number | undefined {
  const name = text.toUpperCase().startsWith("SIG")
    ? text.slice(3).toUpperCase()
    : text.toUpperCase();
  if (isDecimal(name)) return Number(name) <= SIGRTMAX ? Number(name) : undefined;
  const index = SIGNALS.split(" ").indexOf(name);
  if (index >= 0) return index + 1;
  return SIGNAL_ALIASES.get(name) ?? realtimeSignal(name);
}

function isDecimal(text: string): boolean {
  for (const digit of text) if (digit < "0" || digit > "9") return false;
  return text !== "";
}

function realtimeSignal(name: string): number | undefined {
  if (name === "RTMIN") return SIGRTMIN;
  if (name === "RTMAX") return SIGRTMAX;
  const digits = name.slice("RTMIN+".length);
  if (!isDecimal(digits)) return undefined;
  const offset = Number(digits);
  const number = name.startsWith("RTMIN+")
    ? SIGRTMIN + offset
    : name.startsWith("RTMAX-")
      ? SIGRTMAX - offset
      : 0;
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined;
}

/** Capability names without their prefix, by number: linux/capability.h up to Linux 6.18. */
const CAPABILITIES =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE " +
  "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO " +
  "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME " +
  "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG " +
  "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE";
export const CAP_SYS_ADMIN = 21;
/** The last that has a name here. */
export const CAP_LAST = 40;
/** Bits of a capability set: no kernel has more. */
export const CAP_BITS = 64;

/** Names as `CAP_CHOWN`, by number. */
export function capabilityNames(): readonly string[] {
  return CAPABILITIES.split(" ").map((name) => `CAP_${name}`);
}

/** Resource names without their prefix, by number: asm-generic/resource.h. */
const RLIMITS =
  "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME";

/** The number of a resource named as `RLIMIT_NOFILE`; undefined where there is none. */
export function rlimitNumber(name: string): number | undefined {
  if (!name.startsWith("RLIMIT_")) return undefined;
  const index = RLIMITS.split(" ").indexOf(name.slice("RLIMIT_".length));
  return index < 0 ? undefined : index;
}
