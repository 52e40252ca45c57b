/** What a registry may know us by. */
import { TareError } from "@tare/spec/error.ts";

export type Credential =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** What a token server gave in exchange for a password, to be exchanged again. */
  | { readonly kind: "identity-token"; readonly username: string; readonly token: string };

/** A user and a password from outside: neither may be empty, or hold what would end a header's line. */
export function passwordCredential(username: string, password: string): Credential {
  const isBad = (text: string) => text === "" || text.includes("\0") || text.includes("\n");
  if (isBad(username) || username.includes(":")) {
    throw new TareError("bad_input", `Cannot log in as "${username}": it is no user name`);
  }
  if (isBad(password))
    throw new TareError("bad_input", "Cannot log in: the password is empty or has lines");
  return { kind: "password", username, password };
}
