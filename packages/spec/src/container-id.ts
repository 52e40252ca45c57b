/**
 * Container ids. An id becomes a directory's name and part of a cgroup's, so only letters, digits
 * and `_ . + -` may be in it, and it may not be `.` or `..` (as in runc).
 */
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";

declare const brand: unique symbol;

/** A text that `parseContainerId` has let through. */
export type ContainerId = string & { readonly [brand]: "ContainerId" };

/** As in runc; the file system's own limit, 255 bytes for most, comes first. */
const LENGTH_MAX = 1024;

/** The id that a text is. Throws `bad_input`. */
export function parseContainerId(text: string): ContainerId {
  if (text === "") fail(text, "it is empty");
  if (text.length > LENGTH_MAX) fail(text, `it has ${text.length} characters of ${LENGTH_MAX}`);
  // "." and ".." are directories, and other names with a dot first are ours, beside the containers'.
  if (text.startsWith(".")) fail(text, "invalid, it begins with a dot");
  for (let at = 0; at < text.length; at++) {
    if (isAllowed(text.charCodeAt(at))) continue;
    fail(text, `invalid character at ${at}, want letters, digits and _ . + - only`);
  }
  return text as ContainerId;
}

function fail(text: string, why: string): never {
  throw new TareError("bad_input", `Cannot use container ID ${quoteJson(text)}: ${why}`);
}

function isAllowed(code: number): boolean {
  const isDigit = code >= 0x30 && code <= 0x39;
  const lower = code | 0x20;
  const isLetter = lower >= 0x61 && lower <= 0x7a;
  return isDigit || isLetter || code === 0x5f || code === 0x2e || code === 0x2b || code === 0x2d;
}
