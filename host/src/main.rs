//! Starts a program that was written in TypeScript: finds it by the name of the executable (or by
//! the first argument), gives it the table of system calls as the module `tare:sys`, and calls its
//! `main`. No policy is here.
#![no_main]

mod heap;
mod js;
mod program;
mod seal;
mod sys;
#[cfg(feature = "dev")]
mod tripwire;
#[cfg(feature = "dev")]
mod types;

use std::os::raw::{c_char, c_int};

/// The C entry point, not Rust's: Rust's own would ignore SIGPIPE, which every program started
/// from here would then inherit.
#[unsafe(no_mangle)]
pub extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    sys::remember_words(argc, argv);
    #[cfg(feature = "dev")]
    if let Some(status) = types::development(sys::word(1), sys::word(2)) {
        return status;
    }
    if let (Some(b"--keep-heap"), Some(file)) = (sys::word(1).map(|it| it.to_bytes()), sys::word(2))
        && !heap::is_kept()
    {
        return program::keep(&file.to_string_lossy());
    }
    #[cfg(feature = "dev")]
    tripwire::arm();
    program::run(argv)
}
