/**
 * Which device nodes a container has and may use: the list is "nothing, but for these", as
 * Docker's. The standard nodes of /dev are made by the runtime.
 */
import type { Device, DeviceRule } from "@tare/spec/oci-runtime.ts";

/** A node of the host to make inside, with the access the cgroup grants to it. */
export type GrantedDevice = Device & { readonly access: string };

const DEFAULT_ALLOWED: readonly (readonly [major: number, minor: number])[] = [
  [1, 3], // null
  [1, 5], // zero
  [1, 7], // full
  [1, 8], // random
  [1, 9], // urandom
  [5, 0], // tty
  [5, 1], // console
  [5, 2], // ptmx
];

/** Rules for the device controller; a privileged container may use every device. */
export function deviceRules(privileged: boolean, granted: readonly GrantedDevice[]): DeviceRule[] {
  if (privileged) return [{ allow: true, type: "a", access: "rwm" }];
  return [
    { allow: false, type: "a", access: "rwm" },
    // A node may be made but, without a rule below, not opened.
    { allow: true, type: "c", access: "m" },
    { allow: true, type: "b", access: "m" },
    ...DEFAULT_ALLOWED.map(([major, minor]) => rule(major, minor)),
    { allow: true, type: "c" as const, major: 136, access: "rwm" },
    ...granted.map(
      (device): DeviceRule => ({
        allow: true,
        type: device.type === "b" ? "b" : "c",
        major: device.major,
        minor: device.minor,
        access: device.access,
      }),
    ),
  ];
}

/** The nodes without what only the cgroup needs to know. */
export function deviceNodes(granted: readonly GrantedDevice[]): Device[] {
  return granted.map(({ access: _access, ...device }) => device);
}

function rule(major: number, minor: number): DeviceRule {
  return { allow: true, type: "c", major, minor, access: "rwm" };
}
