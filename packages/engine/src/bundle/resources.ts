/**
 * The cgroup limits of a container, from Docker's words to the OCI's, with Docker's defaults and
 * its refusals: a limit that cannot work is an error here, before anything exists.
 */
import { TareError } from "@tare/spec/error.ts";
import type {
  CpuResources,
  DeviceRule,
  MemoryResources,
  Resources,
} from "@tare/spec/oci-runtime.ts";
import type { ResourceRequest } from "../container/request.ts";

/** Processes and threads of a container when nothing is said: enough for work, too few for a fork bomb. */
export const PIDS_LIMIT_DEFAULT = 2048n;

/** Below this a container cannot even start. */
const MEMORY_MIN = 6n * 1024n * 1024n;
const CPU_PERIOD_US = 100_000n;
/** The kernel refuses a quota below 1 ms. */
const NANO_CPUS_MIN = 10_000_000n;
const SHARES_MIN = 2n;
const SHARES_MAX = 262_144n;

export type ResourceFacts = {
  /** Online processors. */
  readonly cpus: number;
  /** Whether the kernel counts swap per cgroup. */
  readonly swapAccounting: boolean;
};

/** The OCI form of the wishes; `devices` are the rules for the device controller. */
export function planResources(
  request: ResourceRequest,
  facts: ResourceFacts,
  devices: readonly DeviceRule[],
): Resources {
  const limit = request.pidsLimit ?? PIDS_LIMIT_DEFAULT;
  return {
    devices,
    memory: planMemory(request, facts),
    cpu: planCpu(request, facts),
    pids: { limit: limit <= 0n ? -1n : limit },
    blockIO: {
      weightDevice: [],
      throttleReadBpsDevice: [],
      throttleWriteBpsDevice: [],
      throttleReadIOPSDevice: [],
      throttleWriteIOPSDevice: [],
    },
    hugepageLimits: [],
    network: { priorities: [] },
    rdma: new Map(),
    unified: new Map(),
  };
}

function planMemory(request: ResourceRequest, facts: ResourceFacts): MemoryResources {
  const { memory, memorySwap } = request;
  if (memory === undefined || memory === 0n) {
    if (memorySwap === undefined || memorySwap <= 0n) return {};
    throw new TareError(
      "bad_input",
      `Cannot set --memory-swap ${memorySwap}: there is no --memory`,
      {
        hint: "--memory-swap is memory and swap together; set --memory too",
      },
    );
  }
  if (memory < MEMORY_MIN) {
    throw new TareError("bad_input", `Cannot set --memory ${memory}: the least is 6 MiB (6m)`);
  }
  if (memorySwap !== undefined && memorySwap > 0n && memorySwap < memory) {
    throw new TareError(
      "bad_input",
      `Cannot set --memory-swap ${memorySwap}: it is less than --memory ${memory}`,
      { hint: "--memory-swap is memory and swap together; -1 lifts the limit on swap" },
    );
  }
  if (!facts.swapAccounting) return { limit: memory };
  return { limit: memory, swap: swapFor(memory, memorySwap) };
}

/** Docker's default lets a container swap as much again as its memory. */
function swapFor(memory: bigint, memorySwap: bigint | undefined): bigint {
  return memorySwap === undefined || memorySwap === 0n ? memory * 2n : memorySwap;
}

function planCpu(request: ResourceRequest, facts: ResourceFacts): CpuResources {
  return {
    ...planShares(request.cpuShares),
    ...planQuota(request.nanoCpus, facts.cpus),
    ...(request.cpusetCpus === undefined ? {} : { cpus: request.cpusetCpus }),
  };
}

function planShares(shares: bigint | undefined): CpuResources {
  if (shares === undefined || shares === 0n) return {};
  if (shares < 0n) {
    throw new TareError("bad_input", `Cannot set --cpu-shares ${shares}: it is negative`);
  }
  if (shares < SHARES_MIN) return { shares: SHARES_MIN };
  return { shares: shares > SHARES_MAX ? SHARES_MAX : shares };
}

function planQuota(nanoCpus: bigint | undefined, cpus: number): CpuResources {
  if (nanoCpus === undefined || nanoCpus === 0n) return {};
  if (nanoCpus < NANO_CPUS_MIN || nanoCpus > BigInt(cpus) * 1_000_000_000n) {
    const text = Number(nanoCpus) / 1e9;
    throw new TareError("bad_input", `Cannot set --cpus ${text}: want 0.01 to ${cpus}`, {
      hint: `This machine has ${cpus} processor(s)`,
    });
  }
  return { quota: (nanoCpus * CPU_PERIOD_US) / 1_000_000_000n, period: CPU_PERIOD_US };
}
