//! Sockets, and descriptors sent through them.

use super::syscall;
use crate::js::{Buffer, Fd, Ints, Path, room};
use std::mem;

/// A `sockaddr_un` and its length; None where the path is too long.
fn unix_address(path: &Path) -> Option<(libc::sockaddr_un, u32)> {
    // SAFETY: an all-zero sockaddr_un is valid.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let bytes = path.as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return None;
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let length = mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Some((address, length as u32))
}

/// As `unix_address`, with a NUL before the name instead of behind it: unix(7), "abstract".
fn abstract_address(name: &Path) -> Option<(libc::sockaddr_un, u32)> {
    let (mut address, length) = unix_address(name)?;
    let bytes = name.as_bytes().len();
    address.sun_path.copy_within(..bytes, 1);
    address.sun_path[0] = 0;
    Some((address, length))
}

const NAME_TOO_LONG: i64 = -(libc::ENAMETOOLONG as i64);
/// Descriptors in one message: SCM_MAX_FD of the kernel.
const FDS_MAX: usize = 253;
/// Room for the control message of that many descriptors, in 64-bit words for its alignment.
const CONTROL_WORDS: usize = 16 + FDS_MAX / 2;

fn message(part: &mut libc::iovec, control: &mut [u64]) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is valid.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    if !control.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = mem::size_of_val(control);
    }
    header
}

fn send(fd: i32, from: &Buffer, fds: &[i32], flags: u32) -> i64 {
    if fds.len() > FDS_MAX {
        return -i64::from(libc::EINVAL);
    }
    let mut part = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let mut control = [0u64; CONTROL_WORDS];
    let mut header = message(&mut part, if fds.is_empty() { &mut [] } else { &mut control });
    if !fds.is_empty() {
        let size = mem::size_of_val(fds) as u32;
        // SAFETY: `control` holds a header and FDS_MAX descriptors.
        unsafe {
            header.msg_controllen = libc::CMSG_SPACE(size) as usize;
            let first = libc::CMSG_FIRSTHDR(&header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size) as usize;
            std::ptr::copy_nonoverlapping(fds.as_ptr(), libc::CMSG_DATA(first).cast(), fds.len());
        }
    }
    syscall!(libc::SYS_sendmsg, fd, &header, flags)
}

fn receive(fd: i32, into: &mut Buffer, fds: &mut [i32], flags: u32) -> i64 {
    fds.fill(-1);
    let mut part = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let mut control = [0u64; CONTROL_WORDS];
    let mut header = message(&mut part, &mut control);
    let answer = syscall!(libc::SYS_recvmsg, fd, &mut header, flags);
    if answer >= 0 {
        take_fds(&header, fds);
    }
    answer
}

/// Moves received descriptors to `fds`; what does not fit is closed, never leaked.
fn take_fds(header: &libc::msghdr, fds: &mut [i32]) {
    let mut taken = 0;
    // SAFETY: walks the control messages that the kernel wrote.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            if (*control).cmsg_level == libc::SOL_SOCKET && (*control).cmsg_type == libc::SCM_RIGHTS
            {
                let data = libc::CMSG_DATA(control).cast::<i32>();
                let count = ((*control).cmsg_len - libc::CMSG_LEN(0) as usize) / size_of::<i32>();
                for index in 0..count {
                    let fd = data.add(index).read_unaligned();
                    match fds.get_mut(taken) {
                        Some(place) => *place = fd,
                        None => drop(libc::close(fd)),
                    }
                    taken += 1;
                }
            }
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
}

super::sys! {
    /// socket(2).
    fn socket(domain: u32, kind: u32, protocol: u32) -> NewFd {
        syscall!(libc::SYS_socket, domain, kind, protocol)
    }
    /// socketpair(2): both ends are put into `fds`.
    fn socketpair(domain: u32, kind: u32, protocol: u32, fds: Ints) -> Done {
        room(fds.values().len(), 2)?;
        syscall!(libc::SYS_socketpair, domain, kind, protocol, fds.values().as_mut_ptr())
    }
    /// bind(2) to a path of the AF_UNIX family.
    fn bind_unix(fd: Fd, path: Path) -> Done {
        match unix_address(&path) {
            Some((address, length)) => syscall!(libc::SYS_bind, fd.0, &address, length),
            None => NAME_TOO_LONG,
        }
    }
    /// connect(2) to a path of the AF_UNIX family.
    fn connect_unix(fd: Fd, path: Path) -> Done {
        match unix_address(&path) {
            Some((address, length)) => syscall!(libc::SYS_connect, fd.0, &address, length),
            None => NAME_TOO_LONG,
        }
    }
    /// connect(2) to a name of the abstract AF_UNIX namespace, without its leading NUL.
    fn connect_abstract(fd: Fd, name: Path) -> Done {
        match abstract_address(&name) {
            Some((address, length)) => syscall!(libc::SYS_connect, fd.0, &address, length),
            None => NAME_TOO_LONG,
        }
    }
    /// listen(2).
    fn listen(fd: Fd, backlog: u32) -> Done { syscall!(libc::SYS_listen, fd.0, backlog) }
    /// accept4(2) without the peer's address.
    fn accept4(fd: Fd, flags: u32) -> NewFd {
        let none = std::ptr::null::<u8>();
        syscall!(libc::SYS_accept4, fd.0, none, none, flags)
    }
    /// sendmsg(2) with the descriptors of `fds` as SCM_RIGHTS.
    fn sendmsg(fd: Fd, from: Buffer, fds: Ints, flags: u32) -> Count {
        send(fd.0, &from, fds.values(), flags)
    }
    /// recvmsg(2): received descriptors are put into `fds`, -1 where there was none.
    fn recvmsg(fd: Fd, into: Buffer, fds: Ints, flags: u32) -> Count {
        receive(fd.0, &mut into, fds.values(), flags)
    }
    /// shutdown(2).
    fn shutdown(fd: Fd, how: u32) -> Done { syscall!(libc::SYS_shutdown, fd.0, how) }
}
