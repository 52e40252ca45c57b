//! Files, directories and descriptors.

use super::{extent, kernel, syscall};
use crate::js::{Buffer, Fd, Ints, Path, room};

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

super::sys! {
    /// openat2(2), Linux 5.6.
    fn openat2(dirfd: Fd, path: Path, flags: u64, mode: u64, resolve: u64) -> NewFd {
        let how = OpenHow { flags, mode, resolve };
        syscall!(libc::SYS_openat2, dirfd.0, path.as_ptr(), &how, size_of::<OpenHow>())
    }
    /// close(2). The number is free afterwards, whatever the answer.
    fn close(fd: Fd) -> Done { syscall!(libc::SYS_close, fd.0) }
    /// close_range(2), Linux 5.9: `flags` as CLOSE_RANGE_CLOEXEC.
    fn close_range(first: u32, last: u32, flags: u32) -> Done {
        syscall!(libc::SYS_close_range, first, last, flags)
    }
    /// read(2) into the caller's buffer; the answer is the number of bytes, 0 at the end.
    fn read(fd: Fd, into: Buffer) -> Count {
        syscall!(libc::SYS_read, fd.0, into.as_mut_ptr(), extent(fd.0, into.len()))
    }
    /// pread64(2).
    fn pread(fd: Fd, into: Buffer, offset: u64) -> Count {
        syscall!(libc::SYS_pread64, fd.0, into.as_mut_ptr(), extent(fd.0, into.len()), offset)
    }
    /// write(2); fewer bytes than given may be written.
    fn write(fd: Fd, from: Buffer) -> Count {
        syscall!(libc::SYS_write, fd.0, from.as_ptr(), extent(fd.0, from.len()))
    }
    /// lseek(2).
    fn lseek(fd: Fd, offset: u64, whence: u32) -> Count {
        syscall!(libc::SYS_lseek, fd.0, offset, whence)
    }
    /// ftruncate(2).
    fn ftruncate(fd: Fd, length: u64) -> Done { syscall!(libc::SYS_ftruncate, fd.0, length) }
    /// fallocate(2).
    fn fallocate(fd: Fd, mode: u32, offset: u64, length: u64) -> Done {
        syscall!(libc::SYS_fallocate, fd.0, mode, offset, length)
    }
    /// fsync(2).
    fn fsync(fd: Fd) -> Done { syscall!(libc::SYS_fsync, fd.0) }
    /// splice(2) without offsets: both descriptors move on.
    fn splice(from: Fd, to: Fd, length: u64, flags: u32) -> Count {
        let none = std::ptr::null::<i64>();
        syscall!(libc::SYS_splice, from.0, none, to.0, none, length, flags)
    }
    /// copy_file_range(2) without offsets.
    fn copy_file_range(from: Fd, to: Fd, length: u64) -> Count {
        let none = std::ptr::null::<i64>();
        syscall!(libc::SYS_copy_file_range, from.0, none, to.0, none, length, 0)
    }
    /// statx(2) into a `struct statx` of 256 bytes.
    fn statx(dirfd: Fd, path: Path, flags: u32, mask: u32, into: Buffer) -> Done {
        room(into.len(), size_of::<libc::statx>())?;
        syscall!(libc::SYS_statx, dirfd.0, path.as_ptr(), flags, mask, into.as_mut_ptr())
    }
    /// The `f_type` of fstatfs(2): the magic number of the file system.
    fn fstatfs_type(fd: Fd) -> Count {
        // SAFETY: an all-zero statfs is valid, and the kernel fills it.
        let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
        let answer = syscall!(libc::SYS_fstatfs, fd.0, &mut stat);
        if answer < 0 { answer } else { stat.f_type }
    }
    /// The flags of the mount and its file system, as ST_*: fstatvfs(3).
    fn fstatfs_flags(fd: Fd) -> Count {
        // SAFETY: an all-zero statvfs is valid, and the kernel fills it.
        let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: `stat` outlives the call.
        let answer = kernel("fstatfs", || i64::from(unsafe { libc::fstatvfs(fd.0, &mut stat) }));
        if answer < 0 { answer } else { stat.f_flag as i64 }
    }
    /// readlinkat(2) into the caller's buffer; the answer is the length, not NUL-terminated.
    fn readlinkat(dirfd: Fd, path: Path, into: Buffer) -> Count {
        syscall!(libc::SYS_readlinkat, dirfd.0, path.as_ptr(), into.as_mut_ptr(), into.len())
    }
    /// getdents64(2): raw `struct linux_dirent64` records.
    fn getdents64(fd: Fd, into: Buffer) -> Count {
        syscall!(libc::SYS_getdents64, fd.0, into.as_mut_ptr(), into.len())
    }
    /// mkdirat(2).
    fn mkdirat(dirfd: Fd, path: Path, mode: u32) -> Done {
        syscall!(libc::SYS_mkdirat, dirfd.0, path.as_ptr(), mode)
    }
    /// mknodat(2); `major` and `minor` are packed as makedev(3) does.
    fn mknodat(dirfd: Fd, path: Path, mode: u32, major: u32, minor: u32) -> Done {
        syscall!(libc::SYS_mknodat, dirfd.0, path.as_ptr(), mode, libc::makedev(major, minor))
    }
    /// symlinkat(2).
    fn symlinkat(target: Path, dirfd: Fd, path: Path) -> Done {
        syscall!(libc::SYS_symlinkat, target.as_ptr(), dirfd.0, path.as_ptr())
    }
    /// linkat(2).
    fn linkat(olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path, flags: u32) -> Done {
        syscall!(
            libc::SYS_linkat, olddirfd.0, oldpath.as_ptr(), newdirfd.0, newpath.as_ptr(), flags
        )
    }
    /// unlinkat(2).
    fn unlinkat(dirfd: Fd, path: Path, flags: u32) -> Done {
        syscall!(libc::SYS_unlinkat, dirfd.0, path.as_ptr(), flags)
    }
    /// renameat2(2).
    fn renameat2(olddirfd: Fd, oldpath: Path, newdirfd: Fd, newpath: Path, flags: u32) -> Done {
        syscall!(
            libc::SYS_renameat2, olddirfd.0, oldpath.as_ptr(), newdirfd.0, newpath.as_ptr(), flags
        )
    }
    /// fchownat(2).
    fn fchownat(dirfd: Fd, path: Path, uid: u32, gid: u32, flags: u32) -> Done {
        syscall!(libc::SYS_fchownat, dirfd.0, path.as_ptr(), uid, gid, flags)
    }
    /// fchmod(2): not for an O_PATH descriptor.
    fn fchmod(fd: Fd, mode: u32) -> Done { syscall!(libc::SYS_fchmod, fd.0, mode) }
    /// fchmodat(2), which follows a symbolic link at the end.
    fn fchmodat(dirfd: Fd, path: Path, mode: u32) -> Done {
        syscall!(libc::SYS_fchmodat, dirfd.0, path.as_ptr(), mode)
    }
    /// fchmodat2(2), Linux 6.6: takes AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH.
    fn fchmodat2(dirfd: Fd, path: Path, mode: u32, flags: u32) -> Done {
        const SYS_FCHMODAT2: i64 = 452;
        syscall!(SYS_FCHMODAT2, dirfd.0, path.as_ptr(), mode, flags)
    }
    /// utimensat(2): access and modification time in seconds and nanoseconds.
    fn utimensat(
        dirfd: Fd, path: Path, atime: u64, atime_ns: u32, mtime: u64, mtime_ns: u32, flags: u32
    ) -> Done {
        let times = [
            libc::timespec { tv_sec: atime as i64, tv_nsec: i64::from(atime_ns) },
            libc::timespec { tv_sec: mtime as i64, tv_nsec: i64::from(mtime_ns) },
        ];
        syscall!(libc::SYS_utimensat, dirfd.0, path.as_ptr(), times.as_ptr(), flags)
    }
    /// faccessat2(2), Linux 5.8.
    fn faccessat2(dirfd: Fd, path: Path, mode: u32, flags: u32) -> Done {
        syscall!(libc::SYS_faccessat2, dirfd.0, path.as_ptr(), mode, flags)
    }
    /// fsetxattr(2).
    fn fsetxattr(fd: Fd, name: Path, value: Buffer, flags: u32) -> Done {
        syscall!(libc::SYS_fsetxattr, fd.0, name.as_ptr(), value.as_ptr(), value.len(), flags)
    }
    /// lsetxattr(2): on the link itself, by a path.
    fn lsetxattr(path: Path, name: Path, value: Buffer, flags: u32) -> Done {
        syscall!(
            libc::SYS_lsetxattr, path.as_ptr(), name.as_ptr(), value.as_ptr(), value.len(), flags
        )
    }
    /// lgetxattr(2) into the caller's buffer; an empty buffer asks for the size.
    fn lgetxattr(path: Path, name: Path, into: Buffer) -> Count {
        syscall!(
            libc::SYS_lgetxattr, path.as_ptr(), name.as_ptr(), into.as_mut_ptr(), into.len()
        )
    }
    /// llistxattr(2) into the caller's buffer: names, each ended by NUL.
    fn llistxattr(path: Path, into: Buffer) -> Count {
        syscall!(libc::SYS_llistxattr, path.as_ptr(), into.as_mut_ptr(), into.len())
    }
    /// flock(2).
    fn flock(fd: Fd, operation: u32) -> Done { syscall!(libc::SYS_flock, fd.0, operation) }
    /// fcntl(2) with a number: F_DUPFD_CLOEXEC, F_SETFD, F_SETFL, F_ADD_SEALS, F_GET_SEALS.
    fn fcntl(fd: Fd, command: u32, argument: u64) -> Count {
        syscall!(libc::SYS_fcntl, fd.0, command, argument)
    }
    /// dup3(2).
    fn dup3(from: Fd, to: Fd, flags: u32) -> NewFd {
        syscall!(libc::SYS_dup3, from.0, to.0, flags)
    }
    /// pipe2(2): the read end and the write end are put into `fds`.
    fn pipe2(fds: Ints, flags: u32) -> Done {
        room(fds.values().len(), 2)?;
        syscall!(libc::SYS_pipe2, fds.values().as_mut_ptr(), flags)
    }
    /// memfd_create(2).
    fn memfd_create(name: Path, flags: u32) -> NewFd {
        syscall!(libc::SYS_memfd_create, name.as_ptr(), flags)
    }
    /// fchdir(2).
    fn fchdir(fd: Fd) -> Done { syscall!(libc::SYS_fchdir, fd.0) }
    /// chdir(2).
    fn chdir(path: Path) -> Done { syscall!(libc::SYS_chdir, path.as_ptr()) }
    /// The raw getcwd(2): begins with "(unreachable)" outside of the root. The length has the NUL.
    fn getcwd(into: Buffer) -> Count {
        syscall!(libc::SYS_getcwd, into.as_mut_ptr(), into.len())
    }
    /// umask(2): the answer is the mask before.
    fn umask(mask: u32) -> Plain { syscall!(libc::SYS_umask, mask) }
}
