/** The caller's own terminal: raw while a container uses it, as before when that is over. */

import { EIO } from "../sys/abi-errno.ts";
import { TCGETS, TCSETS, TIOCGWINSZ, TIOCSWINSZ } from "../sys/abi-socket.ts";
import { check, errnoOf } from "../sys/check.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** `struct termios` of the kernel (asm-generic/termbits.h): four words, the line discipline, 19 characters. */
const TERMIOS_BYTES = 36;
const IFLAG_AT = 0;
const OFLAG_AT = 4;
const CFLAG_AT = 8;
const LFLAG_AT = 12;
const VTIME_AT = 17 + 5;
const VMIN_AT = 17 + 6;
/** cfmakeraw(3) but for OPOST: lines of ours that end with a newline stay lines. */
const IFLAG_OFF = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000;
const LFLAG_OFF = 0o10 | 0o100 | 0o2 | 0o1 | 0o100000;
const CFLAG_OFF = 0o60 | 0o400;
const CS8 = 0o60;
const ONLCR = 0o4;
const OPOST = 0o1;

/** The settings of a terminal; undefined where the descriptor is none. */
export function terminalSettings(sys: Sys, fd: Fd): Uint8Array | undefined {
  const settings = new Uint8Array(TERMIOS_BYTES);
  return errnoOf(sys.ioctl_bytes(fd, TCGETS, settings)) === 0 ? settings : undefined;
}

export function applySettings(sys: Sys, fd: Fd, settings: Uint8Array): void {
  check(sys.ioctl_bytes(fd, TCSETS, settings.slice()), "ioctl TCSETS");
}

/** The same for the caller's terminal, which may be gone meanwhile: then there is nothing to set. */
export function applyToCaller(sys: Sys, fd: Fd, settings: Uint8Array): void {
  const ret = sys.ioctl_bytes(fd, TCSETS, settings.slice());
  // A terminal that was hung up answers EIO to everything (vhangup(2)).
  if (errnoOf(ret) !== EIO) check(ret, "ioctl TCSETS");
}

/** Settings in which every key goes to the program and nothing is echoed twice. */
export function rawSettings(settings: Uint8Array): Uint8Array {
  const raw = settings.slice();
  const view = new DataView(raw.buffer);
  const change = (at: number, off: number, on: number) =>
    view.setUint32(at, (view.getUint32(at, true) & ~off) | on, true);
  change(IFLAG_AT, IFLAG_OFF, 0);
  change(OFLAG_AT, 0, OPOST);
  change(CFLAG_AT, CFLAG_OFF, CS8);
  change(LFLAG_AT, LFLAG_OFF, 0);
  raw[VMIN_AT] = 1;
  raw[VTIME_AT] = 0;
  return raw;
}

/** The outer terminal turns a newline into two characters already. */
export function leaveNewlines(sys: Sys, terminal: Fd): void {
  const settings = terminalSettings(sys, terminal);
  if (settings === undefined) return;
  const view = new DataView(settings.buffer);
  view.setUint32(OFLAG_AT, view.getUint32(OFLAG_AT, true) & ~ONLCR, true);
  applySettings(sys, terminal, settings);
}

/** Gives one terminal the size of another; nothing where the first is none. */
export function copySize(sys: Sys, from: Fd, to: Fd): void {
  const size = new Uint8Array(8);
  if (errnoOf(sys.ioctl_bytes(from, TIOCGWINSZ, size)) === 0) sys.ioctl_bytes(to, TIOCSWINSZ, size);
}
