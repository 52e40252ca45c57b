/**
 * Bearer tokens: what a registry wants instead of a password. Sources: distribution's
 * "Token Authentication Specification" (GET) and "OAuth2" (POST, with an identity token).
 */
import { TareError } from "@tare/spec/error.ts";
import type { Challenge } from "./challenge.ts";
import type { Credential } from "./credential.ts";
import type { Endpoint } from "./endpoints.ts";
import { refusal } from "./failure.ts";
import { judgeRealm } from "./realm.ts";
import type { Transient } from "./transient.ts";
import type { Answer, Transport } from "./transport.ts";

const ANSWER_BYTES_MAX = 1024 * 1024;
const CLIENT_ID = "tare";

export type TokenRequest = {
  readonly challenge: Challenge;
  readonly endpoint: Endpoint;
  /** The registry's `scheme://host[:port]`, which sent the challenge. */
  readonly origin: string;
  readonly scopes: readonly string[];
  readonly credential: Credential | undefined;
  /** Whether a token that can be exchanged later is asked for, too: an identity token. */
  readonly offline?: boolean;
  readonly signal?: AbortSignal | undefined;
};

export type Token = {
  readonly text: string;
  /** There is a password, and this host, the token server's, was not given it. */
  readonly withheldFrom: string | undefined;
  /** The identity token, where one was asked for and the server has given one. */
  readonly refresh: string | undefined;
};

/**
 * Asks the token server that the challenge names.
 * @throws TareError `no_permission`, `bad_input`; Transient
 */
export async function fetchToken(transport: Transport, wanted: TokenRequest): Promise<Token> {
  const realm = realmOf(wanted);
  const verdict = judgeRealm(realm, wanted.origin, wanted.endpoint);
  if (verdict === "refused") {
    throw new TareError(
      "no_permission",
      `Cannot log in at ${wanted.endpoint.registry}: its token server ${realm.origin} has no TLS`,
    );
  }
  const credential = verdict === "trusted" ? wanted.credential : undefined;
  const answer =
    credential?.kind === "identity-token"
      ? await postForm(transport, wanted, realm, credential.token)
      : await get(transport, wanted, realm, credential);
  const withheldFrom =
    wanted.credential !== undefined && credential === undefined ? realm.host : undefined;
  const what = `Cannot get a token for ${wanted.endpoint.registry}`;
  if (answer.status !== 200)
    throw explained(await refusal(what, answer), wanted.endpoint.registry, withheldFrom);
  const bytes = await answer.body.bytes(ANSWER_BYTES_MAX, "a token");
  return { ...readToken(bytes, what), withheldFrom };
}

function explained(
  error: TareError | Transient,
  registry: string,
  withheldFrom: string | undefined,
): Error {
  if (withheldFrom === undefined || !(error instanceof TareError)) return error;
  return new TareError(error.code, error.message, {
    hint: withheldHint(registry, withheldFrom),
    cause: error,
  });
}

/** What to do where a password was not sent. */
export function withheldHint(registry: string, host: string): string {
  const setting = `token-servers = ["${host}"] under [registry."${registry}"]`;
  return `The password was not sent to ${host}, which is not known to be the registry's own; the setting ${setting} allows it`;
}

function realmOf({ challenge, endpoint }: TokenRequest): URL {
  const realm = challenge.params.get("realm") ?? "";
  if (URL.canParse(realm)) {
    const url = new URL(realm);
    url.username = "";
    url.password = "";
    return url;
  }
  throw new TareError(
    "bad_input",
    `Cannot log in at ${endpoint.registry}: its token server is no address: "${realm.slice(0, 200)}"`,
  );
}

function get(
  transport: Transport,
  wanted: TokenRequest,
  realm: URL,
  credential: Credential | undefined,
): Promise<Answer> {
  const url = new URL(realm);
  const service = wanted.challenge.params.get("service");
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of wanted.scopes) url.searchParams.append("scope", scope);
  if (credential?.kind === "password") url.searchParams.set("account", credential.username);
  if (wanted.offline === true && credential?.kind === "password") {
    url.searchParams.set("offline_token", "true");
    url.searchParams.set("client_id", CLIENT_ID);
  }
  return transport.send({
    method: "GET",
    url,
    authorization: basicOf(credential),
    insecure: isInsecure(wanted, url),
    signal: wanted.signal,
  });
}

function postForm(
  transport: Transport,
  wanted: TokenRequest,
  url: URL,
  identityToken: string,
): Promise<Answer> {
  const form = new URLSearchParams({
    grant_type: "refresh_token",
    client_id: CLIENT_ID,
    service: wanted.challenge.params.get("service") ?? "",
    scope: wanted.scopes.join(" "),
    refresh_token: identityToken,
  });
  return transport.send({
    method: "POST",
    url,
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: form.toString(),
    insecure: isInsecure(wanted, url),
    signal: wanted.signal,
  });
}

/** Another host than the insecure one has to have its certificate right. */
function isInsecure({ endpoint, origin }: TokenRequest, url: URL): boolean {
  return (
    endpoint.insecure && (url.hostname === new URL(origin).hostname || url.protocol === "http:")
  );
}

/** The header for a name and a password. */
export function basicOf(credential: Credential | undefined): string | undefined {
  if (credential?.kind !== "password") return undefined;
  const bytes = new TextEncoder().encode(`${credential.username}:${credential.password}`);
  return `Basic ${Buffer.from(bytes).toString("base64")}`;
}

/** `token` or, as OAuth has it, `access_token`; neither may break out of a header. */
function readToken(bytes: Uint8Array, what: string): Pick<Token, "text" | "refresh"> {
  const body = parseJson(new TextDecoder().decode(bytes)) as {
    token?: unknown;
    access_token?: unknown;
    refresh_token?: unknown;
  };
  const text = body?.token || body?.access_token;
  if (!isToken(text)) throw new TareError("bad_input", `${what}: the answer has none`);
  const refresh = body?.refresh_token;
  return { text, refresh: isToken(refresh) ? refresh : undefined };
}

function isToken(value: unknown): value is string {
  return typeof value === "string" && value !== "" && /^[\x21-\x7e]+$/.test(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
