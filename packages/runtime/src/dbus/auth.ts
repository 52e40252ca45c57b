/**
 * The words before a D-Bus connection: SASL with the mechanism EXTERNAL, by which the kernel's word on
 * who connected counts. Pure: a line in, the answer out.
 * Source: D-Bus Specification, "Authentication Protocol".
 */

import { TareError } from "@tare/spec/error.ts";

/** Longer than any line that a server has to say. */
export const LINE_BYTES_MAX = 1024;

/**
 * Said first, after a NUL byte. We name nobody: in a user namespace our number for ourselves is not
 * the server's.
 */
export const AUTH_FIRST = "AUTH EXTERNAL\r\n";

export type AuthStep =
  /** To be sent; then another line comes. */
  | { readonly say: string; readonly isLast: false }
  /** To be sent; then messages go both ways. */
  | { readonly say: string; readonly isLast: true };

/**
 * What to answer to a server's line, given without its end. `uid` is what we call ourselves; it is
 * said where a server wants a name, which `isNamed` tells was done.
 * @throws TareError `no_permission` where we are refused, `corrupt` for a line of no sense.
 */
export function answerLine(
  line: string,
  { uid, isNamed }: { readonly uid: number; readonly isNamed: boolean },
): AuthStep {
  if (line === "DATA" || line.startsWith("DATA ")) return { say: "DATA\r\n", isLast: false };
  if (line === "OK" || line.startsWith("OK ")) return { say: "BEGIN\r\n", isLast: true };
  const isRefused = ["REJECTED", "ERROR"].some((word) => line.startsWith(word));
  if (!isRefused)
    throw new TareError("corrupt", "Cannot authenticate over D-Bus: a strange answer");
  if (isNamed) {
    throw new TareError("no_permission", `Cannot authenticate over D-Bus as user ${uid}: refused`);
  }
  return { say: `AUTH EXTERNAL ${hexOf(String(uid))}\r\n`, isLast: false };
}

/** Decimal digits, each as its code in hexadecimal. */
function hexOf(digits: string): string {
  return [...digits].map((digit) => digit.charCodeAt(0).toString(16)).join("");
}
