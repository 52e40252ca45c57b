/**
 * The lower layers of an overlay, one call each: together they are longer than what one option may
 * be. Source: kernel's overlayfs.rst, "Multiple lower layers".
 */

import { TareError } from "@tare/spec/error.ts";
import { EINVAL } from "../sys/abi-errno.ts";
import { AT_FDCWD } from "../sys/abi-file.ts";
import { FSCONFIG_SET_STRING, OPEN_TREE_CLOEXEC } from "../sys/abi-mount.ts";
import { check, errnoOf } from "../sys/check.ts";
import type { Fd, Sys } from "../sys/types.ts";
import { unameField } from "../sys/uname.ts";
import { configure, fail, VALUE_BYTES_MAX } from "./filesystem.ts";

const DESCRIPTORS = "/proc/self/fd";

/** Adds what stands behind `lowerdir=`: paths between colons; behind "::" they hold only data. */
export function addLayers(sys: Sys, context: Fd, value: string): void {
  const [lower = "", ...data] = splitAt(value, "::");
  setLower(sys, context, splitAt(lower, ":").map(plain));
  for (const path of data) configure(sys, context, "overlay", "datadir+", plain(path));
}

/**
 * Sets the lower layers, topmost first. `lowerdir+` takes a path a call (Linux 6.7); before, one
 * option takes them all, and they are named by descriptors, which stay open until the program ends.
 */
export function setLower(sys: Sys, context: Fd, lower: readonly string[]): void {
  const set = (key: string, path: string) =>
    sys.fsconfig(context, FSCONFIG_SET_STRING, key, path, 0);
  if (takesAnything(unameField(sys, "release"))) return setTogether(sys, context, lower);
  const names = lower.map((path) => (path.length > VALUE_BYTES_MAX ? shorten(sys, path) : path));
  const [first = ""] = names;
  const ret = set("lowerdir+", first);
  if (errnoOf(ret) === EINVAL) return setTogether(sys, context, lower);
  if (errnoOf(ret) !== 0) fail(sys, context, `overlay" lower layer "${lower[0]}`, ret);
  for (const name of names.slice(1)) configure(sys, context, "overlay", "lowerdir+", name);
}

/** Before Linux 6.5 overlayfs looks at its options when it is mounted: a word that it has not is taken here. */
export function takesAnything(release: string): boolean {
  const [major = 0, minor = 0] = release.split(".").map((part) => Number.parseInt(part, 10));
  return major < 6 || (major === 6 && minor < 5);
}

/**
 * All in one value of at most 255 bytes: seen from the directory of our descriptors a layer is two or
 * three digits, so that some 85 fit. The kernel looks them up there when the overlay is mounted, so we stay.
 */
function setTogether(sys: Sys, context: Fd, lower: readonly string[]): void {
  const short = lower.map((path) => openLayer(sys, path)).join(":");
  if (short.length > VALUE_BYTES_MAX) {
    throw new TareError("unsupported", `Cannot mount an overlay of ${lower.length} lower layers`, {
      hint: "Before Linux 6.7 the names of all have to fit in 255 bytes: make an image of fewer layers",
    });
  }
  check(sys.chdir(DESCRIPTORS), "chdir", DESCRIPTORS);
  configure(sys, context, "overlay", "lowerdir", short);
}

function shorten(sys: Sys, path: string): string {
  return `${DESCRIPTORS}/${openLayer(sys, path)}`;
}

function openLayer(sys: Sys, path: string): Fd {
  return check(sys.open_tree(AT_FDCWD, path, OPEN_TREE_CLOEXEC), "open_tree", path);
}

/** Splits at a separator that no backslash precedes. */
function splitAt(text: string, separator: string): string[] {
  const parts: string[] = [];
  let part = "";
  for (let at = 0; at < text.length; ) {
    if (text[at] === "\\") {
      part += text.slice(at, at + 2);
      at += 2;
    } else if (text.startsWith(separator, at)) {
      parts.push(part);
      part = "";
      at += separator.length;
    } else part += text[at++];
  }
  return [...parts, part];
}

function plain(path: string): string {
  return path.split("\\:").join(":");
}
