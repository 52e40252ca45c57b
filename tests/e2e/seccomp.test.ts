/** The filter decides as configured: calls, arguments, architectures, actions. Numbers are x86-64's. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { defaultProfile } from "../../packages/engine/src/seccomp/default-profile.ts";
import { type Json, type JsonObject, makeConfig } from "../harness/bundle.ts";
import { patiently } from "../harness/places.ts";
import { openScene, type Scene } from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

const ALL_ARCHES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
const EPERM = 1;
const ENOSYS = 38;
/** An error that no call of these tests gives by itself. */
const MARKED = 77;
const X32 = 0x40000000;
const GETPPID = 110;

type Rule = { names: string[]; action: string; errnoRet?: number; args?: JsonObject[] };

function profile(syscalls: Rule[], more: JsonObject = {}): Json {
  const list = syscalls as unknown as Json;
  return { defaultAction: "SCMP_ACT_ALLOW", architectures: ALL_ARCHES, syscalls: list, ...more };
}

const deny = (name: string, ...args: JsonObject[]): Rule => ({
  names: [name],
  action: "SCMP_ACT_ERRNO",
  errnoRet: MARKED,
  ...(args.length === 0 ? {} : { args }),
});

/** What the raw call answered inside, as `errno`, or null if it killed its process. */
async function errnoOf(
  scene: Scene,
  seccomp: Json,
  ...words: (string | number)[]
): Promise<number | null> {
  const args = ["/t/call", ...words.map(String)];
  const ran = await scene.runIn({ args, linux: { seccomp } });
  const [, errno] = /^ret -?\d+ errno (\d+)\n$/.exec(ran.stdout) ?? [];
  return errno === undefined ? null : Number(errno);
}

describe("blocked calls", () => {
  const calls: [name: string, number: number, ...args: (string | number)[]][] = [
    ["mount", 165, "s:none", "s:/mnt", "s:tmpfs", 0, 0],
    ["umount2", 166, "s:/proc", 0],
    ["reboot", 169, 0, 0, 0, 0],
    ["unshare", 272, 0],
    ["setns", 308, 0, 0],
    ["kexec_load", 246, 0, 0, 0, 0],
    ["init_module", 175, 0, 0, 0],
    ["bpf", 321, 0, 0, 0],
    ["ptrace", 101, 0, 0, 0, 0],
    ["keyctl", 250, 0, 0, 0, 0],
  ];
  test.each(calls)("%s gets EPERM", async (name, number, ...args) => {
    const scene = await openScene();
    const rule = { names: [name], action: "SCMP_ACT_ERRNO" };
    expect(await errnoOf(scene, profile([rule]), number, ...args)).toBe(EPERM);
    // By the filter and not by a missing capability: another error shows.
    expect(await errnoOf(scene, profile([{ ...rule, errnoRet: MARKED }]), number, ...args)).toBe(
      MARKED,
    );
  });

  test("a call that is not named works, and children are filtered too", async () => {
    const scene = await openScene();
    expect(await errnoOf(scene, profile([deny("mount")]), GETPPID)).toBe(0);
    const sh = "sh -c '/t/call 165 0 0 0 0 0'; /t/call 110";
    const ran = await scene.runIn({ sh, linux: { seccomp: profile([deny("mount")]) } });
    expect(ran.stdout).toMatch(/^ret -1 errno 77\nret \d+ errno 0\n$/);
  });

  test("the filter is on, and without a profile there is none", async () => {
    const scene = await openScene();
    const args = ["grep", "Seccomp:", "/proc/self/status"];
    expect((await scene.runIn({ args, linux: { seccomp: profile([]) } })).stdout).toBe(
      "Seccomp:\t2\n",
    );
    expect((await scene.runIn({ args })).stdout).toBe("Seccomp:\t0\n");
  });

  test("it is on too where no_new_privileges is off and the process is an ordinary user", async () => {
    const scene = await openScene();
    const ran = await scene.runIn({
      process: {
        args: ["/t/call", "165", "0", "0", "0", "0", "0"],
        user: { uid: 1000, gid: 1000 },
        noNewPrivileges: false,
      },
      linux: { seccomp: profile([deny("mount")]) },
    });
    expect(ran.stdout).toBe("ret -1 errno 77\n");
  });

  test("a name this kernel's table does not have is ignored", async () => {
    const scene = await openScene();
    const rule = { names: ["no_such_call", "getppid"], action: "SCMP_ACT_ERRNO", errnoRet: MARKED };
    expect(await errnoOf(scene, profile([rule]), GETPPID)).toBe(MARKED);
  });

  test("a name that no kernel has is refused where crun's annotation asks for that", async () => {
    const scene = await openScene();
    const seccomp = profile([{ names: ["no_such_call"], action: "SCMP_ACT_ERRNO" }]);
    const strict = (annotations: object) =>
      scene.runIn({
        sh: "echo ran",
        linux: { seccomp },
        edit: (config) => Object.assign(config, { annotations }),
      });
    expect((await strict({})).stdout).toBe("ran\n");
    const refused = await strict({ "run.oci.seccomp_fail_unknown_syscall": "1" });
    expect(refused.stdout).toBe("");
    expect(refused.stderr).toContain("no_such_call");
    expect(refused.code).not.toBe(0);
  });

  test("an allow-list refuses the rest with its default error", async () => {
    const scene = await openScene();
    const seccomp = {
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: MARKED,
      architectures: ALL_ARCHES,
      syscalls: [{ names: ALLOWED, action: "SCMP_ACT_ALLOW" }],
    };
    expect(await errnoOf(scene, seccomp, GETPPID)).toBe(MARKED);
    expect(await errnoOf(scene, seccomp, 39)).toBe(0);
    // Newer than every profile: a program must be able to fall back.
    expect(await errnoOf(scene, seccomp, 9999)).toBe(ENOSYS);
  });
});

/** What a static program, and any runtime on its way to it, needs. */
const ALLOWED =
  `access arch_prctl brk capget capset chdir close close_range dup dup2 dup3 execve execveat
  exit exit_group faccessat faccessat2 fchdir fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid
  getgid getgroups getpid getrandom gettid getuid ioctl lseek lstat madvise mmap mprotect munmap newfstatat
  open openat openat2 pipe2 poll ppoll prctl pread64 prlimit64 read readlink readlinkat restart_syscall
  rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield seccomp set_robust_list
  set_tid_address setgid setgroups setresgid setresuid setsid setuid sigaltstack stat statfs statx tgkill
  umask uname wait4 write writev epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 nanosleep
  clone clone3 kill sendmsg recvmsg sendto recvfrom socketpair`.split(/\s+/);

describe("arguments of a call", () => {
  const UMASK = 95;
  const LSEEK = 8;
  const cases: [op: string, rule: JsonObject, hits: number[], misses: number[]][] = [
    ["EQ", { value: 7 }, [7], [6, 8, 0]],
    ["NE", { value: 7 }, [6, 8, 0], [7]],
    ["LT", { value: 7 }, [0, 6], [7, 8]],
    ["LE", { value: 7 }, [0, 6, 7], [8, 500]],
    ["GT", { value: 7 }, [8, 500], [7, 0]],
    ["GE", { value: 7 }, [7, 8], [6, 0]],
    ["MASKED_EQ", { value: 6, valueTwo: 2 }, [2, 3], [0, 4, 6]],
  ];
  test.each(cases)("%s", async (op, rule, hits, misses) => {
    const scene = await openScene();
    const seccomp = profile([deny("umask", { index: 0, op: `SCMP_CMP_${op}`, ...rule })]);
    const calls = [...hits, ...misses].map((value) => `/t/call ${UMASK} ${value}`).join("; ");
    const ran = await scene.runIn({ sh: calls, linux: { seccomp } });
    const errors = Array.from(ran.stdout.matchAll(/errno (\d+)/g), ([, errno]) => Number(errno));
    expect(errors).toEqual([...hits.map(() => MARKED), ...misses.map(() => 0)]);
  });

  test("both halves of a 64-bit argument count", async () => {
    const scene = await openScene();
    const big = 2 ** 33;
    const seccomp = profile([deny("lseek", { index: 1, op: "SCMP_CMP_EQ", value: big })]);
    const calls = [big, 0, big + 1].map((value) => `/t/call ${LSEEK} 99 ${value} 0`).join("; ");
    const ran = await scene.runIn({ sh: calls, linux: { seccomp } });
    const errors = Array.from(ran.stdout.matchAll(/errno (\d+)/g), ([, errno]) => Number(errno));
    expect(errors).toEqual([MARKED, 9, 9]); // No such descriptor otherwise.
  });

  test("conditions of one rule must all hold, rules of one call need one", async () => {
    const scene = await openScene();
    const eq = (index: number, value: number) => ({ index, op: "SCMP_CMP_EQ", value });
    const both = profile([deny("lseek", eq(1, 5), eq(2, 1))]);
    const either = profile([deny("lseek", eq(1, 5)), deny("lseek", eq(1, 6))]);
    expect(await errnoOf(scene, both, LSEEK, 99, 5, 1)).toBe(MARKED);
    expect(await errnoOf(scene, both, LSEEK, 99, 5, 0)).toBe(9);
    expect(await errnoOf(scene, either, LSEEK, 99, 5, 0)).toBe(MARKED);
    expect(await errnoOf(scene, either, LSEEK, 99, 6, 0)).toBe(MARKED);
    expect(await errnoOf(scene, either, LSEEK, 99, 7, 0)).toBe(9);
  });

  // CVE-2026-123876: seccomp sees 64 bits, the kernel takes an int.
  test("high bits do not carry an int past its rule", async () => {
    const scene = await openScene();
    const seccomp = profile([deny("socket", { index: 0, op: "SCMP_CMP_EQ", value: 40 })]);
    for (const family of ["40", "0x100000028", "0xffffffff00000028"]) {
      expect(await errnoOf(scene, seccomp, 41, family, 1, 0)).toBe(MARKED);
    }
    expect(await errnoOf(scene, seccomp, 41, 1, 1, 0)).toBe(0);
  });
});

describe("other ways into the kernel", () => {
  test("a 32-bit call is filtered by its own table", async () => {
    const scene = await openScene();
    // 20 is getpid there and writev here; 39 is mkdir there and getpid here.
    const seccomp = profile([deny("getpid")]);
    expect(await errnoOf(scene, seccomp, "--int80", 20)).toBe(MARKED);
    expect(await errnoOf(scene, seccomp, "--int80", 24)).toBe(0);
    expect(await errnoOf(scene, seccomp, 39)).toBe(MARKED);
  });

  // CVE-2026-31431: a 32-bit program has two ways to a socket, and one hides the family in memory.
  test("the default profile makes no socket of AF_ALG or AF_VSOCK, for 32-bit programs either", async () => {
    const scene = await openScene();
    const capabilities = makeConfig("id", "", { rootfs: "/" }).process.capabilities?.bounding ?? [];
    const facts = { architecture: "x86_64", kernel: "6.1", capabilities };
    const text = JSON.stringify(defaultProfile(facts), (_key, value) =>
      typeof value === "bigint" ? Number(value) : value,
    );
    const standard = JSON.parse(text) as Json;
    const none = profile([]);
    // "&" is 38 and "(" is 40: the first word of what socketcall(2) reads; the others are 0.
    const ways = [
      ...["38", "40"].map((family) => ["41", family, "0", "0"]),
      ...["38", "40"].map((family) => ["--int80", "359", family, "0", "0"]),
      ...["s:&", "s:("].map((words) => ["--int80", "102", "1", words]),
    ];
    for (const words of ways) {
      expect([words, await errnoOf(scene, standard, ...words)]).toEqual([words, EPERM]);
      expect([words, await errnoOf(scene, none, ...words)]).not.toEqual([words, EPERM]);
    }
    for (const words of [
      ["41", "1", "1", "0"],
      ["--int80", "359", "1", "1", "0"],
    ]) {
      expect([words, await errnoOf(scene, standard, ...words)]).toEqual([words, 0]);
    }
  });

  test("an architecture that is not listed kills", async () => {
    const scene = await openScene();
    const seccomp = profile([], { architectures: ["SCMP_ARCH_X86_64"] });
    const ran = await scene.runIn({ args: ["/t/call", "--int80", "20"], linux: { seccomp } });
    expect(ran).toMatchObject({ stdout: "", code: 128 + 31 });
  });

  test("a number of the x32 table is filtered where x32 is listed, and never allowed where not", async () => {
    const scene = await openScene();
    expect(await errnoOf(scene, profile([deny("getpid")]), X32 + 39)).toBe(MARKED);
    const seccomp = profile([], { architectures: ["SCMP_ARCH_X86_64"] });
    expect(await errnoOf(scene, seccomp, X32 + 39)).not.toBe(0);
  });
});

describe("actions", () => {
  const KILLED = 128 + 31;
  test.each([
    ["SCMP_ACT_KILL", KILLED],
    ["SCMP_ACT_KILL_THREAD", KILLED],
    ["SCMP_ACT_KILL_PROCESS", KILLED],
    ["SCMP_ACT_TRAP", KILLED],
    ["SCMP_ACT_LOG", 0],
    ["SCMP_ACT_ALLOW", 0],
  ])("%s", async (action, code) => {
    const scene = await openScene();
    const seccomp = profile([{ names: ["getppid"], action }]);
    // A shell is pid 1, so that the killed process is an ordinary one.
    const ran = await scene.runIn({
      sh: `/t/call ${GETPPID} > /dev/null; exit $?`,
      linux: { seccomp },
    });
    expect(ran.code).toBe(code);
  });

  test("SCMP_ACT_TRACE without a tracer is ENOSYS", async () => {
    const scene = await openScene();
    const seccomp = profile([{ names: ["getppid"], action: "SCMP_ACT_TRACE" }]);
    expect(await errnoOf(scene, seccomp, GETPPID)).toBe(ENOSYS);
  });

  test.each([
    ["action", profile([{ names: ["getppid"], action: "SCMP_ACT_MOON" }])],
    ["default action", profile([], { defaultAction: "MOON" })],
    ["architecture", profile([], { architectures: ["SCMP_ARCH_MOON"] })],
    ["comparison", profile([deny("umask", { index: 0, op: "SCMP_CMP_MOON", value: 1 })])],
    ["argument number", profile([deny("umask", { index: 6, op: "SCMP_CMP_EQ", value: 1 })])],
  ])("an unknown %s is refused", async (_what, seccomp) => {
    const scene = await openScene();
    const ran = await scene.runIn({ sh: "echo ran", linux: { seccomp } });
    expect(ran.stdout).toBe("");
    expect(ran.code).not.toBe(0);
  });
});
