/**
 * Our constants against the C library's and the kernel's headers: small programs, compiled here,
 * print what the names mean to the C compiler, and lay out the structures that we read by offset.
 */

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errnoName, errnoText } from "./abi-errno.ts";
import { capabilityNames, rlimitNumber, signalNumber } from "./abi-process.ts";
import { statAt } from "./stat.ts";
import type { Fd, Sys } from "./types.ts";

const dir = mkdtempSync(join(tmpdir(), "tare-abi-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Compiles and runs a program; answers what it wrote. */
function runC(headers: readonly string[], body: string): Buffer {
  const includes = headers.map((header) => `#include <${header}>\n`).join("");
  const source = join(dir, "program.c");
  writeFileSync(source, `#define _GNU_SOURCE\n${includes}int main(void) {\n${body}\nreturn 0; }\n`);
  const program = join(dir, "program");
  const made = Bun.spawnSync(["gcc", "-std=gnu11", "-Wall", "-Werror", "-o", program, source]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  const ran = Bun.spawnSync([program]);
  if (ran.exitCode !== 0) throw new Error(`the program ended with ${ran.exitCode}`);
  return ran.stdout;
}

/** The values of C expressions, in their order. */
function valuesOf(headers: readonly string[], expressions: readonly string[]): bigint[] {
  const body = expressions.map((text) => `printf("%lld\\n", (long long)(${text}));`).join("\n");
  const lines = runC(["stdio.h", ...headers], body)
    .toString()
    .trim()
    .split("\n");
  return lines.map(BigInt);
}

type Constants = {
  /** The file that has them, in this package's sources. */
  readonly file: string;
  readonly headers: readonly string[];
  /** Ours by another name, or what stands for a structure's size: the C expression. */
  readonly others?: Readonly<Record<string, string>>;
  /** Absent: every constant of the file. */
  readonly names?: readonly string[];
};

const TABLES: readonly Constants[] = [
  { file: "sys/abi-errno.ts", headers: ["errno.h"] },
  {
    file: "sys/abi-file.ts",
    headers: ["fcntl.h", "unistd.h", "sys/file.h", "sys/stat.h"].concat([
      "linux/close_range.h",
      "linux/magic.h",
      "linux/openat2.h",
    ]),
    others: { NO_FD: "-1" },
  },
  {
    file: "sys/abi-mount.ts",
    headers: ["fcntl.h", "linux/mount.h", "sys/statvfs.h"],
    // The C library's header, which has these two, cannot stand beside the kernel's.
    others: { MNT_DETACH: "2", UMOUNT_NOFOLLOW: "8", MOUNT_ATTR_ATIME: "MOUNT_ATTR__ATIME" },
  },
  {
    file: "sys/abi-mount.ts",
    headers: ["sys/mount.h"],
    names: ["MNT_DETACH", "UMOUNT_NOFOLLOW", "MS_UNBINDABLE"],
  },
  {
    file: "sys/abi-process.ts",
    headers: ["sched.h", "signal.h", "sys/wait.h", "linux/capability.h"].concat([
      "linux/prctl.h",
      "linux/sched.h",
    ]),
    // A set of capabilities is two words of the kernel's structure.
    others: { CAP_LAST: "CAP_LAST_CAP", CAP_BITS: "2 * 8 * sizeof(__u32)" },
  },
  {
    file: "sys/abi-socket.ts",
    headers: [
      "net/if.h",
      "poll.h",
      "sys/eventfd.h",
      "sys/ioctl.h",
      "sys/signalfd.h",
      "sys/socket.h",
    ],
    others: { SIGNALFD_SIGINFO_BYTES: "sizeof(struct signalfd_siginfo)" },
  },
  {
    file: "cgroup/devices-bpf.ts",
    headers: ["linux/bpf.h"],
    names: ["BPF_PROG_TYPE_CGROUP_DEVICE", "BPF_CGROUP_DEVICE"].concat([
      "BPF_F_ALLOW_MULTI",
      "BPF_F_REPLACE",
    ]),
    others: {
      INSTRUCTION_BYTES: "sizeof(struct bpf_insn)",
      LOAD_WORD: "BPF_LDX | BPF_W | BPF_MEM",
      MOVE_IMMEDIATE: "BPF_ALU | BPF_MOV | BPF_K",
      MOVE_REGISTER: "BPF_ALU | BPF_MOV | BPF_X",
      AND_IMMEDIATE: "BPF_ALU | BPF_AND | BPF_K",
      SHIFT_RIGHT_IMMEDIATE: "BPF_ALU | BPF_RSH | BPF_K",
      JUMP: "BPF_JMP | BPF_JA",
      JUMP_IF_NOT_EQUAL: "BPF_JMP32 | BPF_JNE | BPF_K",
      JUMP_IF_ANY_BIT: "BPF_JMP32 | BPF_JSET | BPF_K",
      EXIT: "BPF_JMP | BPF_EXIT",
    },
  },
  {
    file: "volume/quota.ts",
    headers: ["stddef.h", "linux/fs.h", "linux/quota.h", "linux/dqblk_xfs.h"],
    names: ["FS_IOC_FSGETXATTR", "FS_IOC_FSSETXATTR", "FS_XFLAG_PROJINHERIT"].concat([
      "FS_QUOTA_PDQ_ENFD",
      "QIF_BLIMITS",
    ]),
    others: {
      FSXATTR_BYTES: "sizeof(struct fsxattr)",
      XFLAGS_AT: "offsetof(struct fsxattr, fsx_xflags)",
      PROJID_AT: "offsetof(struct fsxattr, fsx_projid)",
      GET_LIMIT: "(__u32)QCMD(Q_GETQUOTA, PRJQUOTA)",
      SET_LIMIT: "(__u32)QCMD(Q_SETQUOTA, PRJQUOTA)",
      GET_STATE: "(__u32)QCMD(Q_XGETQSTAT, PRJQUOTA)",
      LIMIT_BYTES: "sizeof(struct if_dqblk)",
      HARD_AT: "offsetof(struct if_dqblk, dqb_bhardlimit)",
      SOFT_AT: "offsetof(struct if_dqblk, dqb_bsoftlimit)",
      INODES_AT: "offsetof(struct if_dqblk, dqb_curinodes)",
      VALID_AT: "offsetof(struct if_dqblk, dqb_valid)",
      STATE_BYTES: "sizeof(struct fs_quota_stat)",
      FLAGS_AT: "offsetof(struct fs_quota_stat, qs_flags)",
    },
  },
  {
    file: "cgroup/update-devices.ts",
    headers: ["linux/bpf.h"],
    names: [],
    others: {
      NAME_AT: "__builtin_offsetof(struct bpf_prog_info, name)",
      INFO_BYTES: "__builtin_offsetof(struct bpf_prog_info, name) + BPF_OBJ_NAME_LEN",
    },
  },
  {
    file: "cgroup/device-rules.ts",
    headers: ["linux/bpf.h"],
    names: [],
    others: {
      ACCESS_MKNOD: "BPF_DEVCG_ACC_MKNOD",
      ACCESS_READ: "BPF_DEVCG_ACC_READ",
      ACCESS_WRITE: "BPF_DEVCG_ACC_WRITE",
    },
  },
  {
    file: "cgroup/tree.ts",
    headers: ["fcntl.h", "linux/magic.h", "linux/stat.h"],
    names: ["CGROUP_SUPER_MAGIC", "CGROUP2_SUPER_MAGIC", "STATX_NLINK"],
    others: {
      STATX_BYTES: "sizeof(struct statx)",
      STATX_NLINK_AT: "__builtin_offsetof(struct statx, stx_nlink)",
    },
  },
  {
    file: "seccomp/actions.ts",
    headers: ["linux/seccomp.h"],
    names: [],
    others: {
      RET_KILL_PROCESS: "SECCOMP_RET_KILL_PROCESS",
      RET_KILL_THREAD: "SECCOMP_RET_KILL_THREAD",
      RET_TRAP: "SECCOMP_RET_TRAP",
      RET_ERRNO: "SECCOMP_RET_ERRNO",
      RET_NOTIFY: "SECCOMP_RET_USER_NOTIF",
      RET_TRACE: "SECCOMP_RET_TRACE",
      RET_LOG: "SECCOMP_RET_LOG",
      RET_ALLOW: "SECCOMP_RET_ALLOW",
      ACTION_MASK: "SECCOMP_RET_ACTION_FULL",
    },
  },
  {
    file: "seccomp/flags.ts",
    headers: ["linux/seccomp.h"],
    names: [],
    others: {
      FLAG_LOG: "SECCOMP_FILTER_FLAG_LOG",
      FLAG_SPEC_ALLOW: "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
      FLAG_NEW_LISTENER: "SECCOMP_FILTER_FLAG_NEW_LISTENER",
      FLAG_WAIT_KILLABLE_RECV: "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    },
  },
  {
    file: "seccomp/assembler.ts",
    headers: ["linux/filter.h"],
    names: [],
    others: {
      LD_W_ABS: "BPF_LD | BPF_W | BPF_ABS",
      ALU_AND_K: "BPF_ALU | BPF_AND | BPF_K",
      JMP_JA: "BPF_JMP | BPF_JA",
      JMP_JEQ_K: "BPF_JMP | BPF_JEQ | BPF_K",
      JMP_JGT_K: "BPF_JMP | BPF_JGT | BPF_K",
      JMP_JGE_K: "BPF_JMP | BPF_JGE | BPF_K",
      RET_K: "BPF_RET | BPF_K",
      INSTRUCTIONS_MAX: "BPF_MAXINSNS",
      INSTRUCTION_BYTES: "sizeof(struct sock_filter)",
    },
  },
  {
    file: "terminal/host-terminal.ts",
    headers: ["asm/termbits.h"],
    names: ["CS8", "ONLCR", "OPOST"],
    others: {
      TERMIOS_BYTES: "sizeof(struct termios)",
      IFLAG_AT: "__builtin_offsetof(struct termios, c_iflag)",
      OFLAG_AT: "__builtin_offsetof(struct termios, c_oflag)",
      CFLAG_AT: "__builtin_offsetof(struct termios, c_cflag)",
      LFLAG_AT: "__builtin_offsetof(struct termios, c_lflag)",
      IFLAG_OFF: "IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON",
      LFLAG_OFF: "ECHO | ECHONL | ICANON | ISIG | IEXTEN",
      CFLAG_OFF: "CSIZE | PARENB",
    },
  },
  {
    file: "container/store.ts",
    headers: ["fcntl.h"],
    names: ["O_APPEND"],
  },
  { file: "hooks/run.ts", headers: ["sys/mman.h"], names: ["MFD_CLOEXEC"] },
  {
    file: "process/scheduling.ts",
    headers: ["linux/ioprio.h", "linux/sched/types.h"],
    names: ["IOPRIO_WHO_PROCESS"],
    others: { IO_CLASS_SHIFT: "IOPRIO_CLASS_SHIFT", SCHED_ATTR_BYTES: "SCHED_ATTR_SIZE_VER1" },
  },
  { file: "sys/clock.ts", headers: ["time.h"], names: ["CLOCK_MONOTONIC"] },
  {
    file: "network/netlink.ts",
    headers: ["linux/netlink.h"],
    others: {
      NLMSG_HEADER_BYTES: "sizeof(struct nlmsghdr)",
      NLATTR_HEADER_BYTES: "sizeof(struct nlattr)",
      NLA_TYPE_MASK: "(unsigned short)NLA_TYPE_MASK",
    },
  },
  {
    file: "network/rtnetlink.ts",
    headers: ["linux/rtnetlink.h", "linux/if_addr.h", "linux/if_link.h", "net/if.h"],
    others: {
      IFINFOMSG_BYTES: "sizeof(struct ifinfomsg)",
      IFADDRMSG_BYTES: "sizeof(struct ifaddrmsg)",
    },
  },
  {
    file: "network/route-socket.ts",
    headers: ["sys/socket.h", "linux/netlink.h"],
    names: ["AF_NETLINK", "NETLINK_ROUTE"],
  },
  { file: "unpack/remove.ts", headers: ["dirent.h"], names: ["DT_DIR"] },
  {
    file: "sys/directory.ts",
    headers: ["dirent.h"],
    names: [],
    others: {
      LENGTH_AT: "__builtin_offsetof(struct dirent64, d_reclen)",
      NAME_AT: "__builtin_offsetof(struct dirent64, d_name)",
    },
  },
  {
    file: "mounts/move-root.ts",
    headers: ["linux/stat.h"],
    names: ["STATX_MNT_ID"],
    others: {
      STATX_BYTES: "sizeof(struct statx)",
      MNT_ID_AT: "__builtin_offsetof(struct statx, stx_mnt_id)",
    },
  },
  {
    file: "sys/stat.ts",
    headers: ["linux/stat.h"],
    names: ["STATX_BASIC_STATS"],
    others: { STATX_BYTES: "sizeof(struct statx)" },
  },
  {
    file: "sys/uname.ts",
    headers: ["sys/utsname.h"],
    names: [],
    others: {
      UTS_BYTES: "sizeof(struct utsname)",
      FIELD_BYTES: "sizeof(((struct utsname *)0)->release)",
    },
  },
];

/** The number constants of a source file, by name: literals, `|`, `<<`, `+` and names before them. */
function constantsOf(file: string): Map<string, bigint> {
  const text = readFileSync(join(import.meta.dir, "..", file), "utf8");
  const known = new Map<string, bigint>();
  const declared = text.matchAll(
    /^(?:export )?const ([A-Z][A-Z0-9_]*) = ([^;"'[({]+?)(?: as Fd)?;/gm,
  );
  for (const [, name = "", expression = ""] of declared) {
    const value = evaluate(expression, known);
    if (value !== undefined) known.set(name, value);
  }
  return known;
}

function evaluate(expression: string, known: ReadonlyMap<string, bigint>): bigint | undefined {
  const [first = "", ...rest] = expression.trim().split(" ");
  let value = term(first, known);
  for (let at = 0; at < rest.length && value !== undefined; at += 2) {
    const operand = term(rest[at + 1] ?? "", known);
    value = operand === undefined ? undefined : apply(rest[at] ?? "", value, operand);
  }
  return value;
}

function term(text: string, known: ReadonlyMap<string, bigint>): bigint | undefined {
  if (known.has(text)) return known.get(text);
  const digits = text.replaceAll("_", "").replace(/n$/, "");
  return /^-?\d/.test(digits) ? BigInt(Number(digits)) : undefined;
}

function apply(operator: string, left: bigint, right: bigint): bigint | undefined {
  if (operator === "|") return left | right;
  if (operator === "<<") return left << right;
  return operator === "+" ? left + right : undefined;
}

describe("constants", () => {
  test.each(TABLES.map((table) => [table.file, table] as const))("of %s", (file, table) => {
    const ours = constantsOf(file);
    const { others = {}, names = [...ours.keys()] } = table;
    const plain = names.filter((name) => !Object.hasOwn(others, name));
    const wanted = [...plain, ...Object.keys(others)];
    const expressions = [...plain, ...Object.values(others)];
    const theirs = valuesOf(table.headers, expressions);
    const differing = wanted.flatMap((name, index) => {
      const [mine, his] = [ours.get(name), theirs[index]];
      return mine === his ? [] : [`${name}: ours ${mine}, C ${his}`];
    });
    expect(differing).toEqual([]);
    expect(wanted.length).toBeGreaterThan(0);
  });

  test("are read from the sources as they stand", () => {
    expect(constantsOf("sys/abi-mount.ts").get("MS_SHARED")).toBe(1n << 20n);
    expect(constantsOf("sys/abi-file.ts").get("AT_FDCWD")).toBe(-100n);
    expect(evaluate("0o10 | 0x1 | KNOWN", new Map([["KNOWN", 2n]]))).toBe(11n);
    expect(evaluate("someCall()", new Map())).toBeUndefined();
  });
});

describe("names", () => {
  test("of errors are those of the C library", () => {
    const body = `for (int i = 1; i < 134; i++)
      if (strerrorname_np(i)) printf("%d %s %s\\n", i, strerrorname_np(i), strerror(i));`;
    const lines = runC(["stdio.h", "string.h"], body).toString().trim().split("\n");
    const ours = lines.map((line) => {
      const errno = Number(line.split(" ")[0]);
      return `${errno} ${errnoName(errno)} ${errnoText(errno)}`;
    });
    expect(ours).toEqual(lines.map((line) => line.replace(" ENOTSUP ", " EOPNOTSUPP ")));
    expect(lines.length).toBeGreaterThan(120);
  });

  test("of signals are those of the C library", () => {
    const body = `for (int i = 1; i < 32; i++)
      if (sigabbrev_np(i)) printf("%s %d\\n", sigabbrev_np(i), i);`;
    const lines = runC(["stdio.h", "string.h"], body).toString().trim().split("\n");
    const names = lines.map((line) => line.split(" ")[0] ?? "");
    // The C library's name of 29 is the one of System V.
    const ours = names.map((name) => signalNumber(`SIG${name === "POLL" ? "IO" : name}`));
    expect(ours.map((number, index) => `${names[index]} ${number}`)).toEqual(lines);
    expect(lines).toHaveLength(31);
    const [first, last] = valuesOf(["signal.h"], ["SIGRTMIN", "SIGRTMAX"]);
    expect([signalNumber("RTMIN"), signalNumber("RTMAX")].map(Number)).toEqual(
      [first, last].map(Number),
    );
  });

  test("of capabilities are the kernel's", () => {
    const names = capabilityNames();
    const numbers = valuesOf(["linux/capability.h"], names);
    expect(numbers.map(Number)).toEqual(names.map((_name, index) => index));
  });

  test("of limits are the kernel's", () => {
    const names = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING".concat(
      " MSGQUEUE NICE RTPRIO RTTIME",
    );
    const wanted = names.split(" ").map((name) => `RLIMIT_${name}`);
    const theirs = valuesOf(["sys/resource.h"], wanted);
    expect(wanted.map(rlimitNumber)).toEqual(theirs.map(Number));
  });
});

test("statx(2) is read where the kernel's header has its fields", () => {
  const fields =
    "stx_mode stx_uid stx_gid stx_ino stx_size stx_rdev_major stx_rdev_minor stx_dev_major stx_dev_minor stx_mtime.tv_sec stx_mtime.tv_nsec stx_nlink";
  const names = fields.split(" ");
  const body = `struct statx s; memset(&s, 0, sizeof s);
    ${names.map((name, index) => `s.${name} = ${index + 1} * 257;`).join(" ")}
    s.stx_ino |= 1ull << 60; s.stx_size |= 1ull << 61;
    fwrite(&s, sizeof s, 1, stdout);`;
  const bytes = runC(["stdio.h", "string.h", "linux/stat.h"], body);
  const sys = {
    statx: (_dirfd: Fd, _path: string, _flags: number, _mask: number, into: Uint8Array) => {
      into.set(bytes);
      return 0;
    },
  } as unknown as Sys;
  expect(statAt(sys, 3 as Fd, "x", 0)).toEqual({
    mode: 257,
    nlink: 12 * 257,
    uid: 2 * 257,
    gid: 3 * 257,
    ino: (1n << 60n) + 4n * 257n,
    size: (1n << 61n) + 5n * 257n,
    mtime: 10 * 257,
    mtimeNs: 11 * 257,
    rdevMajor: 6 * 257,
    rdevMinor: 7 * 257,
    devMajor: 8 * 257,
    devMinor: 9 * 257,
  });
});
