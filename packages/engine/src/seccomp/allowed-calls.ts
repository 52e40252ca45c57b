/**
 * The system calls that the default profile allows to every container, by area. They are those of
 * Docker's default profile; a name that an architecture lacks is ignored there.
 */

export const ALLOWED_CALLS: Readonly<Record<string, string>> = {
  "files: open, read, write": `
    close close_range copy_file_range creat dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl
    fcntl64 fdatasync flock fsync ftruncate ftruncate64 _llseek lseek name_to_handle_at open openat
    openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile
    sendfile64 splice sync sync_file_range syncfs tee truncate truncate64 vmsplice write writev`,
  "files: names and directories": `
    chdir fchdir getcwd getdents getdents64 link linkat mkdir mkdirat mknod mknodat readlink
    readlinkat rename renameat renameat2 rmdir symlink symlinkat umask unlink unlinkat`,
  "files: attributes": `
    access chmod chown chown32 faccessat faccessat2 fchmod fchmodat fchmodat2 fchown fchown32
    fchownat fgetxattr flistxattr fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
    futimesat getxattr getxattrat lchown lchown32 lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr lstat lstat64 newfstatat removexattr removexattrat setxattr setxattrat
    stat stat64 statfs statfs64 statx utime utimensat utimensat_time64 utimes`,
  "mounts, to look at": `
    listmount statmount`,
  memory: `
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
    mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect process_mrelease remap_file_pages`,
  "processes and threads": `
    execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp
    getpid getppid getsid gettid pause pidfd_open prctl restart_syscall riscv_hwprobe rseq
    set_robust_list set_thread_area set_tid_address setpgid setsid uretprobe vfork wait4 waitid
    waitpid`,
  "scheduling and limits": `
    getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield setpriority setrlimit ugetrlimit`,
  "users, groups and confinement": `
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32
    getresgid getresgid32 getresuid getresuid32 getuid getuid32 landlock_add_rule
    landlock_create_ruleset landlock_restrict_self seccomp setfsgid setfsgid32 setfsuid setfsuid32
    setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid
    setresuid32 setreuid setreuid32 setuid setuid32`,
  signals: `
    kill pidfd_send_signal rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd
    signalfd4 sigprocmask sigreturn tgkill tkill`,
  time: `
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep
    setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times`,
  waiting: `
    _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
    epoll_wait epoll_wait_old eventfd eventfd2 fanotify_mark futex futex_requeue futex_time64
    futex_wait futex_waitv futex_wake inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll
    ppoll ppoll_time64 pselect6 pselect6_time64 select`,
  "pipes, queues and shared memory": `
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 semctl semget semop
    semtimedop semtimedop_time64 shmat shmctl shmdt shmget`,
  // socket and socketcall have conditions: default-profile.ts.
  sockets: `
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
    recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair`,
  "devices and the machine": `
    getrandom ioctl sysinfo uname`,
};
