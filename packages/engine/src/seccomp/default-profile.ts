/**
 * The default seccomp profile: equal in effect to Docker's (moby/profiles of June 2026), but for
 * socketcall(2). Rules are resolved here, for one container on one machine; a runtime does not know
 * capabilities or kernel versions of rules.
 */
import type { Seccomp, SeccompArg, SeccompOperator, SeccompRule } from "@tare/spec/oci-runtime.ts";
import { ALLOWED_CALLS } from "./allowed-calls.ts";
import { type Condition, findMachine, isWanted, type ProfileFacts } from "./facts.ts";

export type DefaultProfileFacts = ProfileFacts & {
  /**
   * AppArmor or SELinux keeps the container from AF_ALG and AF_VSOCK. Then socketcall(2) may make
   * sockets, which 32-bit programs with glibc need. Not so by default.
   */
  readonly socketFamiliesGuarded?: boolean;
};

type Row = {
  readonly names: string;
  readonly includes?: Condition;
  readonly excludes?: Condition;
  readonly arg?: SeccompArg;
  /** Allowed where it is left out. */
  readonly errno?: number;
};

const EPERM = 1;
const ENOSYS = 38;
const AF_ALG = 38n;
const AF_VSOCK = 40n;
const SYS_SOCKET = 1n;
/** CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; time namespaces cannot be made by clone(2). */
const NAMESPACE_FLAGS = 0x7e020000n;
const S390 = ["s390", "s390x"];

/** personality(2): PER_LINUX, PER_LINUX32, each with UNAME26 too; the last one only asks. */
const PERSONALITIES = [0x0n, 0x8n, 0x20000n, 0x20008n, 0xffffffffn];

function cap(...names: string[]): Condition {
  return { capabilities: names.map((name) => `CAP_${name}`) };
}

function on(...machines: string[]): Condition {
  return { machines };
}

function compare(index: number, op: SeccompOperator, value: bigint, valueTwo = 0n): SeccompArg {
  return { index, value, valueTwo, op };
}

/**
 * Sockets of every family but AF_ALG, the way into the kernel's cryptography that CVE-2026-31431
 * went, and AF_VSOCK, which reaches the host of a virtual machine past every network namespace.
 */
const SOCKETS: readonly Row[] = [
  { names: "socket", arg: compare(0, "SCMP_CMP_LT", AF_ALG) },
  { names: "socket", arg: compare(0, "SCMP_CMP_EQ", AF_ALG + 1n) },
  { names: "socket", arg: compare(0, "SCMP_CMP_GT", AF_VSOCK) },
];

/** Without user namespaces' new rights: a new namespace is for those who may make one anyway. */
const CLONE: readonly Row[] = [
  {
    names: "clone",
    arg: compare(0, "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS, 0n),
    excludes: { ...cap("SYS_ADMIN"), ...on(...S390) },
  },
  {
    names: "clone",
    arg: compare(1, "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS, 0n),
    includes: on(...S390),
    excludes: cap("SYS_ADMIN"),
  },
  // Its flags are in memory, out of a filter's reach; C libraries fall back to clone.
  { names: "clone3", errno: ENOSYS, excludes: cap("SYS_ADMIN") },
];

const BY_MACHINE: readonly Row[] = [
  { names: "sync_file_range2 swapcontext", includes: on("ppc64le") },
  {
    names: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    includes: on("arm", "arm64"),
  },
  { names: "arch_prctl", includes: on("amd64", "x32") },
  { names: "modify_ldt", includes: on("amd64", "x32", "x86") },
  { names: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr", includes: on(...S390) },
  { names: "riscv_flush_icache", includes: on("riscv64") },
];

const BY_CAPABILITY: readonly Row[] = [
  { names: "open_by_handle_at", includes: cap("DAC_READ_SEARCH") },
  {
    names: `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
      lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree
      perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2
      unshare`,
    includes: cap("SYS_ADMIN"),
  },
  { names: "reboot", includes: cap("SYS_BOOT") },
  { names: "chroot", includes: cap("SYS_CHROOT") },
  { names: "delete_module init_module finit_module", includes: cap("SYS_MODULE") },
  { names: "acct", includes: cap("SYS_PACCT") },
  {
    names: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    includes: cap("SYS_PTRACE"),
  },
  { names: "iopl ioperm", includes: cap("SYS_RAWIO") },
  { names: "settimeofday stime clock_settime clock_settime64", includes: cap("SYS_TIME") },
  { names: "vhangup", includes: cap("SYS_TTY_CONFIG") },
  { names: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node", includes: cap("SYS_NICE") },
  { names: "syslog", includes: cap("SYSLOG") },
  { names: "bpf", includes: cap("BPF") },
  { names: "perf_event_open", includes: cap("PERFMON") },
];

/** Before Linux 4.8 a traced process could get around its own filter. */
const BY_KERNEL: readonly Row[] = [
  { names: "process_vm_readv process_vm_writev ptrace", includes: { kernelMin: "4.8" } },
];

/** The profile for a container with these capabilities; the rest gets EPERM. */
export function defaultProfile(facts: DefaultProfileFacts): Seccomp {
  const rows: readonly Row[] = [
    { names: Object.values(ALLOWED_CALLS).join(" ") },
    ...BY_KERNEL,
    ...SOCKETS,
    socketcall(facts),
    ...PERSONALITIES.map((value) => ({
      names: "personality",
      arg: compare(0, "SCMP_CMP_EQ", value),
    })),
    ...BY_MACHINE,
    ...BY_CAPABILITY,
    ...CLONE,
  ];
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: findMachine(facts.architecture).architectures,
    flags: [],
    syscalls: rows.filter((row) => isWanted(row.includes, row.excludes, facts)).map(toRule),
  };
}

/**
 * The multiplexer of 32-bit programs. The family is in memory, so without a security module to look
 * at it the only safe answer to SYS_SOCKET is no. Docker relies on the module alone. On s390x glibc
 * has no other way to a socket.
 */
function socketcall(facts: DefaultProfileFacts): Row {
  const free = facts.socketFamiliesGuarded === true || facts.architecture === "s390x";
  if (free) return { names: "socketcall" };
  return { names: "socketcall", arg: compare(0, "SCMP_CMP_NE", SYS_SOCKET) };
}

function toRule({ names, arg, errno }: Row): SeccompRule {
  const rule = { names: names.trim().split(/\s+/), args: arg === undefined ? [] : [arg] };
  if (errno === undefined) return { ...rule, action: "SCMP_ACT_ALLOW" };
  return { ...rule, action: "SCMP_ACT_ERRNO", errnoRet: errno };
}
