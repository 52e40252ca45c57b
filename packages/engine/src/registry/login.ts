/** Whether a registry takes a name and a password. Source: distribution-spec 1.1, "Determining Support". */
import { TareError } from "@tare/spec/error.ts";
import type { RegistryClient } from "./client.ts";
import type { Credential } from "./credential.ts";
import { registryEndpoint } from "./endpoints.ts";
import { LOGIN_HINT, refusal } from "./failure.ts";
import { Session } from "./session.ts";
import { withheldHint } from "./token.ts";

/**
 * Answers what to keep: the password, or the identity token that the token server gave in its place.
 * @throws TareError `no_permission` where it does not; `system` where it cannot be asked
 */
export async function checkLogin(
  client: RegistryClient,
  registry: string,
  credential: Credential,
  signal: AbortSignal,
): Promise<Credential> {
  const endpoint = registryEndpoint(client.settings, registry, "");
  const session = new Session(client, endpoint, {
    access: "pull",
    credential,
    offline: true,
    signal,
  });
  const attempt = async () => {
    const answer = await session.send({ method: "GET", to: "/v2/" });
    if (answer.status !== 200) throw await refusal(`Cannot log in at ${registry}`, answer);
    answer.body.cancel();
    // It let us in as nobody, which says nothing about the password.
    const { withheldFrom } = session;
    if (withheldFrom === undefined) return;
    throw new TareError("no_permission", `Cannot log in at ${registry}`, {
      hint: withheldHint(registry, withheldFrom),
    });
  };
  try {
    await session.retrying(attempt, signal);
  } catch (error) {
    throw refusedLogin(error);
  }
  const token = session.identityToken;
  const { username } = credential;
  return token === undefined ? credential : { kind: "identity-token", username, token };
}

/** Nobody needs to be told to log in by what tries to. */
function refusedLogin(error: unknown): unknown {
  const isRefusal = error instanceof TareError && error.code === "no_permission";
  if (!isRefusal || (error.hint !== undefined && error.hint !== LOGIN_HINT)) return error;
  const hint =
    "The name or the password is wrong; some registries want an access token in place of the password";
  return new TareError(error.code, error.message, { hint, cause: error });
}

/**
 * A registry as people name it: a host, or an address of it such as `https://host/v2/`.
 * @throws TareError `bad_input`
 */
export function parseRegistry(text: string): string {
  const bare = text.includes("://") ? text.slice(text.indexOf("://") + 3) : text;
  const [host = ""] = bare.split("/");
  if (host === "index.docker.io" || host === "registry-1.docker.io") return "docker.io";
  const url = URL.canParse(`https://${host}`) ? new URL(`https://${host}`) : undefined;
  const isHost =
    url !== undefined && url.pathname === "/" && url.username === "" && url.search === "";
  if (isHost && url.hash === "" && /^[A-Za-z0-9.:[\]-]+$/.test(host)) return host;
  throw new TareError(
    "bad_input",
    `Cannot use registry "${text}": want a host, as registry.example:5000`,
  );
}
