/**
 * Kernel settings of a container: only those that a namespace of its own holds, because any other
 * is the host's. Names are checked as files, values as one line (CVE-2022-0811). Pure.
 */

import { TareError } from "@tare/spec/error.ts";
import type { Config, NamespaceType } from "@tare/spec/oci-runtime.ts";
import type { ProtectStep } from "../container/step.ts";

const IPC_FILES: ReadonlySet<string> = new Set(
  "msgmax msgmnb msgmni msg_next_id sem sem_next_id shmall shmmax shmmni shm_next_id shm_rmid_forced"
    .split(" ")
    .map((name) => `kernel/${name}`),
);

/** Whether a namespace file names the namespace that this runtime is in: asked, it reads the host. */
export type HostNamespace = (type: NamespaceType, path: string) => boolean;

export function planSysctls(config: Config, isHost: HostNamespace): ProtectStep[] {
  return [...config.linux.sysctl].map(([name, value]): ProtectStep => {
    const file = sysctlFile(name);
    const type = namespaceOf(file);
    if (type === undefined) {
      throw new TareError(
        "bad_input",
        `Cannot set linux.sysctl "${name}": it is no namespace's, it is the host's`,
      );
    }
    const field = fieldOf(config, file, value);
    if (field !== undefined) {
      throw new TareError(
        "bad_input",
        `Cannot set linux.sysctl "${name}": the field "${field}" is for that`,
      );
    }
    const own = config.linux.namespaces.find((each) => each.type === type);
    if (own === undefined || (own.path !== undefined && isHost(type, own.path))) {
      throw new TareError(
        "bad_input",
        `Cannot set linux.sysctl "${name}": the container shares the host's ${type} namespace`,
        {
          hint: `Add {"type": "${type}"} to linux.namespaces`,
        },
      );
    }
    if (value.includes("\n") || value.includes("\0")) {
      throw new TareError(
        "bad_input",
        `Cannot set linux.sysctl "${name}": its value is more than one line`,
      );
    }
    return { op: "sysctl", name: file, value, why: `a setting of the ${type} namespace` };
  });
}

/** What sets the same by another name; two words about one thing would leave open which holds. */
function fieldOf(
  { domainname }: Config,
  file: string,
  value: string,
): "hostname" | "domainname" | undefined {
  if (file === "kernel/hostname") return "hostname";
  const differs = domainname !== undefined && domainname !== value;
  return file === "kernel/domainname" && differs ? "domainname" : undefined;
}

/** The file below /proc/sys: as in sysctl(8), the first separator decides what "." means. */
export function sysctlFile(name: string): string {
  const slash = name.indexOf("/");
  const dot = name.indexOf(".");
  const dotted = slash < 0 || (dot >= 0 && dot < slash);
  const parts = name
    .split(dotted ? "." : "/")
    .map((part) => (dotted ? part.split("/").join(".") : part));
  if (parts.length >= 2 && parts.every((part) => part !== "" && part !== "." && part !== "..")) {
    return parts.join("/");
  }
  throw new TareError(
    "bad_input",
    `Cannot set linux.sysctl "${name}": this is not a name of a setting`,
  );
}

function namespaceOf(file: string): NamespaceType | undefined {
  if (IPC_FILES.has(file) || file.startsWith("fs/mqueue/")) return "ipc";
  if (file.startsWith("net/")) return "network";
  if (file === "kernel/domainname" || file === "kernel/hostname") return "uts";
  return file.startsWith("user/") ? "user" : undefined;
}
