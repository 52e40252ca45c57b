/**
 * The bundle that runtimes are compared by: what Docker asks of its runtime for a container with
 * limits. Six namespaces, ten mounts, masked and read-only paths, fourteen capabilities,
 * no_new_privs, the default seccomp profile; limits on memory, processes and processor time.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { defaultProfile } from "../../packages/engine/src/seccomp/default-profile.ts";
import type { SeccompRule } from "../../packages/spec/src/oci-runtime.ts";
import {
  type BundleConfig,
  DEFAULT_CAPABILITIES,
  type Json,
  type JsonObject,
  type MountConfig,
  makeConfig,
} from "../../tests/harness/bundle.ts";

const MEMORY_BYTES = 512 * 1024 * 1024;
const MACHINE_NAMES: ReadonlyMap<string, string> = new Map([
  ["x64", "x86_64"],
  ["arm64", "aarch64"],
]);
/** Files of the engine that Docker binds into every container. */
const GENERATED = ["hosts", "hostname", "resolv.conf"];

export type BundleWish = {
  readonly dir: string;
  /** The container's id, too. */
  readonly cgroup: string;
  readonly rootfs: string;
};

/** The whole configuration; the root file system is writable, as with Docker. */
export function dockerLikeConfig({ dir, cgroup, rootfs }: BundleWish): BundleConfig {
  return makeConfig(cgroup, "BENCH=1", {
    rootfs,
    writable: true,
    mounts: generatedMounts(dir),
    linux: {
      resources: {
        memory: { limit: MEMORY_BYTES, swap: MEMORY_BYTES },
        pids: { limit: 512 },
        cpu: { shares: 1024, quota: 150_000, period: 100_000 },
        devices: deviceRules(),
      },
      seccomp: toJson(dockerProfile()),
    },
  });
}

/** Writes the bundle; answers its configuration, for variants of it. */
export function writeDockerLikeBundle(wish: BundleWish): BundleConfig {
  mkdirSync(wish.dir, { recursive: true });
  for (const name of GENERATED) writeFileSync(join(wish.dir, name), "127.0.0.1 localhost\n");
  const config = dockerLikeConfig(wish);
  rewriteConfig(wish.dir, config);
  return config;
}

export function rewriteConfig(dir: string, config: BundleConfig): void {
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
}

/**
 * The same with a seccomp profile that nobody has seen before: one rule more, for a personality(2)
 * that no program asks for. So no runtime finds a filter it compiled earlier, wherever it keeps them.
 */
export function withNewProfile(config: BundleConfig, number: number): BundleConfig {
  const { seccomp } = config.linux;
  const profile = seccomp as JsonObject & { syscalls: Json[] };
  const rule = {
    names: ["personality"],
    action: "SCMP_ACT_ALLOW",
    args: [{ index: 0, value: 0x7000_0000 + number, op: "SCMP_CMP_EQ" }],
  };
  const changed = { ...profile, syscalls: [...profile.syscalls, rule] };
  return { ...config, linux: { ...config.linux, seccomp: changed } };
}

function dockerProfile() {
  return defaultProfile({
    architecture: MACHINE_NAMES.get(process.arch) ?? process.arch,
    capabilities: DEFAULT_CAPABILITIES,
    kernel: release(),
  });
}

/** 64-bit values as JSON numbers, and nothing that is empty: that is what all runtimes take. */
function toJson(profile: ReturnType<typeof dockerProfile>): Json {
  const number = (value: bigint): number => {
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`Cannot print ${value} exactly`);
    return Number(value);
  };
  const rule = ({ names, action, errnoRet, args }: SeccompRule): JsonObject => ({
    names: [...names],
    action,
    ...(errnoRet === undefined ? {} : { errnoRet }),
    ...(args.length === 0
      ? {}
      : {
          args: args.map(({ index, value, valueTwo, op }) => ({
            index,
            value: number(value),
            valueTwo: number(valueTwo),
            op,
          })),
        }),
  });
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: [...profile.architectures],
    syscalls: profile.syscalls.map(rule),
  };
}

function generatedMounts(dir: string): MountConfig[] {
  return GENERATED.map((name) => ({
    destination: `/etc/${name}`,
    type: "bind",
    source: join(dir, name),
    options: ["rbind", "rprivate"],
  }));
}

/** Docker's rules: nothing but making nodes and the usual harmless devices. */
function deviceRules(): Json[] {
  const nodes: [type: "c", major: number, minor: number][] = [
    ["c", 1, 5],
    ["c", 1, 3],
    ["c", 1, 9],
    ["c", 1, 8],
    ["c", 5, 0],
    ["c", 5, 1],
  ];
  return [
    { allow: false, access: "rwm" },
    ...nodes.map(([type, major, minor]) => ({ allow: true, type, major, minor, access: "rwm" })),
    { allow: false, type: "c", major: 10, minor: 229, access: "rwm" },
  ];
}
