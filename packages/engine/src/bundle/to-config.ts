/**
 * From a container to the OCI `config.json` that any runtime takes. Pure: everything that must be
 * looked up (image, user, host, files) is an argument, so the whole default policy is testable.
 * The policy is Docker's; docs/security.md lists it.
 */
import type { ImageDefaults } from "@tare/spec/oci-image-config.ts";
import {
  type Capabilities,
  type Config,
  type IdMapping,
  type Linux,
  type Namespace,
  OCI_VERSION,
  type Process,
  type Seccomp,
  type User,
} from "@tare/spec/oci-runtime.ts";
import type { ContainerRequest } from "../container/request.ts";
import type { HostFacts } from "../host/facts.ts";
import { chooseCapabilities } from "./capabilities.ts";
import { deviceNodes, deviceRules, type GrantedDevice } from "./devices.ts";
import {
  type GeneratedFiles,
  INIT_TARGET,
  planMounts,
  type ResolvedMount,
  rootPropagation,
} from "./mounts.ts";
import { chooseArgs, planEnvironment } from "./process.ts";
import { planResources } from "./resources.ts";
import { planRlimits } from "./rlimits.ts";
import { planSysctls } from "./sysctls.ts";

const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** Who the first process is, with names already looked up in the root file system. */
export type ResolvedUser = User & { readonly home: string };

export type ContainerPlan = {
  readonly id: string;
  readonly request: ContainerRequest;
  readonly image: ImageDefaults;
  readonly user: ResolvedUser;
  readonly host: HostFacts;
  /** Path of the root file system, absolute or relative to the bundle. */
  readonly rootfs: string;
  readonly mounts: readonly ResolvedMount[];
  readonly generated: GeneratedFiles;
  readonly devices: readonly GrantedDevice[];
  readonly initPath: string | undefined;
  /** Undefined: no filter. */
  readonly seccomp: Seccomp | undefined;
  /** Empty: the host's ids. */
  readonly idMappings: { readonly uid: readonly IdMapping[]; readonly gid: readonly IdMapping[] };
  /** Paths inside that must not show, beyond the default ones. */
  readonly hiddenPaths: readonly string[];
  /** Whether the runtime follows the newest specification, time namespaces included. */
  readonly newestRuntime: boolean;
};

/** What every runtime takes: some refuse a newer number, whatever the document holds. */
const OCI_VERSION_OLDEST = "1.0.2";

/** Docker's short form of an id, and the default host name. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

/** The host name a container sees. */
export function hostnameOf(id: string, request: ContainerRequest, host: HostFacts): string {
  return request.hostname ?? (request.network === "host" ? host.hostname : shortId(id));
}

/**
 * The configuration of one container.
 * @throws TareError `bad_input` for a wish that cannot be met; nothing was changed.
 */
export function toConfig(plan: ContainerPlan): Config {
  const { request, host } = plan;
  return {
    ociVersion: plan.newestRuntime ? OCI_VERSION : OCI_VERSION_OLDEST,
    root: { path: plan.rootfs, readonly: request.readOnly },
    process: planProcess(plan),
    hostname: hostnameOf(plan.id, request, host),
    mounts: planMounts({
      requested: plan.mounts,
      generated: plan.generated,
      initPath: plan.initPath,
      privileged: request.privileged,
      sysfs: plan.idMappings.uid.length > 0 && request.network === "host" ? "bind" : "new",
    }),
    hooks: {
      prestart: [],
      createRuntime: [],
      createContainer: [],
      startContainer: [],
      poststart: [],
      poststop: [],
    },
    annotations: new Map(),
    linux: planLinux(plan),
  };
}

function planProcess(plan: ContainerPlan): Process {
  const { request, image, user } = plan;
  const args = chooseArgs({ entrypoint: request.entrypoint, command: request.command }, image);
  const { home, ...ids } = user;
  return {
    terminal: request.terminal,
    cwd: request.workingDir ?? image.workingDir ?? "/",
    env: planEnvironment({
      image: image.env,
      requested: request.env,
      hostname: hostnameOf(plan.id, request, plan.host),
      terminal: request.terminal,
      home,
    }),
    args: plan.initPath === undefined ? args : [INIT_TARGET, "--", ...args],
    rlimits: planRlimits(request.ulimits),
    capabilities: planCapabilities(plan),
    noNewPrivileges: request.noNewPrivileges,
    user: ids,
  };
}

/** Inheritable and ambient stay empty (CVE-2022-24769); for other users execve would drop the rest. */
function planCapabilities(plan: ContainerPlan): Capabilities {
  const { request, host, user } = plan;
  const bounding = chooseCapabilities({
    add: request.capAdd,
    drop: request.capDrop,
    privileged: request.privileged,
    available: host.capabilities,
  });
  const held = user.uid === 0 ? bounding : [];
  return { bounding, permitted: held, effective: held, inheritable: [], ambient: [] };
}

function planLinux(plan: ContainerPlan): Linux {
  const { request, host } = plan;
  const unmasked = request.privileged;
  const propagation = rootPropagation(plan.mounts);
  return {
    namespaces: planNamespaces(plan),
    uidMappings: plan.idMappings.uid,
    gidMappings: plan.idMappings.gid,
    timeOffsets: {},
    devices: deviceNodes(plan.devices),
    netDevices: new Map(),
    cgroupsPath: `${request.cgroupParent ?? "/tare"}/${plan.id}`,
    resources: planResources(request.resources, host, deviceRules(unmasked, plan.devices)),
    sysctl: planSysctls(request.sysctls, request.network),
    ...(plan.seccomp === undefined ? {} : { seccomp: plan.seccomp }),
    ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
    maskedPaths: [
      ...(unmasked ? [] : [...MASKED_PATHS, ...host.thermalPaths]),
      ...plan.hiddenPaths,
    ],
    readonlyPaths: unmasked ? [] : READONLY_PATHS,
  };
}

/** The cgroup namespace is the container's own on v2 and the host's on v1, as Docker has it. */
function planNamespaces(plan: ContainerPlan): Namespace[] {
  const types: Namespace["type"][] = ["mount", "uts", "pid", "ipc"];
  if (plan.request.network === "none") types.push("network");
  if (plan.newestRuntime) types.push("time");
  if (plan.host.cgroupVersion === 2 && !plan.request.privileged) types.push("cgroup");
  if (plan.idMappings.uid.length > 0) types.push("user");
  return types.map((type) => ({ type }));
}
