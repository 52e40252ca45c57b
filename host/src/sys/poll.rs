//! Waiting, signals to this process, terminals and clocks.

use super::syscall;
use crate::js::{Buffer, Fd, Ints};

/// Bytes of the kernel's signal set.
const SIGSET_BYTES: usize = 8;

fn wait(mut set: Ints, timeout_ms: i32) -> i64 {
    let mut fds: Vec<libc::pollfd> = set
        .values()
        .chunks_exact(3)
        .map(|one| libc::pollfd { fd: one[0], events: one[1] as i16, revents: 0 })
        .collect();
    let answer = syscall!(libc::SYS_poll, fds.as_mut_ptr(), fds.len(), timeout_ms);
    for (one, fd) in set.values().chunks_exact_mut(3).zip(&fds) {
        one[2] = i32::from(fd.revents);
    }
    answer
}

super::sys! {
    /// poll(2): `set` holds triples of descriptor, wanted events, and place for the events that came.
    /// `timeout_ms` below 0 waits for ever.
    fn poll(set: Ints, timeout_ms: i32) -> Count { wait(set, timeout_ms) }
    /// poll(2) without a limit, for who waits long: first gives the kernel back what memory holds as
    /// the executable has it. `pagemap` is that file of /proc/self, which is closed; without one,
    /// nothing of the heap.
    fn poll_at_rest(set: Ints, pagemap: Fd) -> Count {
        crate::heap::rest(pagemap.0);
        wait(set, -1)
    }
    /// rt_sigprocmask(2) with a mask whose bit 0 is signal 1.
    fn sigprocmask(how: u32, mask: u64) -> Done {
        let none = std::ptr::null::<u64>();
        syscall!(libc::SYS_rt_sigprocmask, how, &mask, none, SIGSET_BYTES)
    }
    /// signalfd4(2) for a new descriptor, with a mask as in `sigprocmask`.
    fn signalfd(mask: u64, flags: u32) -> NewFd {
        syscall!(libc::SYS_signalfd4, -1, &mask, SIGSET_BYTES, flags)
    }
    /// eventfd2(2).
    fn eventfd(initial: u32, flags: u32) -> NewFd {
        syscall!(libc::SYS_eventfd2, initial, flags)
    }
    /// Gives the signals of a set their default action again, by rt_sigaction(2): those too that the C
    /// library keeps for itself, and that a caller may ignore all the same.
    fn default_signals(mask: u64) -> Done {
        let mut meant = (1..=64).filter(|signal| mask >> (signal - 1) & 1 == 1);
        // Handler (SIG_DFL), flags, restorer and mask of the kernel's structure.
        let action = [0u64; 4];
        let none = std::ptr::null::<u64>();
        let refused = |signal: i32| {
            // SAFETY: a structure with no handler in it, which the kernel only reads.
            let answer = unsafe {
                libc::syscall(libc::SYS_rt_sigaction, signal, &action, none, SIGSET_BYTES)
            };
            (answer < 0).then(|| super::or_errno(answer))
        };
        meant.find_map(refused).unwrap_or(0)
    }
    /// ioctl(2) with a number.
    fn ioctl(fd: Fd, request: u64, argument: u64) -> Count {
        syscall!(libc::SYS_ioctl, fd.0, request, argument)
    }
    /// ioctl(2) with a structure in the caller's buffer.
    fn ioctl_bytes(fd: Fd, request: u64, argument: Buffer) -> Count {
        syscall!(libc::SYS_ioctl, fd.0, request, argument.as_mut_ptr())
    }
    /// clock_gettime(2) in nanoseconds.
    fn clock_gettime(clock: u32) -> Exact {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        syscall!(libc::SYS_clock_gettime, clock, &mut time);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
    /// Sleeps, by nanosleep(2); a signal ends it early.
    fn sleep_ms(milliseconds: u32) -> Done {
        let time = libc::timespec {
            tv_sec: i64::from(milliseconds / 1000),
            tv_nsec: i64::from(milliseconds % 1000) * 1_000_000,
        };
        syscall!(libc::SYS_nanosleep, &time, std::ptr::null::<libc::timespec>())
    }
}
