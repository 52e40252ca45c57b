//! Processes, namespaces, identities, signals to others.

use super::syscall;
use crate::js::{Buffer, Fd, Ints, Path, PathList, room};

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

super::sys! {
    /// clone3(2), Linux 5.3, as fork(2) does it: the child goes on in a copy of this heap and gets 0.
    /// `cgroup` counts only with CLONE_INTO_CGROUP (Linux 5.7).
    fn clone3(flags: u64, exit_signal: u32, cgroup: Fd) -> Count {
        let clone = CloneArgs {
            flags,
            exit_signal: u64::from(exit_signal),
            cgroup: cgroup.0.max(0) as u64,
            ..CloneArgs::default()
        };
        syscall!(libc::SYS_clone3, &clone, size_of::<CloneArgs>())
    }
    /// fork(2), by clone(2): also where a filter answers clone3(2) with ENOSYS. `flags` as
    /// CLONE_PARENT.
    fn fork(flags: u64) -> Count {
        syscall!(libc::SYS_clone, flags | libc::SIGCHLD as u64, 0, 0, 0, 0)
    }
    /// unshare(2).
    fn unshare(flags: u64) -> Done { syscall!(libc::SYS_unshare, flags) }
    /// setns(2).
    fn setns(fd: Fd, nstype: u32) -> Done { syscall!(libc::SYS_setns, fd.0, nstype) }
    /// execve(2): answers only when it fails.
    fn execve(path: Path, argv: PathList, envp: PathList) -> Done {
        let (argv, envp) = (argv.pointers(), envp.pointers());
        syscall!(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr())
    }
    /// execveat(2).
    fn execveat(dirfd: Fd, path: Path, argv: PathList, envp: PathList, flags: u32) -> Done {
        let (argv, envp) = (argv.pointers(), envp.pointers());
        syscall!(
            libc::SYS_execveat, dirfd.0, path.as_ptr(), argv.as_ptr(), envp.as_ptr(), flags
        )
    }
    /// exit_group(2): does not answer.
    fn exit_group(status: u32) -> Done { syscall!(libc::SYS_exit_group, status) }
    /// wait4(2): the answer is the pid; the raw status is put into `status[0]`.
    fn wait4(pid: i32, status: Ints, options: u32) -> Count {
        room(status.values().len(), 1)?;
        let first = status.values().as_mut_ptr();
        syscall!(libc::SYS_wait4, pid, first, options, std::ptr::null::<libc::rusage>())
    }
    /// kill(2).
    fn kill(pid: i32, signal: u32) -> Done { syscall!(libc::SYS_kill, pid, signal) }
    /// pidfd_open(2), Linux 5.3.
    fn pidfd_open(pid: i32, flags: u32) -> NewFd { syscall!(libc::SYS_pidfd_open, pid, flags) }
    /// pidfd_send_signal(2), Linux 5.1.
    fn pidfd_send_signal(pidfd: Fd, signal: u32) -> Done {
        syscall!(libc::SYS_pidfd_send_signal, pidfd.0, signal, std::ptr::null::<u8>(), 0)
    }
    /// getpid(2).
    fn getpid() -> Plain { syscall!(libc::SYS_getpid) }
    /// getppid(2): 0 where the parent is outside of the pid namespace.
    fn getppid() -> Plain { syscall!(libc::SYS_getppid) }
    /// getuid(2).
    fn getuid() -> Plain { syscall!(libc::SYS_getuid) }
    /// geteuid(2).
    fn geteuid() -> Plain { syscall!(libc::SYS_geteuid) }
    /// getgid(2).
    fn getgid() -> Plain { syscall!(libc::SYS_getgid) }
    /// getegid(2).
    fn getegid() -> Plain { syscall!(libc::SYS_getegid) }
    /// setresuid(2) of this thread.
    fn setresuid(real: u32, effective: u32, saved: u32) -> Done {
        syscall!(libc::SYS_setresuid, real, effective, saved)
    }
    /// setresgid(2) of this thread.
    fn setresgid(real: u32, effective: u32, saved: u32) -> Done {
        syscall!(libc::SYS_setresgid, real, effective, saved)
    }
    /// setgroups(2): each number is a gid, unsigned.
    fn setgroups(gids: Ints) -> Done {
        syscall!(libc::SYS_setgroups, gids.values().len(), gids.values().as_ptr())
    }
    /// setsid(2).
    fn setsid() -> Count { syscall!(libc::SYS_setsid) }
    /// prctl(2) with numbers.
    fn prctl(option: u32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) -> Count {
        syscall!(libc::SYS_prctl, option, arg2, arg3, arg4, arg5)
    }
    /// PR_SET_NAME of prctl(2): 15 bytes at most.
    fn set_name(name: Path) -> Done {
        syscall!(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0)
    }
    /// prlimit64(2), setting: -1n is RLIM_INFINITY.
    fn setrlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> Done {
        let limit = [soft, hard];
        let none = std::ptr::null::<u64>();
        syscall!(libc::SYS_prlimit64, pid, resource, limit.as_ptr(), none)
    }
    /// prlimit64(2), getting: soft and hard as two little-endian 64-bit numbers.
    fn getrlimit(pid: i32, resource: u32, into: Buffer) -> Done {
        room(into.len(), 16)?;
        syscall!(
            libc::SYS_prlimit64, pid, resource, std::ptr::null::<u64>(), into.as_mut_ptr()
        )
    }
    /// sethostname(2).
    fn sethostname(name: Path) -> Done {
        syscall!(libc::SYS_sethostname, name.as_ptr(), name.as_bytes().len())
    }
    /// setdomainname(2).
    fn setdomainname(name: Path) -> Done {
        syscall!(libc::SYS_setdomainname, name.as_ptr(), name.as_bytes().len())
    }
    /// uname(2) into a `struct new_utsname` of 390 bytes.
    fn uname(into: Buffer) -> Done {
        room(into.len(), size_of::<libc::utsname>())?;
        syscall!(libc::SYS_uname, into.as_mut_ptr())
    }
    /// personality(2).
    fn personality(persona: u32) -> Count { syscall!(libc::SYS_personality, persona) }
    /// sched_setattr(2) with a `struct sched_attr`.
    fn sched_setattr(pid: i32, attr: Buffer, flags: u32) -> Done {
        syscall!(libc::SYS_sched_setattr, pid, attr.as_ptr(), flags)
    }
    /// sched_setaffinity(2) with a CPU mask.
    fn sched_setaffinity(pid: i32, mask: Buffer) -> Done {
        syscall!(libc::SYS_sched_setaffinity, pid, mask.len(), mask.as_ptr())
    }
    /// ioprio_set(2).
    fn ioprio_set(which: u32, who: i32, priority: u32) -> Done {
        syscall!(libc::SYS_ioprio_set, which, who, priority)
    }
    /// set_mempolicy(2) with a node mask of `maxnode` bits.
    fn set_mempolicy(mode: u32, mask: Buffer, maxnode: u64) -> Done {
        syscall!(libc::SYS_set_mempolicy, mode, mask.as_ptr(), maxnode)
    }
}
