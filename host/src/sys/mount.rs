//! Mounts, old and new interface, and the root directory.

use super::syscall;
use crate::js::{Buffer, Fd, Path, pointer};

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

super::sys! {
    /// mount(2); null where an argument does not matter.
    fn mount(
        source: Option<Path>, target: Path, fstype: Option<Path>, flags: u64, data: Option<Path>
    ) -> Done {
        syscall!(
            libc::SYS_mount, pointer(&source), target.as_ptr(), pointer(&fstype), flags,
            pointer(&data)
        )
    }
    /// umount2(2).
    fn umount2(target: Path, flags: u32) -> Done {
        syscall!(libc::SYS_umount2, target.as_ptr(), flags)
    }
    /// pivot_root(2).
    fn pivot_root(new_root: Path, put_old: Path) -> Done {
        syscall!(libc::SYS_pivot_root, new_root.as_ptr(), put_old.as_ptr())
    }
    /// chroot(2).
    fn chroot(path: Path) -> Done { syscall!(libc::SYS_chroot, path.as_ptr()) }
    /// fsopen(2), Linux 5.2.
    fn fsopen(fstype: Path, flags: u32) -> NewFd {
        syscall!(libc::SYS_fsopen, fstype.as_ptr(), flags)
    }
    /// fsconfig(2), Linux 5.2, for the commands that take strings, a descriptor or nothing.
    fn fsconfig(fd: Fd, command: u32, key: Option<Path>, value: Option<Path>, aux: i32) -> Done {
        syscall!(libc::SYS_fsconfig, fd.0, command, pointer(&key), pointer(&value), aux)
    }
    /// fsmount(2), Linux 5.2: a detached mount.
    fn fsmount(fd: Fd, flags: u32, attributes: u32) -> NewFd {
        syscall!(libc::SYS_fsmount, fd.0, flags, attributes)
    }
    /// open_tree(2), Linux 5.2.
    fn open_tree(dirfd: Fd, path: Path, flags: u32) -> NewFd {
        syscall!(libc::SYS_open_tree, dirfd.0, path.as_ptr(), flags)
    }
    /// move_mount(2), Linux 5.2.
    fn move_mount(from_dirfd: Fd, from: Path, to_dirfd: Fd, to: Path, flags: u32) -> Done {
        syscall!(
            libc::SYS_move_mount, from_dirfd.0, from.as_ptr(), to_dirfd.0, to.as_ptr(), flags
        )
    }
    /// mount_setattr(2), Linux 5.12; `userns` only with MOUNT_ATTR_IDMAP.
    fn mount_setattr(
        dirfd: Fd, path: Path, flags: u32, set: u64, clear: u64, propagation: u64, userns: Fd
    ) -> Done {
        let userns_fd = userns.0.max(0) as u64;
        let attr = MountAttr { attr_set: set, attr_clr: clear, propagation, userns_fd };
        syscall!(
            libc::SYS_mount_setattr, dirfd.0, path.as_ptr(), flags, &attr, size_of::<MountAttr>()
        )
    }
    /// quotactl_fd(2), Linux 5.14, with a structure in the caller's buffer.
    fn quotactl_fd(fd: Fd, command: u32, id: u32, argument: Buffer) -> Done {
        syscall!(libc::SYS_quotactl_fd, fd.0, command, id, argument.as_mut_ptr())
    }
}
