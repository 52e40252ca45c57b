/**
 * Limits whose files are the same on v1 and v2, but for an ending: pids, cpuset, cpu.idle, hugetlb, rdma.
 * Sources: cgroup-v2.rst, cgroup-v1/{pids,cpusets,hugetlb,rdma}.rst; runtime-spec, config-linux.md.
 */

import type { Resources } from "@tare/spec/oci-runtime.ts";
import { badLimit, type CgroupVersion, inRange, type LimitWrite, limitV2 } from "./limit.ts";

const PAGE_SIZE_LENGTH_MAX = 16;

/** An idle group has no weight: it is set before the group becomes idle, or after it ceases to be. */
export function withIdle(
  weights: readonly LimitWrite[],
  idle: bigint | undefined,
): readonly LimitWrite[] {
  if (idle === undefined) return weights;
  const field = "linux.resources.cpu.idle";
  const value = `${inRange(field, idle, 0, 1)}`;
  const why = "run only when nobody else wants the CPU";
  const write = { controller: "cpu" as const, file: "cpu.idle", value, field, why };
  return idle === 0n ? [write, ...weights] : [...weights, write];
}

/** 0 means 1, as with runc and systemd: a container always has its first process. */
export function planPids(resources: Resources): LimitWrite[] {
  const limit = resources.pids?.limit;
  if (limit === undefined) return [];
  const field = "linux.resources.pids.limit";
  return [
    {
      controller: "pids",
      file: "pids.max",
      value: limitV2(field, limit === 0n ? 1n : limit),
      field,
      why: "no more processes and threads than this",
    },
  ];
}

/** The CPUs and memory nodes that the container may use; an empty list is none asked for. */
export function planCpuset({ cpu }: Resources): LimitWrite[] {
  const writes: LimitWrite[] = [];
  for (const name of ["cpus", "mems"] as const) {
    const value = cpu[name];
    if (value === undefined || value === "") continue;
    writes.push({
      controller: "cpuset",
      file: `cpuset.${name}`,
      value,
      field: `linux.resources.cpu.${name}`,
      why: name === "cpus" ? "run on these CPUs only" : "take memory of these nodes only",
      // v1 mounted with the option noprefix, as Android does.
      orElse: { file: name, value },
    });
  }
  return writes;
}

/** Both the pages in use and the pages reserved by mmap; kernels before 5.7 count only the first. */
export function planHugetlb(resources: Resources, version: CgroupVersion): LimitWrite[] {
  const ending = version === 2 ? "max" : "limit_in_bytes";
  return resources.hugepageLimits.flatMap(({ pageSize, limit }, index): LimitWrite[] => {
    const field = `linux.resources.hugepageLimits[${index}]`;
    if (!isPageSize(pageSize)) {
      throw badLimit(field, pageSize, "a page size is a number and KB, MB or GB, as in 2MB");
    }
    const write = { controller: "hugetlb", value: `${limit}`, field };
    return [
      { ...write, file: `hugetlb.${pageSize}.${ending}`, why: `bytes of ${pageSize} pages in use` },
      {
        ...write,
        file: `hugetlb.${pageSize}.rsvd.${ending}`,
        why: `bytes of ${pageSize} pages reserved`,
        ifPresent: true,
      },
    ];
  });
}

export function planRdma(resources: Resources): LimitWrite[] {
  const writes: LimitWrite[] = [];
  for (const [device, { hcaHandles, hcaObjects }] of resources.rdma) {
    const field = `linux.resources.rdma.${device}`;
    if (!isOneWord(device)) throw badLimit(field, device, "a device name is one word");
    const handles = hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`];
    const objects = hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`];
    if (handles.length + objects.length === 0) continue;
    writes.push({
      controller: "rdma",
      file: "rdma.max",
      value: [device, ...handles, ...objects].join(" "),
      field,
      why: `what the container may use of ${device}`,
    });
  }
  return writes;
}

/** What may stand in a line of a control file without being read as two words or two lines. */
export function isOneWord(text: string): boolean {
  return text !== "" && ![" ", "\t", "\n", "\0"].some((blank) => text.includes(blank));
}

/** Becomes a part of a file name, so it is checked letter by letter: no "/" can get in. */
function isPageSize(text: string): boolean {
  const digits = text.slice(0, -2);
  const unit = text.slice(-2);
  if (text.length > PAGE_SIZE_LENGTH_MAX || digits === "") return false;
  const isNumber = [...digits].every((letter) => letter >= "0" && letter <= "9");
  return isNumber && (unit === "KB" || unit === "MB" || unit === "GB");
}
