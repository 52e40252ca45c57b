/**
 * What the runtime does on the host for a first process that exists, and few containers ask for:
 * resctrl groups, network devices. Checked before anything is made, carried out by parts.
 */

import type { Config } from "@tare/spec/oci-runtime.ts";
import type { DeviceMove } from "../network/devices.ts";
import type { ResctrlPlan, ResctrlState } from "../resctrl/plan.ts";
import { loadPart } from "../sys/part.ts";
import type { Sys } from "../sys/types.ts";

export type Placement = {
  readonly resctrl: ResctrlPlan | undefined;
  readonly devices: readonly DeviceMove[];
};

export function planPlacement(sys: Sys, config: Config, id: string): Placement {
  const { intelRdt, netDevices } = config.linux;
  return {
    resctrl:
      intelRdt === undefined
        ? undefined
        : loadPart(sys, "tare-runtime~resctrl").prepareResctrl(sys, intelRdt, id),
    devices:
      netDevices.size === 0
        ? []
        : loadPart(sys, "tare-runtime~net-devices").planDeviceMoves(config),
  };
}

/** `note` records, before they are made, the groups that go with the container. */
export function place(
  sys: Sys,
  { resctrl, devices }: Placement,
  { linux }: Config,
  pid: number,
  note: (state: ResctrlState) => void,
): void {
  if (resctrl !== undefined) {
    loadPart(sys, "tare-runtime~resctrl").joinResctrl(sys, resctrl, pid, note);
  }
  if (devices.length === 0) return;
  const joined = linux.namespaces.find(({ type }) => type === "network")?.path;
  const path = joined ?? `/proc/${pid}/ns/net`;
  loadPart(sys, "tare-runtime~net-devices").moveDevices(sys, devices, path);
}
