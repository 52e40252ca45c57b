/**
 * The device rules that every container gets after its own ones: the devices that the runtime
 * supplies in /dev, terminals, and mknod of anything (a node that may be made but not opened).
 * Sources: runtime-spec, config-linux.md, "Default Devices"; runc's `AllowedDevices`, whose list
 * this is. So 10:200 (/dev/net/tun) is in it, which tools came to rely on, and 5:1 is not:
 * a container's /dev/console is a pty (136:*), while 5:1 is the console of the host.
 */

import type { DeviceRule } from "@tare/spec/oci-runtime.ts";

/** Character devices that may be opened, as major and minor; -1 is every minor. */
const OPENED: readonly (readonly [major: number, minor: number])[] = [
  [1, 3], // null
  [1, 5], // zero
  [1, 7], // full
  [1, 8], // random
  [1, 9], // urandom
  [5, 0], // tty
  [5, 2], // ptmx
  [136, -1], // pts/*
  [10, 200], // net/tun
];

export const DEFAULT_DEVICE_RULES: readonly DeviceRule[] = [
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  ...OPENED.map(([major, minor]) => {
    return { allow: true, type: "c", major, minor, access: "rwm" } as const;
  }),
];
