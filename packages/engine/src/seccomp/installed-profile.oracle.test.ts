/**
 * Compares the default profile with the one that Debian's containers-common installs for Podman, name by
 * name on x86-64. They share their origin; what differs is listed with its reason.
 */

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from "../bundle/capabilities.ts";
import { defaultProfile } from "./default-profile.ts";
import { parseDockerProfile } from "./docker-profile.ts";

const INSTALLED = "/usr/share/containers/seccomp.json";

type Difference = {
  readonly why: string;
  readonly names: string;
  /** With which capabilities it shows; with any where it is left out. */
  readonly only?: "default" | "all";
};

/** Ours denies, Podman's allows. */
const STRICTER: readonly Difference[] = [
  {
    why: "Podman leaves these to the kernel's check of capabilities; Docker wants the capability first",
    names: `clone3 fsconfig fsmount fsopen fspick get_mempolicy mbind mount mount_setattr move_mount
      open_tree pidfd_getfd reboot set_mempolicy setns syslog umount umount2 unshare`,
    only: "default",
  },
  { why: "a container has its root when it starts", names: "pivot_root" },
  {
    why: "keyrings are not namespaced",
    names: "keyctl",
  },
  {
    why: "obsolete calls that C libraries no longer make, and the indirect call",
    names: "readdir sigaction signal sigpending sigsuspend syscall timerfd",
  },
  { why: "gone since Linux 2.6", names: "query_module", only: "all" },
];

/** Ours allows, Podman's of 2022 denies. */
const LAXER: readonly Difference[] = [
  {
    why: "newer than Podman's profile",
    names: `cachestat fchmodat2 futex_requeue futex_wait futex_waitv futex_wake getxattrat listmount
      listxattrat map_shadow_stack mseal removexattrat riscv_hwprobe setxattrat statmount uretprobe`,
  },
  {
    why: "newer than Podman's profile, and needing a capability",
    names: `lsm_get_self_attr lsm_list_modules lsm_set_self_attr quotactl_fd
      set_mempolicy_home_node`,
    only: "all",
  },
  {
    why: "Docker allows the asynchronous calls whole",
    names: "io_pgetevents io_pgetevents_time64",
  },
  { why: "Docker allows it; nothing is known against it", names: "vmsplice" },
];

const FACTS = { architecture: "x86_64", kernel: "6.1.0" };

/** Calls that are allowed whatever their arguments, and those where arguments decide. */
function allowedNames(profile: Seccomp | undefined): Map<string, "always" | "by argument"> {
  const names = new Map<string, "always" | "by argument">();
  for (const { names: list, action, args } of profile?.syscalls ?? []) {
    if (action !== "SCMP_ACT_ALLOW") continue;
    for (const name of list) {
      if (args.length === 0) names.set(name, "always");
      else if (!names.has(name)) names.set(name, "by argument");
    }
  }
  return names;
}

function listed(differences: readonly Difference[], set: "default" | "all"): string[] {
  return differences
    .filter(({ only = set }) => only === set)
    .flatMap(({ names }) => names.trim().split(/\s+/))
    .sort();
}

describe.skipIf(!existsSync(INSTALLED))("against containers-common", () => {
  const text = existsSync(INSTALLED) ? readFileSync(INSTALLED, "utf8") : "{}";
  const compare = (capabilities: readonly string[]) => {
    const facts = { ...FACTS, capabilities };
    const ours = allowedNames(defaultProfile(facts));
    const theirs = allowedNames(parseDockerProfile(text, facts));
    return {
      stricter: [...theirs.keys()].filter((name) => !ours.has(name)).sort(),
      laxer: [...ours.keys()].filter((name) => !theirs.has(name)).sort(),
      byArgument: [...ours].filter(([, how]) => how === "by argument").map(([name]) => name),
    };
  };

  test.each(["default", "all"] as const)("with %s capabilities", (set) => {
    const { stricter, laxer } = compare(set === "all" ? ALL_CAPABILITIES : DEFAULT_CAPABILITIES);
    expect(stricter).toEqual(listed(STRICTER, set));
    expect(laxer).toEqual(listed(LAXER, set));
  });

  test("arguments decide about these alone", () => {
    const { byArgument } = compare(DEFAULT_CAPABILITIES);
    expect(byArgument.sort()).toEqual(["clone", "personality", "socket", "socketcall"]);
  });
});
