import { describe, expect, test } from "bun:test";
import type { SeccompRule } from "@tare/spec/oci-runtime.ts";
import { DEFAULT_CAPABILITIES } from "../bundle/capabilities.ts";
import { ALLOWED_CALLS } from "./allowed-calls.ts";
import { type DefaultProfileFacts, defaultProfile } from "./default-profile.ts";

const FACTS = {
  architecture: "x86_64",
  capabilities: DEFAULT_CAPABILITIES,
  kernel: "6.1.0-18-amd64",
};

function rulesFor(name: string, more: Partial<DefaultProfileFacts> = {}): readonly SeccompRule[] {
  const { syscalls } = defaultProfile({ ...FACTS, ...more });
  return syscalls.filter((rule) => rule.names.includes(name));
}

/** "allow" or "deny" without a look at arguments, "args" where they decide. */
function verdict(name: string, more: Partial<DefaultProfileFacts> = {}): string {
  const [plain] = rulesFor(name, more).filter((rule) => rule.args.length === 0);
  if (plain !== undefined) return plain.action === "SCMP_ACT_ALLOW" ? "allow" : "deny";
  return rulesFor(name, more).length > 0 ? "args" : "deny";
}

function plus(...names: string[]) {
  return { capabilities: [...DEFAULT_CAPABILITIES, ...names.map((name) => `CAP_${name}`)] };
}

test("the areas list each name once", () => {
  const names = Object.values(ALLOWED_CALLS).flatMap((area) => area.trim().split(/\s+/));
  expect([...new Set(names)].length).toBe(names.length);
  expect(names.length).toBe(360);
});

describe("by default", () => {
  const never = `io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key
    userfaultfd kexec_load kexec_file_load move_pages migrate_pages swapon swapoff uselib vm86
    vm86old pivot_root nfsservctl open_tree_attr listns`;
  test.each(never.split(/\s+/))("nobody may %s", (name) => {
    const all = plus("SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_BOOT", "SYS_RAWIO", "BPF");
    expect(verdict(name)).toBe("deny");
    expect(verdict(name, all)).toBe("deny");
  });

  test.each(["mount", "umount2", "setns", "unshare", "bpf", "reboot", "init_module", "clone3"])(
    "%s is denied",
    (name) => expect(verdict(name)).toBe("deny"),
  );

  test.each([
    "read",
    "execve",
    "ptrace",
    "chroot",
    "statmount",
    "memfd_secret",
    "landlock_add_rule",
  ])("%s is allowed", (name) => expect(verdict(name)).toBe("allow"));

  test("arguments decide about socket, socketcall, clone and personality", () => {
    for (const name of ["socket", "socketcall", "clone", "personality"]) {
      expect(verdict(name)).toBe("args");
    }
  });

  test("clone3 says ENOSYS, so that clone is tried", () => {
    expect(rulesFor("clone3").map((rule) => rule.errnoRet)).toEqual([38]);
  });
});

describe("a capability opens its calls", () => {
  const cases: [string, string][] = [
    ["DAC_READ_SEARCH", "open_by_handle_at"],
    ["SYS_ADMIN", "mount umount umount2 setns unshare bpf clone clone3 fsopen quotactl_fd syslog"],
    ["SYS_BOOT", "reboot"],
    ["SYS_MODULE", "init_module finit_module delete_module"],
    ["SYS_PACCT", "acct"],
    ["SYS_PTRACE", "kcmp pidfd_getfd process_madvise"],
    ["SYS_RAWIO", "iopl ioperm"],
    ["SYS_TIME", "settimeofday stime clock_settime clock_settime64"],
    ["SYS_TTY_CONFIG", "vhangup"],
    ["SYS_NICE", "mbind get_mempolicy set_mempolicy set_mempolicy_home_node"],
    ["SYSLOG", "syslog"],
    ["BPF", "bpf"],
    ["PERFMON", "perf_event_open"],
  ];
  test.each(cases)("%s", (capability, names) => {
    for (const name of names.split(" ")) {
      expect(verdict(name)).not.toBe("allow");
      expect(verdict(name, plus(capability))).toBe("allow");
    }
  });

  test("and its absence closes them", () => {
    expect(verdict("chroot", { capabilities: [] })).toBe("deny");
  });
});

describe("the machine", () => {
  test("chooses architectures", () => {
    const of = (architecture: string) => defaultProfile({ ...FACTS, architecture }).architectures;
    expect(of("x86_64")).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    expect(of("aarch64")).toEqual(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
    expect(of("riscv64")).toEqual(["SCMP_ARCH_RISCV64"]);
    expect(() => of("vax")).toThrow('machine "vax"');
  });

  test("has calls of its own", () => {
    expect(verdict("arch_prctl")).toBe("allow");
    expect(verdict("arch_prctl", { architecture: "aarch64" })).toBe("deny");
    expect(verdict("set_tls", { architecture: "aarch64" })).toBe("allow");
    expect(verdict("swapcontext", { architecture: "ppc64le" })).toBe("allow");
    expect(verdict("riscv_flush_icache", { architecture: "riscv64" })).toBe("allow");
  });

  test("s390 has clone's flags in the second argument", () => {
    const index = (architecture: string) =>
      rulesFor("clone", { architecture }).map((rule) => rule.args[0]?.index);
    expect(index("x86_64")).toEqual([0]);
    expect(index("s390x")).toEqual([1]);
  });

  test("an old kernel keeps ptrace closed", () => {
    expect(verdict("ptrace", { kernel: "4.7.10" })).toBe("deny");
    expect(verdict("ptrace", { kernel: "4.8-rc1" })).toBe("allow");
    expect(verdict("ptrace", { kernel: "4.7", ...plus("SYS_PTRACE") })).toBe("allow");
  });
});

describe("socketcall may make sockets", () => {
  const free: [string, object][] = [
    ["where a security module looks at families", { socketFamiliesGuarded: true }],
    ["on s390x, where there is no other way", { architecture: "s390x" }],
  ];
  test.each(free)("%s", (_where, more) => expect(verdict("socketcall", more)).toBe("allow"));
});
