/**
 * What the configuration asks for and this runtime cannot do is an error that names the field, before
 * anything is made: a container that silently lacks what was asked for would be worse. Pure.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Config, Process } from "@tare/spec/oci-runtime.ts";
import { usesListener } from "../seccomp/flags.ts";

/** Which security modules the kernel runs: their labels mean nothing elsewhere. */
export type Modules = { readonly apparmor: boolean; readonly selinux: boolean };

export function refuseUnsupported(config: Config, modules: Modules): void {
  const { linux, process } = config;
  const seccomp = linux.seccomp;
  if (seccomp !== undefined && usesListener(seccomp) && seccomp.listenerPath === undefined) {
    throw new TareError(
      "bad_input",
      "Cannot use SCMP_ACT_NOTIFY: linux.seccomp.listenerPath is not set",
      { hint: "It is the path of a socket on which an agent takes the listener" },
    );
  }
  if (process !== undefined) checkLabels(process, modules);
  lacks("linux.mountLabel", linux.mountLabel, modules.selinux, "SELinux");
}

/** Throws `unsupported` for a label of a security module that this kernel does not run. */
export function checkLabels(process: Process, modules: Modules): void {
  lacks("process.apparmorProfile", process.apparmorProfile, modules.apparmor, "AppArmor");
  lacks("process.selinuxLabel", process.selinuxLabel, modules.selinux, "SELinux");
}

function lacks(field: string, value: string | undefined, present: boolean, module: string): void {
  if (value === undefined || value === "" || present) return;
  throw new TareError(
    "unsupported",
    `Cannot honour ${field} "${value}": this kernel runs no ${module}`,
    {
      hint: "Leave the field out, or start the kernel with the module",
    },
  );
}
