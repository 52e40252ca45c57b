// Printed by the development host from its table of system calls: `make types`. Do not edit.
declare module "tare:sys" {
  export {};
  const brand: unique symbol;
  /** A file descriptor. */
  export type Fd = number & { readonly [brand]: "Fd" };
  /** What a call answers: a value, or -errno. Only check() of sys/check.ts opens it. */
  export type Ret<T> = { readonly [brand]: "Ret"; readonly value?: T };

  // file
  /** openat2(2), Linux 5.6. */
  export function openat2(dirfd: Fd, path: string | Uint8Array, flags: number | bigint, mode: number | bigint, resolve: number | bigint): Ret<Fd>;
  /** close(2). The number is free afterwards, whatever the answer. */
  export function close(fd: Fd): Ret<void>;
  /** close_range(2), Linux 5.9: `flags` as CLOSE_RANGE_CLOEXEC. */
  export function close_range(first: number, last: number, flags: number): Ret<void>;
  /** read(2) into the caller's buffer; the answer is the number of bytes, 0 at the end. */
  export function read(fd: Fd, into: Uint8Array): Ret<number>;
  /** pread64(2). */
  export function pread(fd: Fd, into: Uint8Array, offset: number | bigint): Ret<number>;
  /** write(2); fewer bytes than given may be written. */
  export function write(fd: Fd, from: Uint8Array): Ret<number>;
  /** lseek(2). */
  export function lseek(fd: Fd, offset: number | bigint, whence: number): Ret<number>;
  /** ftruncate(2). */
  export function ftruncate(fd: Fd, length: number | bigint): Ret<void>;
  /** fallocate(2). */
  export function fallocate(fd: Fd, mode: number, offset: number | bigint, length: number | bigint): Ret<void>;
  /** fsync(2). */
  export function fsync(fd: Fd): Ret<void>;
  /** splice(2) without offsets: both descriptors move on. */
  export function splice(from: Fd, to: Fd, length: number | bigint, flags: number): Ret<number>;
  /** copy_file_range(2) without offsets. */
  export function copy_file_range(from: Fd, to: Fd, length: number | bigint): Ret<number>;
  /** statx(2) into a `struct statx` of 256 bytes. */
  export function statx(dirfd: Fd, path: string | Uint8Array, flags: number, mask: number, into: Uint8Array): Ret<void>;
  /** The `f_type` of fstatfs(2): the magic number of the file system. */
  export function fstatfs_type(fd: Fd): Ret<number>;
  /** The flags of the mount and its file system, as ST_*: fstatvfs(3). */
  export function fstatfs_flags(fd: Fd): Ret<number>;
  /** readlinkat(2) into the caller's buffer; the answer is the length, not NUL-terminated. */
  export function readlinkat(dirfd: Fd, path: string | Uint8Array, into: Uint8Array): Ret<number>;
  /** getdents64(2): raw `struct linux_dirent64` records. */
  export function getdents64(fd: Fd, into: Uint8Array): Ret<number>;
  /** mkdirat(2). */
  export function mkdirat(dirfd: Fd, path: string | Uint8Array, mode: number): Ret<void>;
  /** mknodat(2); `major` and `minor` are packed as makedev(3) does. */
  export function mknodat(dirfd: Fd, path: string | Uint8Array, mode: number, major: number, minor: number): Ret<void>;
  /** symlinkat(2). */
  export function symlinkat(target: string | Uint8Array, dirfd: Fd, path: string | Uint8Array): Ret<void>;
  /** linkat(2). */
  export function linkat(olddirfd: Fd, oldpath: string | Uint8Array, newdirfd: Fd, newpath: string | Uint8Array, flags: number): Ret<void>;
  /** unlinkat(2). */
  export function unlinkat(dirfd: Fd, path: string | Uint8Array, flags: number): Ret<void>;
  /** renameat2(2). */
  export function renameat2(olddirfd: Fd, oldpath: string | Uint8Array, newdirfd: Fd, newpath: string | Uint8Array, flags: number): Ret<void>;
  /** fchownat(2). */
  export function fchownat(dirfd: Fd, path: string | Uint8Array, uid: number, gid: number, flags: number): Ret<void>;
  /** fchmod(2): not for an O_PATH descriptor. */
  export function fchmod(fd: Fd, mode: number): Ret<void>;
  /** fchmodat(2), which follows a symbolic link at the end. */
  export function fchmodat(dirfd: Fd, path: string | Uint8Array, mode: number): Ret<void>;
  /** fchmodat2(2), Linux 6.6: takes AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH. */
  export function fchmodat2(dirfd: Fd, path: string | Uint8Array, mode: number, flags: number): Ret<void>;
  /** utimensat(2): access and modification time in seconds and nanoseconds. */
  export function utimensat(dirfd: Fd, path: string | Uint8Array, atime: number | bigint, atimeNs: number, mtime: number | bigint, mtimeNs: number, flags: number): Ret<void>;
  /** faccessat2(2), Linux 5.8. */
  export function faccessat2(dirfd: Fd, path: string | Uint8Array, mode: number, flags: number): Ret<void>;
  /** fsetxattr(2). */
  export function fsetxattr(fd: Fd, name: string | Uint8Array, value: Uint8Array, flags: number): Ret<void>;
  /** lsetxattr(2): on the link itself, by a path. */
  export function lsetxattr(path: string | Uint8Array, name: string | Uint8Array, value: Uint8Array, flags: number): Ret<void>;
  /** lgetxattr(2) into the caller's buffer; an empty buffer asks for the size. */
  export function lgetxattr(path: string | Uint8Array, name: string | Uint8Array, into: Uint8Array): Ret<number>;
  /** llistxattr(2) into the caller's buffer: names, each ended by NUL. */
  export function llistxattr(path: string | Uint8Array, into: Uint8Array): Ret<number>;
  /** flock(2). */
  export function flock(fd: Fd, operation: number): Ret<void>;
  /** fcntl(2) with a number: F_DUPFD_CLOEXEC, F_SETFD, F_SETFL, F_ADD_SEALS, F_GET_SEALS. */
  export function fcntl(fd: Fd, command: number, argument: number | bigint): Ret<number>;
  /** dup3(2). */
  export function dup3(from: Fd, to: Fd, flags: number): Ret<Fd>;
  /** pipe2(2): the read end and the write end are put into `fds`. */
  export function pipe2(fds: Int32Array, flags: number): Ret<void>;
  /** memfd_create(2). */
  export function memfd_create(name: string | Uint8Array, flags: number): Ret<Fd>;
  /** fchdir(2). */
  export function fchdir(fd: Fd): Ret<void>;
  /** chdir(2). */
  export function chdir(path: string | Uint8Array): Ret<void>;
  /** The raw getcwd(2): begins with "(unreachable)" outside of the root. The length has the NUL. */
  export function getcwd(into: Uint8Array): Ret<number>;
  /** umask(2): the answer is the mask before. */
  export function umask(mask: number): number;

  // mount
  /** mount(2); null where an argument does not matter. */
  export function mount(source: string | Uint8Array | null, target: string | Uint8Array, fstype: string | Uint8Array | null, flags: number | bigint, data: string | Uint8Array | null): Ret<void>;
  /** umount2(2). */
  export function umount2(target: string | Uint8Array, flags: number): Ret<void>;
  /** pivot_root(2). */
  export function pivot_root(newRoot: string | Uint8Array, putOld: string | Uint8Array): Ret<void>;
  /** chroot(2). */
  export function chroot(path: string | Uint8Array): Ret<void>;
  /** fsopen(2), Linux 5.2. */
  export function fsopen(fstype: string | Uint8Array, flags: number): Ret<Fd>;
  /** fsconfig(2), Linux 5.2, for the commands that take strings, a descriptor or nothing. */
  export function fsconfig(fd: Fd, command: number, key: string | Uint8Array | null, value: string | Uint8Array | null, aux: number): Ret<void>;
  /** fsmount(2), Linux 5.2: a detached mount. */
  export function fsmount(fd: Fd, flags: number, attributes: number): Ret<Fd>;
  /** open_tree(2), Linux 5.2. */
  export function open_tree(dirfd: Fd, path: string | Uint8Array, flags: number): Ret<Fd>;
  /** move_mount(2), Linux 5.2. */
  export function move_mount(fromDirfd: Fd, from: string | Uint8Array, toDirfd: Fd, to: string | Uint8Array, flags: number): Ret<void>;
  /** mount_setattr(2), Linux 5.12; `userns` only with MOUNT_ATTR_IDMAP. */
  export function mount_setattr(dirfd: Fd, path: string | Uint8Array, flags: number, set: number | bigint, clear: number | bigint, propagation: number | bigint, userns: Fd): Ret<void>;
  /** quotactl_fd(2), Linux 5.14, with a structure in the caller's buffer. */
  export function quotactl_fd(fd: Fd, command: number, id: number, argument: Uint8Array): Ret<void>;

  // process
  /** clone3(2), Linux 5.3, as fork(2) does it: the child goes on in a copy of this heap and gets 0. `cgroup` counts only with CLONE_INTO_CGROUP (Linux 5.7). */
  export function clone3(flags: number | bigint, exitSignal: number, cgroup: Fd): Ret<number>;
  /** fork(2), by clone(2): also where a filter answers clone3(2) with ENOSYS. `flags` as CLONE_PARENT. */
  export function fork(flags: number | bigint): Ret<number>;
  /** unshare(2). */
  export function unshare(flags: number | bigint): Ret<void>;
  /** setns(2). */
  export function setns(fd: Fd, nstype: number): Ret<void>;
  /** execve(2): answers only when it fails. */
  export function execve(path: string | Uint8Array, argv: readonly (string | Uint8Array)[], envp: readonly (string | Uint8Array)[]): Ret<void>;
  /** execveat(2). */
  export function execveat(dirfd: Fd, path: string | Uint8Array, argv: readonly (string | Uint8Array)[], envp: readonly (string | Uint8Array)[], flags: number): Ret<void>;
  /** exit_group(2): does not answer. */
  export function exit_group(status: number): Ret<void>;
  /** wait4(2): the answer is the pid; the raw status is put into `status[0]`. */
  export function wait4(pid: number, status: Int32Array, options: number): Ret<number>;
  /** kill(2). */
  export function kill(pid: number, signal: number): Ret<void>;
  /** pidfd_open(2), Linux 5.3. */
  export function pidfd_open(pid: number, flags: number): Ret<Fd>;
  /** pidfd_send_signal(2), Linux 5.1. */
  export function pidfd_send_signal(pidfd: Fd, signal: number): Ret<void>;
  /** getpid(2). */
  export function getpid(): number;
  /** getppid(2): 0 where the parent is outside of the pid namespace. */
  export function getppid(): number;
  /** getuid(2). */
  export function getuid(): number;
  /** geteuid(2). */
  export function geteuid(): number;
  /** getgid(2). */
  export function getgid(): number;
  /** getegid(2). */
  export function getegid(): number;
  /** setresuid(2) of this thread. */
  export function setresuid(real: number, effective: number, saved: number): Ret<void>;
  /** setresgid(2) of this thread. */
  export function setresgid(real: number, effective: number, saved: number): Ret<void>;
  /** setgroups(2): each number is a gid, unsigned. */
  export function setgroups(gids: Int32Array): Ret<void>;
  /** setsid(2). */
  export function setsid(): Ret<number>;
  /** prctl(2) with numbers. */
  export function prctl(option: number, arg2: number | bigint, arg3: number | bigint, arg4: number | bigint, arg5: number | bigint): Ret<number>;
  /** PR_SET_NAME of prctl(2): 15 bytes at most. */
  export function set_name(name: string | Uint8Array): Ret<void>;
  /** prlimit64(2), setting: -1n is RLIM_INFINITY. */
  export function setrlimit(pid: number, resource: number, soft: number | bigint, hard: number | bigint): Ret<void>;
  /** prlimit64(2), getting: soft and hard as two little-endian 64-bit numbers. */
  export function getrlimit(pid: number, resource: number, into: Uint8Array): Ret<void>;
  /** sethostname(2). */
  export function sethostname(name: string | Uint8Array): Ret<void>;
  /** setdomainname(2). */
  export function setdomainname(name: string | Uint8Array): Ret<void>;
  /** uname(2) into a `struct new_utsname` of 390 bytes. */
  export function uname(into: Uint8Array): Ret<void>;
  /** personality(2). */
  export function personality(persona: number): Ret<number>;
  /** sched_setattr(2) with a `struct sched_attr`. */
  export function sched_setattr(pid: number, attr: Uint8Array, flags: number): Ret<void>;
  /** sched_setaffinity(2) with a CPU mask. */
  export function sched_setaffinity(pid: number, mask: Uint8Array): Ret<void>;
  /** ioprio_set(2). */
  export function ioprio_set(which: number, who: number, priority: number): Ret<void>;
  /** set_mempolicy(2) with a node mask of `maxnode` bits. */
  export function set_mempolicy(mode: number, mask: Uint8Array, maxnode: number | bigint): Ret<void>;

  // security
  /** capset(2) of this thread, version 3; each set is a mask of 64 bits. */
  export function capset(effective: number | bigint, permitted: number | bigint, inheritable: number | bigint): Ret<void>;
  /** capget(2) of this thread, version 3, into 24 bytes: low then high words of effective, permitted, inheritable. */
  export function capget(into: Uint8Array): Ret<void>;
  /** SECCOMP_SET_MODE_FILTER of seccomp(2) with an array of `struct sock_filter`; a descriptor is answered with SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0. */
  export function seccomp_set_filter(flags: number, filter: Uint8Array): Ret<number>;
  /** SECCOMP_SET_MODE_FILTER of seccomp(2) without a filter: EFAULT where the kernel knows all of the flags, EINVAL where not. Never succeeds. */
  export function seccomp_probe_flags(flags: number): Ret<void>;
  /** SECCOMP_GET_ACTION_AVAIL of seccomp(2). */
  export function seccomp_action_available(action: number): Ret<void>;
  /** BPF_PROG_LOAD of bpf(2) with an array of `struct bpf_insn`; the verifier's words go to `log`. A name has letters, digits, `_` and `.`, 15 at most. */
  export function bpf_prog_load(kind: number, attachType: number, program: Uint8Array, license: string | Uint8Array, name: string | Uint8Array, log: Uint8Array | null): Ret<Fd>;
  /** BPF_PROG_ATTACH of bpf(2); `replaced` counts only with BPF_F_REPLACE (Linux 5.6). */
  export function bpf_prog_attach(target: Fd, program: Fd, attachType: number, flags: number, replaced: Fd): Ret<void>;
  /** BPF_PROG_QUERY of bpf(2): the ids of the programs attached to `target` itself are put into `ids`; the answer is their number. */
  export function bpf_prog_query(target: Fd, attachType: number, ids: Int32Array): Ret<number>;
  /** BPF_PROG_GET_FD_BY_ID of bpf(2). */
  export function bpf_prog_by_id(id: number): Ret<Fd>;
  /** BPF_OBJ_GET_INFO_BY_FD of bpf(2) into a `struct bpf_prog_info`. */
  export function bpf_prog_info(program: Fd, into: Uint8Array): Ret<void>;
  /** KEYCTL_JOIN_SESSION_KEYRING of keyctl(2): null makes an anonymous one. */
  export function join_session_keyring(name: string | Uint8Array | null): Ret<number>;
  /** KEYCTL_DESCRIBE of keyctl(2) into the caller's buffer. */
  export function keyctl_describe(key: number, into: Uint8Array): Ret<number>;
  /** KEYCTL_SETPERM of keyctl(2). */
  export function keyctl_setperm(key: number, permissions: number): Ret<void>;

  // socket
  /** socket(2). */
  export function socket(domain: number, kind: number, protocol: number): Ret<Fd>;
  /** socketpair(2): both ends are put into `fds`. */
  export function socketpair(domain: number, kind: number, protocol: number, fds: Int32Array): Ret<void>;
  /** bind(2) to a path of the AF_UNIX family. */
  export function bind_unix(fd: Fd, path: string | Uint8Array): Ret<void>;
  /** connect(2) to a path of the AF_UNIX family. */
  export function connect_unix(fd: Fd, path: string | Uint8Array): Ret<void>;
  /** connect(2) to a name of the abstract AF_UNIX namespace, without its leading NUL. */
  export function connect_abstract(fd: Fd, name: string | Uint8Array): Ret<void>;
  /** listen(2). */
  export function listen(fd: Fd, backlog: number): Ret<void>;
  /** accept4(2) without the peer's address. */
  export function accept4(fd: Fd, flags: number): Ret<Fd>;
  /** sendmsg(2) with the descriptors of `fds` as SCM_RIGHTS. */
  export function sendmsg(fd: Fd, from: Uint8Array, fds: Int32Array, flags: number): Ret<number>;
  /** recvmsg(2): received descriptors are put into `fds`, -1 where there was none. */
  export function recvmsg(fd: Fd, into: Uint8Array, fds: Int32Array, flags: number): Ret<number>;
  /** shutdown(2). */
  export function shutdown(fd: Fd, how: number): Ret<void>;

  // poll
  /** poll(2): `set` holds triples of descriptor, wanted events, and place for the events that came. `timeout_ms` below 0 waits for ever. */
  export function poll(set: Int32Array, timeoutMs: number): Ret<number>;
  /** poll(2) without a limit, for who waits long: first gives the kernel back what memory holds as the executable has it. `pagemap` is that file of /proc/self, which is closed; without one, nothing of the heap. */
  export function poll_at_rest(set: Int32Array, pagemap: Fd): Ret<number>;
  /** rt_sigprocmask(2) with a mask whose bit 0 is signal 1. */
  export function sigprocmask(how: number, mask: number | bigint): Ret<void>;
  /** signalfd4(2) for a new descriptor, with a mask as in `sigprocmask`. */
  export function signalfd(mask: number | bigint, flags: number): Ret<Fd>;
  /** eventfd2(2). */
  export function eventfd(initial: number, flags: number): Ret<Fd>;
  /** Gives the signals of a set their default action again, by rt_sigaction(2): those too that the C library keeps for itself, and that a caller may ignore all the same. */
  export function default_signals(mask: number | bigint): Ret<void>;
  /** ioctl(2) with a number. */
  export function ioctl(fd: Fd, request: number | bigint, argument: number | bigint): Ret<number>;
  /** ioctl(2) with a structure in the caller's buffer. */
  export function ioctl_bytes(fd: Fd, request: number | bigint, argument: Uint8Array): Ret<number>;
  /** clock_gettime(2) in nanoseconds. */
  export function clock_gettime(clock: number): bigint;
  /** Sleeps, by nanosleep(2); a signal ends it early. */
  export function sleep_ms(milliseconds: number): Ret<void>;

  // memory
  /** The text of UTF-8 bytes; null where they are not UTF-8. */
  export function decode_utf8(bytes: Uint8Array): string | null;
  /** The UTF-8 bytes of a text. */
  export function encode_utf8(text: string): Uint8Array;
  /** SHA-256 (FIPS 180-4) of some bytes: 32 bytes. */
  export function sha256(bytes: Uint8Array): Uint8Array;
  /** 1 where all bytes are zero, else 0. */
  export function is_zero(bytes: Uint8Array): number;
  /** The words of the command line, the program's own name first. */
  export function argv(): readonly string[];
  /** The environment, as `NAME=value` texts. */
  export function environ(): readonly string[];
  /** The value of one variable of the environment; null where it is not set. */
  export function variable(name: string): string | null;
  /** Overwrites the environment with zeros, for whoever may look at this process or at a fork of it. */
  export function forget_environ(): Ret<void>;
  /** Overwrites the words of the command line with zeros, but the program's own name: /proc/PID/cmdline is for everybody who sees this process or a fork of it. */
  export function forget_words(): Ret<void>;
  /** Forgets all that scripts made and calls `resume` of the program with these bytes, so that a process that waits long holds little. Does not return, or with -ENOSYS where it cannot. */
  export function restart(bytes: Uint8Array): Ret<void>;
  /** Random bytes of getrandom(2). */
  export function getrandom(length: number): Uint8Array;

  // part
  /** The exports of an embedded part, by its name. */
  export function load_part(name: string): unknown;
}
