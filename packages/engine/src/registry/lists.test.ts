/** Lists of registries that are too long, or that have no end. */
import { expect, test } from "bun:test";
import type { Reference } from "@tare/spec/reference.ts";
import { type Handler, MadeServer, makeTestClient, OTHER_DIGEST } from "./made-server.ts";
import { listReferrers } from "./referrers.ts";
import { listTags } from "./tags.ts";

const { signal } = new AbortController();

/** The error of a list, or its length, and how often the registry was asked. */
async function listFrom(
  handler: Handler,
  list: (
    at: Pick<Reference, "domain" | "path">,
    client: ReturnType<typeof makeTestClient>,
  ) => Promise<readonly unknown[]>,
): Promise<[result: string, requests: number]> {
  await using server = await MadeServer.start(handler);
  const result = await list({ domain: server.host, path: "a/b" }, makeTestClient()).then(
    ({ length }) => `${length}`,
    (error) => `${error.code}: ${error.message}`,
  );
  return [result, server.seen.length];
}

const tags = (at: Pick<Reference, "domain" | "path">, client: ReturnType<typeof makeTestClient>) =>
  listTags(client, at, signal);
const referrers = (
  at: Pick<Reference, "domain" | "path">,
  client: ReturnType<typeof makeTestClient>,
) => listReferrers(client, at, OTHER_DIGEST, { signal });

const index = (count: number) =>
  JSON.stringify({
    schemaVersion: 2,
    manifests: Array.from({ length: count }, () => ({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest: OTHER_DIGEST,
      size: 1,
    })),
  });

test("a page that is larger than a call takes arguments is a list, or too long", async () => {
  const page = (count: number) => () => ({
    body: JSON.stringify({ tags: Array(count).fill("a") }),
  });
  expect(await listFrom(page(100_000), tags)).toEqual(["100000", 1]);
  const [error] = await listFrom(page(900_000), tags);
  expect(error).toMatch(/^bad_input: .*more than 100000$/);
});

test("a next page that was read already is an end", async () => {
  const link = { Link: '</v2/a/b/again>; rel="next"' };
  const [error, requests] = await listFrom(() => ({ body: '{"tags":["a"]}', headers: link }), tags);
  expect(error).toMatch(/^bad_input: .*no end to it$/);
  expect(requests).toBe(2);
  const again = await listFrom(() => ({ body: index(1), headers: link }), referrers);
  expect(again).toEqual([expect.stringMatching(/^bad_input: .*no end to it$/), 2]);
});

test("referrers have a limit", async () => {
  let page = 0;
  const body = index(20_000);
  const endless: Handler = () => ({
    body,
    headers: { Link: `</v2/a/b/${++page}>; rel="next"` },
  });
  expect(await listFrom(endless, referrers)).toEqual([
    expect.stringMatching(/^bad_input: .*more than 50000$/),
    3,
  ]);
});
