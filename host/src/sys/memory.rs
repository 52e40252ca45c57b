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

fn environment() -> Vec<String> {
    let count = ARGC.load(Ordering::Relaxed) as usize;
    let mut entries = Vec::new();
    // SAFETY: the environment follows argv and its NULL, as the kernel lays it out (execve(2)).
    unsafe {
        let mut next = ARGV.load(Ordering::Relaxed).add(count + 1);
        while !(*next).is_null() {
            entries.push(CStr::from_ptr(*next).to_string_lossy().into_owned());
            next = next.add(1);
        }
    }
    entries
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
    /// The words of the command line, the program's own name first.
    fn argv() -> Texts { words() }
    /// The environment, as `NAME=value` texts.
    fn environ() -> Texts { environment() }
    /// Random bytes of getrandom(2).
    fn getrandom(length: u32) -> Bytes { random(length) }
}
