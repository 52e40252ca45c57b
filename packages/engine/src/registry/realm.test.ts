import { expect, test } from "bun:test";
import type { Endpoint } from "./endpoints.ts";
import { judgeRealm } from "./realm.ts";

const endpoint: Endpoint = {
  registry: "r",
  origins: [],
  repository: "a",
  mirror: false,
  insecure: false,
  tokenServers: ["tokens.partner.test:8443"],
};

/** The registry, the token server that it names, and what may be done there. */
const cases: [registry: string, realm: string, verdict: string][] = [
  ["https://registry.example.com", "https://registry.example.com/token", "trusted"],
  ["https://registry.example.com:5000", "https://registry.example.com:5000/token", "trusted"],
  ["https://registry.example.com", "https://auth.registry.example.com/token", "trusted"],
  ["https://registry-1.docker.io", "https://auth.docker.io/token", "trusted"],
  ["https://registry.gitlab.com", "https://gitlab.com/jwt/auth", "trusted"],
  ["https://registry.example.com", "https://example.com/jwt/auth", "anonymous"],
  ["https://registry.example.com", "https://auth.example.com/token", "anonymous"],
  ["https://victim.azurecr.io", "https://evil.azurecr.io/token", "anonymous"],
  ["https://victim.azurecr.io", "https://azurecr.io/token", "anonymous"],
  ["https://evil.docker.io", "https://auth.docker.io/token", "anonymous"],
  ["https://registry.example.com", "https://evilregistry.example.com/token", "anonymous"],
  ["https://registry.example.com", "https://auth.registry.example.com:8443/token", "anonymous"],
  ["https://intranet", "https://auth.intranet/token", "anonymous"],
  ["https://registry.example.com", "https://tokens.partner.test:8443/token", "trusted"],
  ["https://registry.example.com", "https://tokens.partner.test/token", "anonymous"],
  ["https://registry.example.com", "https://evil.test/token", "anonymous"],
  ["https://registry.example.com", "https://registry.example.com.evil.test/token", "anonymous"],
  ["https://registry.example.com", "https://auth.example.com:8443/token", "anonymous"],
  ["https://registry.example.com", "https://registry.example.com:8443/token", "anonymous"],
  ["https://registry.example.com:5000", "https://registry.example.com/token", "anonymous"],
  ["https://good.co.uk", "https://evil.co.uk/token", "anonymous"],
  ["https://good.test", "https://evil.test/token", "anonymous"],
  ["https://good.test", "https://test/token", "anonymous"],
  ["https://10.0.0.1", "https://9.0.0.1/token", "anonymous"],
  ["https://registry.example.com", "http://registry.example.com/token", "refused"],
  ["https://registry.example.com", "http://auth.example.com/token", "refused"],
  ["https://registry.example.com", "file:///etc/passwd", "refused"],
];

test.each(cases)("%s names %s", (registry, realm, verdict) => {
  expect(judgeRealm(new URL(realm), registry, endpoint)).toBe(verdict as "trusted");
});

test("plain text is for registries that are insecure, and then for themselves", () => {
  const insecure = { ...endpoint, insecure: true };
  const judge = (realm: string) => judgeRealm(new URL(realm), "http://10.0.0.1:5000", insecure);
  expect(judge("http://10.0.0.1:5000/token")).toBe("trusted");
  expect(judge("http://10.0.0.1:5001/token")).toBe("anonymous");
  expect(judge("http://10.0.0.2:5000/token")).toBe("anonymous");
});
