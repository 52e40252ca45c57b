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
  readonly stop: () => void;
};

/** Gives anybody tokens to pull, and to push only `USER` with `PASSWORD`. `lifeMs` is a token's. */
export function startTokenServer(certificate: Certificate, lifeMs = 300_000): TokenServer {
  const requests: TokenRequest[] = [];
  const service = "registry for tests";
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      const { searchParams } = new URL(request.url);
      const authorization = request.headers.get("authorization");
      const scopes = searchParams.getAll("scope").flatMap((scope) => scope.split(" "));
      requests.push({ authorization, scopes });
      const known = authorization === `Basic ${btoa(`${USER}:${PASSWORD}`)}`;
      if (authorization !== null && !known) return new Response("no", { status: 401 });
      return Response.json({ token: makeToken(certificate, service, scopes, known, lifeMs) });
    },
  });
  const host = `127.0.0.1:${server.port}`;
  return { realm: `http://${host}/token`, host, service, requests, stop: () => server.stop(true) };
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
