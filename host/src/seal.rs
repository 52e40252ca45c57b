//! Makes this process run from a file that nobody can write, for programs that ask for it.
//!
//! `/proc/PID/exe` is a way to the file of a running program for whoever may look at the process
//! (CVE-2019-5736). The file is a read-only mount of our own executable, attached nowhere; without
//! the right to mount, a sealed copy in memory. Done here, before the script engine starts: there it
//! would start twice.

use crate::sys::syscall;
use std::ffi::CStr;
use std::os::raw::c_char;

const SELF: &CStr = c"/proc/self/exe";
const NOTHING: &CStr = c"";
const OPEN_TREE_CLONE: u32 = 1;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
const ALL_SEALS: i64 =
    (libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE) as i64;

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Executes this very program again from such a file; returns where it is one, or with what failed.
pub fn ensure(argv: *const *const c_char) -> Result<(), String> {
    if is_sealed()? {
        return Ok(());
    }
    let file = sealed_file()?;
    // SAFETY: environ is the process's own, argv the kernel's; both end with NULL.
    let environment = unsafe { environ };
    let answer = syscall!(
        libc::SYS_execveat,
        file,
        NOTHING.as_ptr(),
        argv,
        environment,
        libc::AT_EMPTY_PATH
    );
    done(answer, "execveat").map(|_| ())
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

fn done(answer: i64, call: &str) -> Result<i64, String> {
    if answer >= 0 {
        return Ok(answer);
    }
    let why = std::io::Error::from_raw_os_error(-answer as i32);
    Err(format!("Cannot run from a file that nobody can write: {call} {SELF:?}: {why}"))
}

/// On a read-only mount of its own the kernel answers EROFS; on a sealed file in memory, all seals.
fn is_sealed() -> Result<bool, String> {
    let writable =
        syscall!(libc::SYS_faccessat2, libc::AT_FDCWD, SELF.as_ptr(), libc::W_OK, libc::AT_EACCESS);
    if writable == -i64::from(libc::EROFS) && is_mount_root() {
        return Ok(true);
    }
    let file = done(open_self(), "open")?;
    let seals = syscall!(libc::SYS_fcntl, file, libc::F_GET_SEALS, 0);
    syscall!(libc::SYS_close, file);
    Ok(seals >= 0 && seals & ALL_SEALS == ALL_SEALS)
}

fn is_mount_root() -> bool {
    // SAFETY: an all-zero statx is valid, and the kernel fills it.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    let answer = syscall!(libc::SYS_statx, libc::AT_FDCWD, SELF.as_ptr(), 0, 0, &mut stat);
    answer == 0 && stat.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0
}

fn open_self() -> i64 {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    syscall!(libc::SYS_openat, libc::AT_FDCWD, SELF.as_ptr(), flags, 0)
}

fn sealed_file() -> Result<i64, String> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as u32;
    let tree = syscall!(libc::SYS_open_tree, libc::AT_FDCWD, SELF.as_ptr(), flags);
    if tree == -i64::from(libc::EPERM) {
        return copy_in_memory();
    }
    let tree = done(tree, "open_tree")?;
    let attr =
        MountAttr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let set = syscall!(
        libc::SYS_mount_setattr,
        tree,
        NOTHING.as_ptr(),
        libc::AT_EMPTY_PATH,
        &attr,
        size_of::<MountAttr>()
    );
    done(set, "mount_setattr")?;
    Ok(tree)
}

fn copy_in_memory() -> Result<i64, String> {
    let source = done(open_self(), "open")?;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let copy = done(syscall!(libc::SYS_memfd_create, c"program".as_ptr(), flags), "memfd_create")?;
    const CHUNK_BYTES: usize = 1 << 24;
    let none = std::ptr::null::<i64>();
    while done(syscall!(libc::SYS_sendfile, copy, source, none, CHUNK_BYTES), "sendfile")? > 0 {}
    syscall!(libc::SYS_close, source);
    done(syscall!(libc::SYS_fcntl, copy, libc::F_ADD_SEALS, ALL_SEALS), "fcntl")?;
    Ok(copy)
}
