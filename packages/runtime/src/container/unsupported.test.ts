import { expect, test } from "bun:test";
import { parseConfig } from "@tare/spec/oci-runtime-parse.ts";
import { refuseUnsupported } from "./unsupported.ts";

type Fields = { readonly [name: string]: unknown };

const NONE = { apparmor: false, selinux: false };
const ALL = { apparmor: true, selinux: true };

function refusal(linux: Fields, process: Fields, modules = ALL): string {
  const program = { cwd: "/", user: { uid: 0, gid: 0 }, args: ["x"], ...process };
  const text = JSON.stringify({
    ociVersion: "1.3.0",
    root: { path: "r" },
    linux,
    process: program,
  });
  try {
    refuseUnsupported(parseConfig(text), modules);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

const allow = { defaultAction: "SCMP_ACT_ALLOW" };
const notify = [{ names: ["open"], action: "SCMP_ACT_NOTIFY" }];

test("who notifies and does not say whom is refused by the field's name", () => {
  const seccomp = { ...allow, syscalls: notify };
  expect(refusal({ seccomp }, {})).toContain("linux.seccomp.listenerPath");
});

test("a label means nothing where the kernel has no such module", () => {
  expect(refusal({}, { apparmorProfile: "docker-default" }, NONE)).toContain("no AppArmor");
  expect(refusal({}, { selinuxLabel: "a:b:c" }, NONE)).toContain("no SELinux");
  expect(refusal({ mountLabel: "a:b:c" }, {}, NONE)).toContain("linux.mountLabel");
  expect(refusal({ mountLabel: "m" }, { apparmorProfile: "p", selinuxLabel: "l" }, ALL)).toBe("");
});

test("who notifies says whom; who does not needs nobody", () => {
  expect(refusal({ seccomp: { ...allow, listenerPath: "/s", syscalls: notify } }, {})).toBe("");
  expect(refusal({ seccomp: { ...allow, listenerPath: "/s" } }, {})).toBe("");
});

test("everything usual passes, and so do empty labels", () => {
  expect(refusal({ seccomp: allow, mountLabel: "" }, { apparmorProfile: "" }, NONE)).toBe("");
});
