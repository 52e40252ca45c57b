/**
 * A token server for docker-registry, and a record of who asked it for what: tokens are JSON web tokens,
 * signed with a key that the registry trusts. Source: distribution's "Token Authentication Implementation".
 */
import { sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Certificate } from "./certificates.ts";
import { PASSWORD, USER } from "./registry.ts";

export type TokenRequest = {
  readonly authorization: string | null;
  readonly scopes: readonly string[];
};

export type TokenServer = {
  readonly realm: string;
  readonly host: string;
  readonly service: string;
  readonly requests: readonly TokenRequest[];
  /** Identity tokens that were given out, for those who asked for one. */
  readonly identityTokens: readonly string[];
  readonly stop: () => void;
};

/**
 * Gives anybody tokens to pull, and to push only `USER` with `PASSWORD`, or with an identity token
 * that it gave to such a one (`identity`). `lifeMs` is a token's.
 */
export function startTokenServer(
  certificate: Certificate,
  { lifeMs = 300_000, identity = false } = {},
): TokenServer {
  const requests: TokenRequest[] = [];
  const identityTokens: string[] = [];
  const service = "registry for tests";
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const isForm = request.method === "POST";
      const { searchParams } = isForm
        ? { searchParams: new URLSearchParams(await request.text()) }
        : new URL(request.url);
      const authorization = request.headers.get("authorization");
      const scopes = searchParams.getAll("scope").flatMap((scope) => scope.split(" "));
      requests.push({ authorization, scopes });
      if (isForm) {
        const token = searchParams.get("refresh_token") ?? "";
        const isGood =
          identityTokens.includes(token) && searchParams.get("grant_type") === "refresh_token";
        if (!isGood) return new Response("no", { status: 401 });
        return Response.json({
          access_token: makeToken(certificate, service, scopes, true, lifeMs),
        });
      }
      const known = authorization === `Basic ${btoa(`${USER}:${PASSWORD}`)}`;
      if (authorization !== null && !known) return new Response("no", { status: 401 });
      const token = makeToken(certificate, service, scopes, known, lifeMs);
      const asked = identity && known && searchParams.get("offline_token") === "true";
      if (!asked) return Response.json({ token });
      identityTokens.push(crypto.randomUUID());
      return Response.json({ token, refresh_token: identityTokens.at(-1) });
    },
  });
  const host = `127.0.0.1:${server.port}`;
  return {
    realm: `http://${host}/token`,
    ...{ host, service, requests, identityTokens },
    stop: () => server.stop(true),
  };
}

function makeToken(
  certificate: Certificate,
  service: string,
  scopes: readonly string[],
  known: boolean,
  lifeMs: number,
): string {
  const now = Math.floor(Date.now() / 1000);
  const der = new X509Certificate(readFileSync(certificate.certificate)).raw.toString("base64");
  const head = { typ: "JWT", alg: "ES256", x5c: [der] };
  const access = scopes.map((scope) => {
    const [type = "", name = "", actions = ""] = scope.split(":");
    const wanted = actions.split(",").filter((action) => known || action === "pull");
    return { type, name, actions: wanted };
  });
  const body = {
    ...{ iss: service, aud: service, sub: "someone", jti: crypto.randomUUID() },
    ...{ iat: now, nbf: now - 60, exp: now + Math.ceil(lifeMs / 1000), access },
  };
  const text = [head, body].map((part) => encode(Buffer.from(JSON.stringify(part)))).join(".");
  const key = readFileSync(certificate.key, "utf8");
  const signature = sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" });
  return `${text}.${encode(signature)}`;
}

function encode(bytes: Buffer): string {
  return bytes.toString("base64url");
}
