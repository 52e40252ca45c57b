import { expect, test } from "bun:test";
import { proxiesOf, proxyFor } from "./proxy.ts";

const P = "http://proxy:3128";

/** NO_PROXY, address, and whether it goes through the proxy. Cases of golang.org/x/net/http/httpproxy. */
const cases: [no: string, url: string, goes: boolean][] = [
  ["", "https://example.com/", true],
  ["", "http://localhost/", false],
  ["", "http://127.0.0.1/", false],
  ["", "http://127.9.9.9/", false],
  ["", "http://[::1]/", false],
  ["*", "https://example.com/", false],
  ["example.com", "https://example.com/", false],
  ["example.com", "https://a.example.com/", false],
  ["example.com", "https://anexample.com/", true],
  [".example.com", "https://a.example.com/", false],
  [".example.com", "https://example.com/", true],
  ["*.example.com", "https://a.example.com/", false],
  ["EXAMPLE.com", "https://example.com/", false],
  [" other , example.com ", "https://example.com/", false],
  ["example.com:443", "https://example.com/", false],
  ["example.com:80", "https://example.com/", true],
  ["example.com:5000", "https://example.com:5000/", false],
  ["10.0.0.0/8", "https://10.1.2.3/", false],
  ["10.0.0.0/8", "https://11.1.2.3/", true],
  ["10.0.0.0/0", "https://11.1.2.3/", false],
  ["10.0.0.0/33", "https://10.0.0.0/", true],
  ["10.1.2.3", "https://10.1.2.3/", false],
  ["fd00::/8", "https://[fd12::1]/", false],
  ["fd00::/8", "https://[fe80::1]/", true],
  ["fd12::1", "https://[fd12::1]:5000/", false],
  ["[fd12::1]:5000", "https://[fd12::1]:5000/", false],
  ["10.0.0.0/8", "https://example.com/", true],
];

test.each(cases)("NO_PROXY=%j %s", (no, url, goes) => {
  const settings = proxiesOf(
    new Map([
      ["HTTPS_PROXY", P],
      ["HTTP_PROXY", P],
      ["NO_PROXY", no],
    ]),
  );
  expect(proxyFor(new URL(url), settings)).toBe(goes ? P : undefined);
});

test("each scheme has its own, in upper or lower case, with or without a scheme of its own", () => {
  const settings = proxiesOf(
    new Map([
      ["http_proxy", "a:1"],
      ["HTTPS_PROXY", "https://b:2"],
    ]),
  );
  expect(proxyFor(new URL("http://x/"), settings)).toBe("http://a:1");
  expect(proxyFor(new URL("https://x/"), settings)).toBe("https://b:2");
  expect(proxyFor(new URL("https://x/"), proxiesOf(new Map()))).toBeUndefined();
});
