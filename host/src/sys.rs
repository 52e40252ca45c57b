//! The table of system calls: one row declares name, arguments and result of a call.
//! The binding and `sys.d.ts` both come from the row, so they cannot drift apart.

use crate::js::{Arguments, WrongArgument};
use rquickjs::qjs;

pub use memory::{remember_words, word};

mod file;
mod memory;

mod mount;
mod part;
mod poll;
mod process;
mod security;
mod socket;

pub struct Row {
    pub name: &'static std::ffi::CStr,
    /// The call behind the binding: reads the arguments, makes the call, gives the answer.
    pub call: fn(&Arguments) -> Result<qjs::JSValue, WrongArgument>,
    #[cfg(feature = "dev")]
    pub doc: &'static str,
    #[cfg(feature = "dev")]
    pub parameters: &'static [(&'static str, &'static str)],
    #[cfg(feature = "dev")]
    pub answer: &'static str,
}

pub static AREAS: &[(&str, &[Row])] = &[
    ("file", file::ROWS),
    ("mount", mount::ROWS),
    ("process", process::ROWS),
    ("security", security::ROWS),
    ("socket", socket::ROWS),
    ("poll", poll::ROWS),
    ("memory", memory::ROWS),
    ("part", part::ROWS),
];

pub fn rows() -> impl Iterator<Item = &'static Row> {
    AREAS.iter().flat_map(|(_, rows)| rows.iter())
}

/// A system call by its number: the answer, or `-errno` as the kernel itself gives it.
macro_rules! syscall {
    ($number:expr $(, $argument:expr)* $(,)?) => {
        $crate::sys::kernel(stringify!($number), || {
            // SAFETY: the row passes pointers that outlive the call and lengths that belong to them.
            let answer = unsafe { libc::syscall($number $(, $argument)*) };
            answer as i64
        })
    };
}

#[cfg(feature = "dev")]
pub use crate::tripwire::{extent, kernel};

/// Makes a call. The name is for the development host, which can make the call fail.
#[cfg(not(feature = "dev"))]
#[inline(always)]
pub fn kernel(_name: &str, call: impl FnOnce() -> i64) -> i64 {
    or_errno(call())
}

/// The bytes of a buffer that a call may move: all, but where the development host shortens it.
#[cfg(not(feature = "dev"))]
#[inline(always)]
pub fn extent(_fd: i32, length: usize) -> usize {
    length
}

/// Declares rows: `/// doc` `fn name(argument: Type, ...) -> Answer { body giving the number }`.
macro_rules! sys {
    ($($(#[doc = $doc:literal])+ fn $name:ident($($argument:ident : $type:ty),* $(,)?) -> $answer:ident $body:block)*) => {
        pub const ROWS: &[$crate::sys::Row] = &[$($crate::sys::Row {
            name: match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => unreachable!(),
            },
            call: {
                #[allow(unused_mut, unused_variables, unused_assignments)]
                fn call(args: &$crate::js::Arguments) -> Result<rquickjs::qjs::JSValue, $crate::js::WrongArgument> {
                    let mut index = 0;
                    $(
                        let mut $argument = <$type as $crate::js::Argument>::take(args, index)?;
                        index += 1;
                    )*
                    Ok($crate::js::Answer::give($crate::js::$answer($body), args.ctx))
                }
                call
            },
            #[cfg(feature = "dev")]
            doc: concat!($($doc, "\n"),+),
            #[cfg(feature = "dev")]
            parameters: &[$((stringify!($argument), <$type as $crate::js::Argument>::TYPE)),*],
            #[cfg(feature = "dev")]
            answer: <$crate::js::$answer as $crate::js::Answer>::TYPE,
        }),*];
    };
}
pub(crate) use {sys, syscall};

/// libc's -1 and errno as one number.
pub fn or_errno(answer: i64) -> i64 {
    if answer != -1 {
        return answer;
    }
    // SAFETY: errno of this thread, the only one.
    -i64::from(unsafe { *libc::__errno_location() })
}
