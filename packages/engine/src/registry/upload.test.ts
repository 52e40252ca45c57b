/** Uploads to registries that lose count, forget, send us elsewhere and cut connections. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf } from "../image/digest.ts";
import type { Handler, MadeServer, Reply, Seen } from "./made-server.ts";
import { credentialsFor, directory, sessionAt as sessionFor, start } from "./made-session.ts";
import { type UploadBlob, uploadBlob } from "./upload.ts";

setDefaultTimeout(60_000);

const MIB = 1024 * 1024;
const { signal } = new AbortController();
const sessionAt = (host: string, slept?: number[]) =>
  sessionFor(host, "push", slept, credentialsFor(host));

/** A file of that size, whose bytes tell their place. */
function blobOf(size: number): UploadBlob & { readonly bytes: Buffer } {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(at, at);
  const path = join(directory(), "blob");
  writeFileSync(path, bytes);
  return { digest: digestOf(bytes), size, path: async () => path, bytes };
}

/** A registry that keeps one upload; `odd` may answer in its place. */
function registry(odd: (seen: Seen, got: Buffer) => Reply | "cut" | undefined = () => undefined) {
  const state = { got: Buffer.alloc(0), done: "" };
  const handler: Handler = (seen) => {
    const reply = odd(seen, state.got);
    if (reply !== undefined) return reply;
    const { method, path, body } = seen;
    const location = { Location: "/v2/a/b/blobs/uploads/1" };
    const range = { ...location, Range: `0-${Math.max(0, state.got.length - 1)}` };
    if (method === "HEAD") return { status: 404 };
    if (method === "POST") {
      state.got = Buffer.alloc(0);
      return { status: 202, headers: location };
    }
    if (method === "GET") return { status: 204, headers: range };
    state.got = Buffer.concat([state.got, body]);
    if (method === "PATCH") {
      return { status: 202, headers: { ...location, Range: `0-${state.got.length - 1}` } };
    }
    state.done = new URL(path, "http://x").searchParams.get("digest") ?? "";
    return { status: state.done === digestOf(state.got) ? 201 : 400 };
  };
  return { state, handler };
}

const methods = (server: MadeServer) => server.seen.map(({ method }) => method).join(" ");
const OPTIONS = { signal, mountFrom: [] };

test("a small blob is one request after the upload was opened, a large one a stream", async () => {
  for (const [size, want] of [
    [0, "HEAD POST PUT"],
    [10, "HEAD POST PUT"],
    [4 * MIB, "HEAD POST PUT"],
    [4 * MIB + 4, "HEAD POST PATCH PUT"],
  ] as const) {
    const { state, handler } = registry();
    const server = await start(handler);
    const blob = blobOf(size);
    const progress: number[] = [];
    const onProgress = (bytes: number) => void progress.push(bytes);
    const uploaded = await uploadBlob(sessionAt(server.host), blob, { ...OPTIONS, onProgress });
    expect([size, uploaded.kind, methods(server)]).toEqual([size, "sent", want]);
    expect([state.done, state.got.equals(blob.bytes), progress.at(-1)]).toEqual([
      blob.digest,
      true,
      size,
    ]);
  }
});

test("what is there is not sent, and what another repository has is mounted", async () => {
  const there = await start(() => ({ status: 200 }));
  const blob = blobOf(10);
  expect(await uploadBlob(sessionAt(there.host), blob, OPTIONS)).toEqual({ kind: "there" });
  expect(methods(there)).toBe("HEAD");
  const mounting = await start(({ method }) =>
    method === "HEAD" ? { status: 404 } : { status: 201 },
  );
  const from = { signal, mountFrom: ["c/d"] };
  expect(await uploadBlob(sessionAt(mounting.host), blob, from)).toEqual({
    kind: "mounted",
    from: "c/d",
  });
  expect(mounting.seen.at(-1)?.path).toBe(`/v2/a/b/blobs/uploads/?mount=${blob.digest}&from=c/d`);
});

test("a mount that is refused becomes the upload that was opened for it", async () => {
  const { state, handler } = registry();
  const server = await start(handler);
  const blob = blobOf(10);
  const uploaded = await uploadBlob(sessionAt(server.host), blob, {
    signal,
    mountFrom: ["x", "y"],
  });
  expect([uploaded.kind, methods(server)]).toEqual(["sent", "HEAD POST DELETE POST PUT"]);
  expect(state.done).toBe(blob.digest);
});

test("a stream that is cut goes on where the registry is", async () => {
  const blob = blobOf(6 * MIB);
  const kept = 2 * MIB + 3;
  let cut = false;
  const { state, handler } = registry((seen, got) => {
    if (seen.method !== "PATCH" || cut) return undefined;
    cut = true;
    state.got = Buffer.concat([got, seen.body.subarray(0, kept)]);
    return "cut";
  });
  const server = await start(handler);
  const slept: number[] = [];
  await uploadBlob(sessionAt(server.host, slept), blob, OPTIONS);
  expect(methods(server)).toBe("HEAD POST PATCH GET PATCH PUT");
  expect(server.seen[4]?.headers.get("content-range")).toBe(`${kept}-${blob.size - 1}`);
  expect([state.done, state.got.equals(blob.bytes), slept]).toEqual([blob.digest, true, [250]]);
});

test("an upload that the registry forgets is begun anew, and not for ever", async () => {
  const blob = blobOf(5 * MIB);
  const { handler } = registry(({ method }) => {
    if (method === "PATCH") return "cut";
    return method === "GET" ? { status: 404 } : undefined;
  });
  const server = await start(handler);
  const slept: number[] = [];
  const failing = uploadBlob(sessionAt(server.host, slept), blob, OPTIONS);
  await expect(failing).rejects.toThrow("Cannot talk to");
  expect(slept).toEqual([250, 500, 1000, 2000, 4000]);
});

test("a request that is too large is made smaller", async () => {
  const blob = blobOf(6 * MIB);
  const { state, handler } = registry(({ method, body }) =>
    method === "PATCH" && body.length > 2 * MIB ? { status: 413 } : undefined,
  );
  const server = await start(handler);
  await uploadBlob(sessionAt(server.host), blob, OPTIONS);
  expect([state.done, state.got.equals(blob.bytes)]).toEqual([blob.digest, true]);
});

test("another host gets the bytes and never our name", async () => {
  const blob = blobOf(10);
  const other = await start(() => ({ status: 201 }));
  const server = await start(({ method, headers }) => {
    if (!headers.has("authorization"))
      return { status: 401, headers: { "WWW-Authenticate": "Basic" } };
    if (method === "HEAD") return { status: 404 };
    return { status: 202, headers: { Location: `http://u:p@${other.host}/upload?a=b` } };
  });
  await uploadBlob(sessionAt(server.host), blob, OPTIONS);
  expect(other.seen.map(({ path }) => path)).toEqual([
    `/upload?a=b&digest=${encodeURIComponent(blob.digest)}`,
  ]);
  expect(other.seen[0]?.headers.has("authorization")).toBe(false);
  expect(other.seen[0]?.body).toEqual(blob.bytes);
});

test("a registry that does not say where to, or somewhere that is no address, is an error", async () => {
  for (const headers of [
    {},
    { Location: "file:///etc/x" },
    { Location: "http://" },
  ] as Reply["headers"][]) {
    const server = await start(({ method }) =>
      method === "HEAD"
        ? { status: 404 }
        : { status: 202, ...(headers === undefined ? {} : { headers }) },
    );
    const failing = uploadBlob(sessionAt(server.host), blobOf(1), OPTIONS);
    await expect(failing).rejects.toThrow("it does not say where to");
  }
});

test("a refusal says what the registry says", async () => {
  const body = JSON.stringify({
    errors: [{ code: "DIGEST_INVALID", message: "not what you said" }],
  });
  const { handler } = registry(({ method }) =>
    method === "PUT" ? { status: 400, body } : undefined,
  );
  const server = await start(handler);
  await expect(uploadBlob(sessionAt(server.host), blobOf(1), OPTIONS)).rejects.toThrow(
    "answers 400: DIGEST_INVALID: not what you said",
  );
});
