/**
 * Which errors a system call may plausibly give, by its name: those that its man page lists and that
 * a full machine, a limit, a security module or a race can cause. What only a wrong argument causes
 * (EFAULT, EBADF) would be a fault of ours at every run, and is not here.
 */
import { constants } from "node:os";

const { errno } = constants;

type ErrnoName = keyof typeof errno;

/** Calls that end early when a signal comes (signal(7)); repeating them is the runtime's duty. */
export const INTERRUPTIBLE: ReadonlySet<string> = new Set(
  "openat2 read pread64 write accept4 connect sendmsg recvmsg poll wait4 flock".split(" "),
);

/** Calls that may move fewer bytes than asked for. */
export const DIVISIBLE: ReadonlySet<string> = new Set("read pread64 write".split(" "));

const TABLE: Readonly<Record<string, string>> = {
  // Not ENOENT: of a file that is there it would be a lie, and who takes it for none would be right.
  openat2: "EMFILE ENFILE ENOMEM EACCES ELOOP EIO EINTR EAGAIN",
  openat: "EMFILE ENFILE ENOMEM EACCES",
  close: "EIO EINTR",
  close_range: "ENOMEM",
  read: "EIO ENOMEM EINTR",
  pread64: "EIO ENOMEM ENODEV EINTR",
  write: "ENOSPC EIO ENOMEM EPERM EINTR",
  lseek: "EIO",
  ftruncate: "EIO ENOSPC",
  statx: "EACCES ENOMEM EIO",
  newfstatat: "EACCES ENOMEM EIO",
  fstatfs: "ENOMEM EIO",
  statfs: "EACCES ENOMEM EIO",
  readlinkat: "EACCES ENOMEM",
  getdents64: "EIO ENOENT",
  mkdirat: "ENOSPC EACCES ENOMEM EROFS",
  mknodat: "EPERM ENOSPC EROFS",
  symlinkat: "ENOSPC EROFS ENOMEM",
  linkat: "ENOSPC EPERM EROFS EMLINK",
  unlinkat: "EBUSY EPERM EIO",
  renameat2: "ENOSPC EIO EACCES",
  fchownat: "EPERM EIO",
  fchmod: "EPERM EIO",
  fchmodat: "EPERM EIO",
  faccessat2: "EACCES ENOMEM",
  fcntl: "ENOMEM",
  dup3: "EMFILE EBUSY",
  pipe2: "EMFILE ENFILE",
  eventfd2: "EMFILE ENFILE ENOMEM",
  memfd_create: "EMFILE ENOMEM",
  sendfile: "EIO ENOMEM",
  fchdir: "EACCES ENOENT",
  chdir: "EACCES ENOENT",
  getcwd: "ENOENT ENOMEM",
  clone3: "EAGAIN ENOMEM ENOSPC EPERM",
  clone: "EAGAIN ENOMEM",
  unshare: "ENOMEM ENOSPC EPERM",
  setns: "EPERM ENOMEM",
  execve: "ENOMEM EACCES ENOENT EIO EAGAIN ETXTBSY",
  execveat: "ENOMEM EACCES EIO EAGAIN",
  wait4: "EINTR ECHILD",
  kill: "ESRCH EPERM",
  pidfd_open: "EMFILE ENOMEM ESRCH",
  pidfd_send_signal: "EPERM ESRCH",
  setresuid: "EAGAIN EPERM",
  setresgid: "EPERM",
  setgroups: "ENOMEM EPERM",
  setsid: "EPERM",
  prctl: "EPERM EINVAL",
  prlimit64: "EPERM",
  sethostname: "EPERM",
  setdomainname: "EPERM",
  personality: "EINVAL",
  sched_setattr: "EPERM EBUSY",
  sched_setaffinity: "EINVAL EPERM",
  ioprio_set: "EPERM",
  set_mempolicy: "EINVAL ENOMEM",
  mount: "ENOMEM EPERM EBUSY",
  umount2: "EBUSY EPERM",
  pivot_root: "EBUSY EPERM",
  chroot: "EPERM",
  fsopen: "EMFILE ENODEV ENOMEM EPERM",
  fsconfig: "EINVAL ENOMEM EPERM EBUSY",
  fsmount: "EMFILE ENOMEM EPERM",
  open_tree: "EMFILE ENOMEM ENOENT EPERM",
  move_mount: "ENOMEM EINVAL ELOOP ENOSPC",
  mount_setattr: "EPERM ENOMEM EINVAL",
  capset: "EPERM ENOMEM",
  capget: "EPERM",
  seccomp: "ENOMEM EACCES EINVAL",
  bpf: "ENOMEM EPERM EAGAIN",
  keyctl: "EDQUOT ENOMEM EACCES",
  socket: "EMFILE ENFILE ENOBUFS",
  socketpair: "EMFILE ENFILE",
  bind: "EADDRINUSE EACCES ENOSPC",
  connect: "EACCES EAGAIN EINTR",
  listen: "ENOBUFS",
  accept4: "EMFILE ENOMEM EINTR",
  sendmsg: "ENOBUFS ENOMEM EPIPE EINTR",
  recvmsg: "ENOMEM ECONNRESET EINTR",
  shutdown: "ENOTCONN",
  poll: "ENOMEM EINTR",
  signalfd4: "EMFILE ENOMEM",
  ioctl: "EIO ENOTTY ENOMEM",
  quotactl_fd: "EPERM EIO",
  flock: "ENOLCK EINTR",
  fsetxattr: "EPERM ENOSPC",
  utimensat: "EPERM",
};

/** Calls that cannot fail, or whose failure says nothing. */
const CERTAIN: ReadonlySet<string> = new Set(
  "getpid getppid getuid geteuid getgid getegid umask uname clock_gettime nanosleep exit_group rt_sigprocmask".split(
    " ",
  ),
);

/** The numbers; throws for a call that nobody has thought about. */
export function plausibleErrnos(call: string): number[] {
  const names = TABLE[call];
  if (names !== undefined) return names.split(" ").map((name) => errno[name as ErrnoName]);
  if (CERTAIN.has(call)) return [];
  throw new Error(`Which errors may ${call}(2) give? Add it to ${import.meta.file}`);
}

/** `ENOMEM` for 12. */
export function errnoName(number: number): string {
  return Object.entries(errno).find(([, value]) => value === number)?.[0] ?? String(number);
}
