//! Makes this process run from a file that nobody can write, for programs that ask for it.
//!
//! `/proc/PID/exe` is a way to the file of a running program for whoever may look at the process
//! (CVE-2019-5736). So the program runs from a read-only overlay of its own directory, attached
//! nowhere; where that cannot be made, from a sealed copy in memory. Done here, before the script
//! engine starts: there it would start twice.
//!
//! A read-only clone of the mount would cost less and is not enough: the kernel takes write access to
//! the file before it looks at the mount, so whoever goes on asking makes execve(2) of the program
//! fail with ETXTBSY on the whole machine. An overlay has an inode of its own, and one without an
//! upper directory can never be written: its file system says so before anything is taken.

use crate::sys::syscall;
use std::ffi::{CStr, CString};
use std::os::raw::c_char;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const SELF: &CStr = c"/proc/self/exe";
const NOTHING: &CStr = c"";
/// An overlay without an upper directory wants two lower ones; of this one nothing is used.
const ANY_DIRECTORY: &str = "/dev";
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const ALL_SEALS: i64 =
    (libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE) as i64;

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

/// A sealed file in memory has all seals; the overlay answers EROFS even while the file is executed
/// (a read-only mount would say ETXTBSY), and in it the program lies at the root.
fn is_sealed() -> Result<bool, String> {
    let writing = libc::O_WRONLY | libc::O_CLOEXEC;
    let writer = syscall!(libc::SYS_openat, libc::AT_FDCWD, SELF.as_ptr(), writing, 0);
    if writer == -i64::from(libc::EROFS) && is_in_overlay() {
        return Ok(true);
    }
    if writer >= 0 {
        close(writer);
    }
    let file = done(open_self(), "open")?;
    let seals = syscall!(libc::SYS_fcntl, file, libc::F_GET_SEALS, 0);
    close(file);
    Ok(seals >= 0 && seals & ALL_SEALS == ALL_SEALS)
}

fn is_in_overlay() -> bool {
    // SAFETY: an all-zero statfs is valid, and the kernel fills it.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    let answer = syscall!(libc::SYS_statfs, SELF.as_ptr(), &mut about);
    answer == 0
        && about.f_type == libc::OVERLAYFS_SUPER_MAGIC
        && own_path().is_some_and(|path| path.parent() == Some(Path::new("/")))
}

fn own_path() -> Option<PathBuf> {
    std::fs::read_link("/proc/self/exe").ok()
}

fn open_self() -> i64 {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    syscall!(libc::SYS_openat, libc::AT_FDCWD, SELF.as_ptr(), flags, 0)
}

fn close(file: i64) {
    syscall!(libc::SYS_close, file);
}

fn sealed_file() -> Result<i64, String> {
    match file_in_overlay() {
        Some(file) => Ok(file),
        None => copy_in_memory(),
    }
}

/// None where overlays cannot be made, or the name in the directory is another file's by now.
fn file_in_overlay() -> Option<i64> {
    let path = own_path()?;
    let (directory, name) = (c_path(path.parent()?)?, c_path(path.file_name()?)?);
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let lower = some(syscall!(libc::SYS_openat, libc::AT_FDCWD, directory.as_ptr(), flags, 0))?;
    let mount = overlay_of(lower);
    let file = mount.and_then(|mount| {
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        some(syscall!(libc::SYS_openat, mount, name.as_ptr(), flags, 0))
    });
    let running = identity(i64::from(libc::AT_FDCWD), SELF, 0);
    let same = running.is_some() && running == identity(lower, &name, libc::AT_SYMLINK_NOFOLLOW);
    close(lower);
    close(mount.unwrap_or(-1));
    file.filter(|_| same)
}

fn overlay_of(lower: i64) -> Option<i64> {
    // Named by its descriptor: a value of fsconfig(2) has at most 255 bytes.
    let lowers = CString::new(format!("/proc/self/fd/{lower}:{ANY_DIRECTORY}")).ok()?;
    let context = some(syscall!(libc::SYS_fsopen, c"overlay".as_ptr(), libc::FSOPEN_CLOEXEC))?;
    let key = c"lowerdir".as_ptr();
    let mut answer =
        syscall!(libc::SYS_fsconfig, context, FSCONFIG_SET_STRING, key, lowers.as_ptr(), 0);
    if answer >= 0 {
        let none = std::ptr::null::<c_char>();
        answer = syscall!(libc::SYS_fsconfig, context, FSCONFIG_CMD_CREATE, none, none, 0);
    }
    if answer >= 0 {
        let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
        answer = syscall!(libc::SYS_fsmount, context, libc::FSMOUNT_CLOEXEC, attributes);
    }
    close(context);
    some(answer)
}

fn some(answer: i64) -> Option<i64> {
    (answer >= 0).then_some(answer)
}

fn c_path(path: impl AsRef<Path>) -> Option<CString> {
    CString::new(path.as_ref().as_os_str().as_bytes()).ok()
}

/// Device and number of a file; None where there is none.
fn identity(directory: i64, name: &CStr, flags: i32) -> Option<(u64, u64)> {
    // SAFETY: an all-zero stat is valid, and the kernel fills it.
    let mut about: libc::stat = unsafe { std::mem::zeroed() };
    let answer = syscall!(libc::SYS_newfstatat, directory, name.as_ptr(), &mut about, flags);
    (answer == 0).then_some((about.st_dev, about.st_ino))
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
