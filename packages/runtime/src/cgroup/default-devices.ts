/**
 * The device rules that every container gets after its own ones: the devices that the runtime
 * supplies in /dev, terminals, and mknod of anything (a node that may be made but not opened).
 * Sources: runtime-spec, config-linux.md, "Default Devices"; runc's `AllowedDevices`, whose list
 * this is. So 10:200 (/dev/net/tun) is in it, which tools came to rely on, and 5:1 is not:
 * a container's /dev/console is a pty (136:*), while 5:1 is the console of the host.
 */

import { ACCESS_ALL, ACCESS_MKNOD, ANY, type DeviceMatch } from "./device-rules.ts";

function openable(major: number, minor: number): DeviceMatch {
  return { allow: true, type: "c", major, minor, access: ACCESS_ALL };
}

export const DEFAULT_DEVICES: readonly DeviceMatch[] = [
  { allow: true, type: "c", major: ANY, minor: ANY, access: ACCESS_MKNOD },
  { allow: true, type: "b", major: ANY, minor: ANY, access: ACCESS_MKNOD },
  openable(1, 3), // null
  openable(1, 5), // zero
  openable(1, 7), // full
  openable(1, 8), // random
  openable(1, 9), // urandom
  openable(5, 0), // tty
  openable(5, 2), // ptmx
  openable(136, ANY), // pts/*
  openable(10, 200), // net/tun
];
