/**
 * Which kernel settings a container may set: those that belong to a namespace of its own.
 * Anything else would change the host; a value with a separator could smuggle a second setting
 * into a runtime that joins them (CVE-2022-0811).
 */
import { TareError } from "@tare/spec/error.ts";

const IPC_NAMES: ReadonlySet<string> = new Set(
  "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni kernel.shm_rmid_forced".split(
    " ",
  ),
);

/** The settings as asked, dots between the parts. */
export function planSysctls(
  wished: ReadonlyMap<string, string>,
  network: "none" | "host",
): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  for (const [name, value] of wished) {
    const refusal = refuse(name, value, network);
    if (refusal !== undefined) {
      throw new TareError("bad_input", `Cannot use --sysctl "${name}=${value}": ${refusal}`, {
        hint: "Settings of the container's own: kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.*, net.*",
      });
    }
    settings.set(name, value);
  }
  return settings;
}

function refuse(name: string, value: string, network: "none" | "host"): string | undefined {
  for (const char of name) {
    if (!isNameChar(char)) return "the name has a character that no setting has";
  }
  if (name.split(".").some((part) => part === "")) return "the name has an empty part";
  for (const char of value) if (char < " ") return "the value has a control character";
  if (name.startsWith("net.")) {
    return network === "host" ? "with --network host it is the host's setting" : undefined;
  }
  const own = IPC_NAMES.has(name) || name.startsWith("fs.mqueue.");
  return own ? undefined : "it is a setting of the whole machine";
}

function isNameChar(char: string): boolean {
  const letter = (char >= "a" && char <= "z") || (char >= "A" && char <= "Z");
  return letter || (char >= "0" && char <= "9") || char === "." || char === "_" || char === "-";
}
