//! What needs no system call but is too slow, or not there, in the engine: text codecs, digests,
//! the words this process was started with.

use crate::js::{Buffer, Text};
use sha2::{Digest, Sha256};
use std::ffi::CStr;
use std::os::raw::{c_char, c_int};
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

static ARGC: AtomicI32 = AtomicI32::new(0);
static ARGV: AtomicPtr<*const c_char> = AtomicPtr::new(std::ptr::null_mut());

/// Keeps what `main` was given; called once, before any script.
pub fn remember_words(argc: c_int, argv: *const *const c_char) {
    ARGC.store(argc, Ordering::Relaxed);
    ARGV.store(argv.cast_mut(), Ordering::Relaxed);
}

/// A word of the command line; None past its end.
pub fn word(index: usize) -> Option<&'static CStr> {
    if index >= ARGC.load(Ordering::Relaxed) as usize {
        return None;
    }
    // SAFETY: the kernel's argument strings live as long as the process.
    Some(unsafe { CStr::from_ptr(*ARGV.load(Ordering::Relaxed).add(index)) })
}

fn words() -> Vec<String> {
    (0..).map_while(word).map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The entries of the environment, where the kernel put them.
fn entries() -> impl Iterator<Item = &'static CStr> {
    let count = ARGC.load(Ordering::Relaxed) as usize;
    // SAFETY: the environment follows argv and its NULL, as the kernel lays it out (execve(2)), and
    // lives as long as the process.
    (count + 1..).map_while(|index| unsafe {
        let entry = *ARGV.load(Ordering::Relaxed).add(index);
        if entry.is_null() { None } else { Some(CStr::from_ptr(entry)) }
    })
}

fn environment() -> Vec<String> {
    entries().map(|entry| entry.to_string_lossy().into_owned()).collect()
}

fn value_of(name: &[u8]) -> Option<String> {
    let value = |entry: &'static CStr| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"=");
    entries().find_map(value).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn forget(texts: impl Iterator<Item = &'static CStr>) {
    for entry in texts {
        let length = entry.to_bytes().len();
        // SAFETY: the strings are this process's own memory, writable, and nobody holds a part of one.
        unsafe { entry.as_ptr().cast_mut().write_bytes(0, length) };
    }
}

fn random(length: u32) -> Vec<u8> {
    let mut bytes = vec![0u8; length as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        // SAFETY: writes into the rest of `bytes`.
        let count = unsafe {
            libc::getrandom(bytes[filled..].as_mut_ptr().cast(), bytes.len() - filled, 0)
        };
        filled += usize::try_from(count).unwrap_or(0);
    }
    bytes
}

super::sys! {
    /// The text of UTF-8 bytes; null where they are not UTF-8.
    fn decode_utf8(bytes: Buffer) -> MaybeText {
        std::str::from_utf8(bytes.bytes()).ok().map(str::to_owned)
    }
    /// The UTF-8 bytes of a text.
    fn encode_utf8(text: Text) -> Bytes { text.0 }
    /// SHA-256 (FIPS 180-4) of some bytes: 32 bytes.
    fn sha256(bytes: Buffer) -> Bytes { Sha256::digest(bytes.bytes()).to_vec() }
    /// 1 where all bytes are zero, else 0.
    fn is_zero(bytes: Buffer) -> Plain {
        // By the block, so that it is a few instructions each and ends early.
        let mut blocks = bytes.bytes().chunks(4096);
        i64::from(blocks.all(|block| block.iter().fold(0, |all, byte| all | byte) == 0))
    }
    /// The words of the command line, the program's own name first.
    fn argv() -> Texts { words() }
    /// The environment, as `NAME=value` texts.
    fn environ() -> Texts { environment() }
    /// The value of one variable of the environment; null where it is not set.
    fn variable(name: Text) -> MaybeText { value_of(&name.0) }
    /// Overwrites the environment with zeros, for whoever may look at this process or at a fork of it.
    fn forget_environ() -> Done {
        forget(entries());
        0
    }
    /// Overwrites the words of the command line with zeros, but the program's own name: /proc/PID/cmdline
    /// is for everybody who sees this process or a fork of it.
    fn forget_words() -> Done {
        forget((1..).map_while(word));
        0
    }
    /// Forgets all that scripts made and calls `resume` of the program with these bytes, so that a
    /// process that waits long holds little. Does not return, or with -ENOSYS where it cannot.
    fn restart(bytes: Buffer) -> Done { crate::program::restart(bytes.bytes()) }
    /// Random bytes of getrandom(2).
    fn getrandom(length: u32) -> Bytes { random(length) }
}
