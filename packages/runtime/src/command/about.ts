/** `spec`, `features`, `--version`, `--help`: what the runtime says of itself. */

import { TareError } from "@tare/spec/error.ts";
import { OCI_VERSION } from "@tare/spec/oci-runtime.ts";
import { readCgroupHost } from "../cgroup/read-host.ts";
import { knownMountOptions } from "../mounts/options.ts";
import { seccompFeatures } from "../seccomp/features.ts";
import { EEXIST } from "../sys/abi-errno.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY } from "../sys/abi-file.ts";
import { capabilityNames } from "../sys/abi-process.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt, writeAll } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";
import type { Commands } from "./command.ts";
import { absolutePath, type Context, print, programName } from "./context.ts";
import { exampleConfig } from "./example.ts";
import type { Log } from "./log.ts";

export const VERSION = "0.1.0";
/** Of the sources, put in by the build. */
declare const COMMIT: string;

const SELF = "/proc/self/exe";
const LINK_BYTES_MAX = 4096;

const SPEC_OPTIONS = { bundle: "value", b: { short: "bundle" }, rootless: "flag" } as const;

export const COMMANDS: Commands = {
  spec: { options: SPEC_OPTIONS, mixed: true, words: 0, run: runSpec },
  features: { options: {}, mixed: true, words: 0, run: runFeatures },
};

function runSpec(context: Context): number {
  const { sys, args } = context;
  const directory = absolutePath(sys, args.options.get("bundle") ?? ".");
  const path = `${directory}/config.json`;
  const ret = openAt(sys, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0, 0o644);
  if (errnoOf(ret) === EEXIST) {
    throw new TareError("conflict", `Cannot write "${path}": it exists`, {
      hint: "Remove it first",
    });
  }
  using file = new OwnedFd(sys, check(ret, "openat2", path));
  const rootless = args.flags.has("rootless");
  const config = exampleConfig({
    ids: rootless ? { uid: sys.geteuid(), gid: sys.getegid() } : undefined,
    unified: readCgroupHost(sys).mode === "v2",
  });
  writeAll(sys, file.fd, sys.encode_utf8(`${JSON.stringify(config, null, 2)}\n`), path);
  return 0;
}

/** features.md of the runtime specification. */
function runFeatures({ sys }: Context): number {
  const features = {
    ociVersionMin: "1.0.0",
    ociVersionMax: OCI_VERSION,
    hooks: [
      "prestart",
      "createRuntime",
      "createContainer",
      "startContainer",
      "poststart",
      "poststop",
    ],
    mountOptions: knownMountOptions(),
    linux: {
      namespaces: ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
      capabilities: capabilityNames(),
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
      seccomp: seccompFeatures(sys),
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      memoryPolicy: memoryPolicyFeatures(sys),
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
    annotations: {
      "dev.tare.version": VERSION,
      // As in runc and crun: the commands are there; whether criu is, they say.
      "org.opencontainers.runc.checkpoint.enabled": "true",
    },
    potentiallyUnsafeConfigAnnotations: [
      "org.criu.config",
      "org.systemd.property.",
      "run.oci.systemd.subgroup",
    ],
  };
  print(sys, `${JSON.stringify(features, null, 2)}\n`);
  return 0;
}

function memoryPolicyFeatures(sys: Sys): object {
  const { memoryPolicyFlags, memoryPolicyModes } = loadPart(sys, "tare-runtime~scheduling");
  return { modes: memoryPolicyModes(), flags: memoryPolicyFlags() };
}

/** What is built in, as crun says it; podman shows it, crun's tests ask for it. */
const BUILT_IN = ["SYSTEMD", "SELINUX", "APPARMOR", "CAP", "SECCOMP", "EBPF"];

/** The first lines as runc's, which engines read. */
/** Says which copy of the program runs, where it is one that nobody can write (`host/src/seal.rs`). */
export function tellSealed(sys: Sys, { debug }: Log): void {
  const link = new Uint8Array(LINK_BYTES_MAX);
  const length = check(sys.readlinkat(AT_FDCWD, SELF, link), "readlinkat", SELF);
  const path = sys.decode_utf8(link.subarray(0, length)) ?? "";
  const name = programName(sys);
  // The root of a mount that is nowhere, or a file in memory.
  const isOverlay = path.lastIndexOf("/") === 0 && !path.startsWith("/memfd:");
  if (!isOverlay && !path.startsWith("/memfd:")) return;
  debug(`${name} exeseal: using ${SELF} clone`);
  debug(`${name} exeseal: using ${isOverlay ? "overlayfs" : "memfd"} for sealed ${SELF}`);
}

export function versionText(sys: Sys): string {
  const lines = [
    `${programName(sys)} version ${VERSION}`,
    `commit: ${COMMIT}`,
    `spec: ${OCI_VERSION}`,
    BUILT_IN.map((name) => `+${name}`).join(" "),
  ];
  return `${lines.join("\n")}\n`;
}
