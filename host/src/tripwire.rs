//! Failures on purpose: in the development host any system call can be made to fail, to move fewer
//! bytes, or to be the last one. What ships has none of this; tests/tripwire is the other side.
//!
//! `TARE_TRIPWIRE` names a file, which is mapped, so that no descriptor of it stays: a head says what
//! shall happen at which call of which process, and each call is noted behind it. Processes have
//! numbers that do not depend on who is scheduled first: the n-th start of this program is n, the
//! k-th child of process p is `p * CHILDREN + k`.

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

const VARIABLE: &CStr = c"TARE_TRIPWIRE";
/// Words of 32 bits: starts of this program, records, wires, then the wires.
const HEAD_WORDS: usize = 64;
const STARTS: usize = 0;
const RECORDS: usize = 1;
const WIRES: usize = 2;
const FIRST_WIRE: usize = 4;
/// Process, number of the call in it (from 1), what shall happen, and its value.
const WIRE_WORDS: usize = 4;
/// Process, number of the call, the answer's low half, then the name.
const RECORD_WORDS: usize = 10;
const NAME_BYTES: usize = 28;
const CHILDREN: u32 = 16;

const FAIL: u32 = 1;
const SHORTEN: u32 = 2;
const DIE: u32 = 3;

static FILE: AtomicPtr<u32> = AtomicPtr::new(ptr::null_mut());
static WORDS: AtomicU32 = AtomicU32::new(0);
static PROCESS: AtomicU32 = AtomicU32::new(0);
static CALLS: AtomicU32 = AtomicU32::new(0);
static FORKS: AtomicU32 = AtomicU32::new(0);
static SHORT: AtomicBool = AtomicBool::new(false);

/// Maps the file, where there is one; called once, before any call that counts.
pub fn arm() {
    // SAFETY: the name is NUL-terminated; the answer is NULL or lives as long as the process.
    let path = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if path.is_null() {
        return;
    }
    // SAFETY: an all-zero stat is valid; the mapping is as long as the file and stays for ever.
    unsafe {
        let fd = libc::open(path, libc::O_RDWR | libc::O_CLOEXEC);
        let mut stat: libc::stat = std::mem::zeroed();
        if fd < 0 || libc::fstat(fd, &mut stat) < 0 {
            return;
        }
        let length = stat.st_size as usize;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0);
        libc::close(fd);
        if start == libc::MAP_FAILED || length < HEAD_WORDS * 4 {
            return;
        }
        WORDS.store((length / 4) as u32, Ordering::Relaxed);
        FILE.store(start.cast(), Ordering::Relaxed);
    }
    PROCESS.store(1 + word(STARTS).fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
}

fn word(index: usize) -> &'static AtomicU32 {
    // SAFETY: the index is below WORDS, and the mapping stays for ever.
    unsafe { AtomicU32::from_ptr(FILE.load(Ordering::Relaxed).add(index)) }
}

/// One call of the kernel: made, or not, as the file says.
pub fn kernel(name: &str, call: impl FnOnce() -> i64) -> i64 {
    if FILE.load(Ordering::Relaxed).is_null() {
        return super::sys::or_errno(call());
    }
    let number = 1 + CALLS.fetch_add(1, Ordering::Relaxed);
    let process = PROCESS.load(Ordering::Relaxed);
    let name = name.trim_start_matches("libc::").trim_start_matches("SYS_");
    let (kind, value) = wire(process, number).unwrap_or((0, 0));
    let answer = match kind {
        FAIL => fail(name, value, call),
        DIE => die(),
        _ => {
            SHORT.store(kind == SHORTEN, Ordering::Relaxed);
            let answer = super::sys::or_errno(call());
            SHORT.store(false, Ordering::Relaxed);
            answer
        }
    };
    note(process, number, name, answer);
    if name == "clone3" || name == "clone" {
        divide(process, answer);
    }
    answer
}

/// A close(2) that fails has closed all the same.
fn fail(name: &str, errno: u32, call: impl FnOnce() -> i64) -> i64 {
    if name == "close" {
        call();
    }
    -i64::from(errno)
}

fn die() -> i64 {
    // SAFETY: ends this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("SIGKILL")
}

fn wire(process: u32, number: u32) -> Option<(u32, u32)> {
    let count = word(WIRES).load(Ordering::Relaxed) as usize;
    let last = (HEAD_WORDS - FIRST_WIRE) / WIRE_WORDS;
    (0..count.min(last)).find_map(|index| {
        let at = |offset| word(FIRST_WIRE + index * WIRE_WORDS + offset).load(Ordering::Relaxed);
        (at(0) == process && at(1) == number).then(|| (at(2), at(3)))
    })
}

/// After a fork the child counts for itself.
fn divide(process: u32, answer: i64) {
    let child = 1 + FORKS.fetch_add(1, Ordering::Relaxed);
    if answer == 0 {
        PROCESS.store(process * CHILDREN + child, Ordering::Relaxed);
        CALLS.store(0, Ordering::Relaxed);
        FORKS.store(0, Ordering::Relaxed);
    }
}

fn note(process: u32, number: u32, name: &str, answer: i64) {
    let slot = word(RECORDS).fetch_add(1, Ordering::Relaxed) as usize;
    let start = HEAD_WORDS + slot * RECORD_WORDS;
    if start + RECORD_WORDS > WORDS.load(Ordering::Relaxed) as usize {
        return;
    }
    for (offset, value) in [process, number, answer as u32].into_iter().enumerate() {
        word(start + offset).store(value, Ordering::Relaxed);
    }
    let mut text = [0u8; NAME_BYTES];
    for (to, from) in text.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    for (offset, four) in text.chunks_exact(4).enumerate() {
        let value = four.iter().rev().fold(0, |all, byte| all << 8 | u32::from(*byte));
        word(start + 3 + offset).store(value, Ordering::Relaxed);
    }
}

/// Files that move their bytes whole or not at all: proc, cgroup, cgroup2, sysfs, and what has no
/// name, as signalfd(2) (linux/magic.h).
const CONTROL_FILES: [i64; 5] = [0x9fa0, 0x27e0eb, 0x6367_7270, 0x6265_6572, 0x0904_1934];

/// A socket whose messages are never divided (socket(2), SOCK_SEQPACKET).
fn keeps_messages(fd: i32) -> bool {
    let mut kind: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both outlive the call, and the kernel writes no more than the length.
    let answer = unsafe {
        let (value, length) = ((&raw mut kind).cast(), &raw mut length);
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, value, length)
    };
    answer == 0 && kind == libc::SOCK_SEQPACKET
}

/// How many bytes of a buffer the present call is to see: half of them where it is to move fewer.
pub fn extent(fd: i32, length: usize) -> usize {
    if !SHORT.load(Ordering::Relaxed) || keeps_messages(fd) {
        return length;
    }
    // SAFETY: an all-zero statfs is valid; it outlives the call.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::fstatfs(fd, &mut stat) };
    if CONTROL_FILES.contains(&stat.f_type) { length } else { length.div_ceil(2) }
}
