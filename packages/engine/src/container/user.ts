/** Looks up the user of a container in the account files of its root file system. */
import { resolveUser } from "@tare/spec/user.ts";
import type { ResolvedUser } from "../bundle/to-config.ts";
import type { Accounts } from "../helper.ts";

/** `text` is the image's or the caller's `user[:group]`; empty is root. */
export function resolveAccount(text: string, accounts: Accounts): ResolvedUser {
  const { uid, gid, additionalGids, home } = resolveUser(text, accounts);
  return { uid, gid, additionalGids, home };
}
