//! Capabilities, system call filters, eBPF programs, keyrings.

use super::syscall;
use crate::js::{Buffer, Fd, Ints, Path, pointer, room};

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default)]
struct BpfProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct BpfProgAttach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C)]
struct BpfProgQuery {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
}

/// BPF_PROG_GET_FD_BY_ID: the id, the next id, flags.
type BpfById = [u32; 3];

#[repr(C)]
struct BpfInfoByFd {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const BPF_PROG_LOAD: u32 = 5;
const BPF_PROG_ATTACH: u32 = 8;
const BPF_PROG_GET_FD_BY_ID: u32 = 13;
const BPF_OBJ_GET_INFO_BY_FD: u32 = 15;
const BPF_PROG_QUERY: u32 = 16;
/// Of a program's name, with its NUL.
const BPF_OBJ_NAME_LEN: usize = 16;

super::sys! {
    /// capset(2) of this thread, version 3; each set is a mask of 64 bits.
    fn capset(effective: u64, permitted: u64, inheritable: u64) -> Done {
        let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
        let low = [effective as u32, permitted as u32, inheritable as u32];
        let high = [(effective >> 32) as u32, (permitted >> 32) as u32, (inheritable >> 32) as u32];
        let data = [low, high];
        syscall!(libc::SYS_capset, &header, data.as_ptr())
    }
    /// capget(2) of this thread, version 3, into 24 bytes: low then high words of effective,
    /// permitted, inheritable.
    fn capget(into: Buffer) -> Done {
        room(into.len(), 24)?;
        let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
        syscall!(libc::SYS_capget, &header, into.as_mut_ptr())
    }
    /// SECCOMP_SET_MODE_FILTER of seccomp(2) with an array of `struct sock_filter`;
    /// a descriptor is answered with SECCOMP_FILTER_FLAG_NEW_LISTENER, else 0.
    fn seccomp_set_filter(flags: u32, filter: Buffer) -> Count {
        let program = libc::sock_fprog {
            len: (filter.len() / size_of::<libc::sock_filter>()) as u16,
            filter: filter.as_ptr().cast_mut().cast(),
        };
        syscall!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program)
    }
    /// SECCOMP_SET_MODE_FILTER of seccomp(2) without a filter: EFAULT where the kernel knows all of
    /// the flags, EINVAL where not. Never succeeds.
    fn seccomp_probe_flags(flags: u32) -> Done {
        syscall!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, 0)
    }
    /// SECCOMP_GET_ACTION_AVAIL of seccomp(2).
    fn seccomp_action_available(action: u32) -> Done {
        syscall!(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &action)
    }
    /// BPF_PROG_LOAD of bpf(2) with an array of `struct bpf_insn`; the verifier's words go to `log`.
    /// A name has letters, digits, `_` and `.`, 15 at most.
    fn bpf_prog_load(kind: u32, attach_type: u32, program: Buffer, license: Path, name: Path, log: Option<Buffer>) -> NewFd {
        let mut prog_name = [0; BPF_OBJ_NAME_LEN];
        for (to, from) in prog_name.iter_mut().take(BPF_OBJ_NAME_LEN - 1).zip(name.as_bytes()) {
            *to = *from;
        }
        let (log_buf, log_size) = match &mut log {
            Some(log) => (log.as_mut_ptr() as u64, log.len() as u32),
            None => (0, 0),
        };
        let attr = BpfProgLoad {
            prog_type: kind,
            insn_cnt: (program.len() / 8) as u32,
            insns: program.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log_level: u32::from(log_size > 0),
            log_size,
            log_buf,
            prog_name,
            expected_attach_type: attach_type,
            ..BpfProgLoad::default()
        };
        syscall!(libc::SYS_bpf, BPF_PROG_LOAD, &attr, size_of::<BpfProgLoad>())
    }
    /// BPF_PROG_ATTACH of bpf(2); `replaced` counts only with BPF_F_REPLACE (Linux 5.6).
    fn bpf_prog_attach(target: Fd, program: Fd, attach_type: u32, flags: u32, replaced: Fd) -> Done {
        let attr = BpfProgAttach {
            target_fd: target.0 as u32,
            attach_bpf_fd: program.0 as u32,
            attach_type,
            attach_flags: flags,
            replace_bpf_fd: u32::try_from(replaced.0).unwrap_or(0),
        };
        syscall!(libc::SYS_bpf, BPF_PROG_ATTACH, &attr, size_of::<BpfProgAttach>())
    }
    /// BPF_PROG_QUERY of bpf(2): the ids of the programs attached to `target` itself are put into
    /// `ids`; the answer is their number.
    fn bpf_prog_query(target: Fd, attach_type: u32, ids: Ints) -> Count {
        let mut attr = BpfProgQuery {
            target_fd: target.0 as u32,
            attach_type,
            query_flags: 0,
            attach_flags: 0,
            prog_ids: ids.values().as_mut_ptr() as u64,
            prog_cnt: ids.values().len() as u32,
        };
        let answer = syscall!(libc::SYS_bpf, BPF_PROG_QUERY, &mut attr, size_of::<BpfProgQuery>());
        if answer < 0 { answer } else { i64::from(attr.prog_cnt) }
    }
    /// BPF_PROG_GET_FD_BY_ID of bpf(2).
    fn bpf_prog_by_id(id: u32) -> NewFd {
        let attr: BpfById = [id, 0, 0];
        syscall!(libc::SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attr, size_of::<BpfById>())
    }
    /// BPF_OBJ_GET_INFO_BY_FD of bpf(2) into a `struct bpf_prog_info`.
    fn bpf_prog_info(program: Fd, into: Buffer) -> Done {
        let attr = BpfInfoByFd {
            bpf_fd: program.0 as u32,
            info_len: into.len() as u32,
            info: into.as_mut_ptr() as u64,
        };
        syscall!(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, size_of::<BpfInfoByFd>())
    }
    /// KEYCTL_JOIN_SESSION_KEYRING of keyctl(2): null makes an anonymous one.
    fn join_session_keyring(name: Option<Path>) -> Count {
        syscall!(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, pointer(&name))
    }
    /// KEYCTL_DESCRIBE of keyctl(2) into the caller's buffer.
    fn keyctl_describe(key: i32, into: Buffer) -> Count {
        syscall!(libc::SYS_keyctl, libc::KEYCTL_DESCRIBE, key, into.as_mut_ptr(), into.len())
    }
    /// KEYCTL_SETPERM of keyctl(2).
    fn keyctl_setperm(key: i32, permissions: u32) -> Done {
        syscall!(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, permissions)
    }
}
