/** Registries that lie, stop, drip and send us elsewhere, as the client reads from them. */
import { expect, describe as group, setDefaultTimeout, test } from "bun:test";
import { parseReference } from "@tare/spec/reference.ts";
import { blobBytes, readBlob } from "./download.ts";
import {
  describe,
  type Handler,
  type MadeServer,
  makeTestClient,
  OTHER_DIGEST,
  type Reply,
} from "./made-server.ts";
import { credentialsFor, sessionAt as sessionFor, start } from "./made-session.ts";
import { getManifest } from "./manifests.ts";
import type { Session } from "./session.ts";
import { Sources } from "./sources.ts";

setDefaultTimeout(60_000);

const OCI = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const signal = new AbortController().signal;

const sessionAt = (host: string, slept?: number[], credentials?: string, settings?: string) =>
  sessionFor(host, "pull", slept, credentials, settings);

async function errorOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "no error",
    (error) => `${error.code}: ${error.message}`,
  );
}

const text = (content: object) => JSON.stringify(content);
const config = {
  mediaType: "application/vnd.oci.image.config.v1+json",
  digest: OTHER_DIGEST,
  size: 1,
};
const good = text({ schemaVersion: 2, mediaType: OCI, config, layers: [] });

group("a manifest", () => {
  const wanted = describe(good).digest;
  const replies: [name: string, reply: Reply, error: RegExp][] = [
    ["with other bytes", { body: `${good} ` }, /^corrupt: .*hashes to/],
    [
      "whose header vouches for other bytes",
      { body: `${good} `, headers: { "Docker-Content-Digest": wanted } },
      /^corrupt/,
    ],
    ["without end", { endless: true }, /^corrupt: .*larger than/],
    ["of five megabytes", { body: " ".repeat(5 << 20) }, /^corrupt: .*larger than/],
    [
      "that never comes",
      {
        status: 404,
        body: text({ errors: [{ code: "MANIFEST_UNKNOWN", message: "no\u001b[2Jsuch" }] }),
      },
      /^not_found: .*MANIFEST_UNKNOWN: no\\u001b\[2Jsuch$/,
    ],
    ["that is a page", { headers: { "Content-Type": "text/html" }, body: "<html>" }, /^corrupt/],
  ];
  test.each(replies)("%s is refused", async (_name, reply, error) => {
    const server = await start(() => reply);
    expect(await errorOf(getManifest(sessionAt(server.host), "1", wanted, "Cannot pull"))).toMatch(
      error,
    );
  });

  const byTag: [name: string, body: string, type: string, error: RegExp][] = [
    ["served as an index", good, INDEX, /^bad_input: .*served as/],
    [
      "that is an index too",
      text({ schemaVersion: 2, config, layers: [], manifests: [] }),
      OCI,
      /^bad_input: .*a manifest and an index/,
    ],
    ["nested without end", "[".repeat(100_000), OCI, /^bad_input/],
    [
      "of the first schema",
      text({ schemaVersion: 1, fsLayers: [] }),
      OCI,
      /^unsupported: .*schema 1/,
    ],
    [
      "with a path for a digest",
      text({ schemaVersion: 2, config: { ...config, digest: "sha256:../../x" }, layers: [] }),
      OCI,
      /^bad_input: .*no digest/,
    ],
    [
      "with a size below nothing",
      text({ schemaVersion: 2, config: { ...config, size: -1 }, layers: [] }),
      OCI,
      /^bad_input/,
    ],
    [
      "with a size beyond numbers",
      `{"schemaVersion":2,"layers":[],"config":${text(config).replace('"size":1', '"size":9223372036854775808')}}`,
      OCI,
      /^bad_input/,
    ],
    [
      "with a key twice",
      good.replace("{", '{"layers":1,').replace('"layers":[]', '"layers":{}'),
      OCI,
      /^bad_input/,
    ],
    ["that is not UTF-8", "\u00ff", OCI, /^(?:corrupt|bad_input)/],
  ];
  test.each(byTag)("%s is refused", async (_name, body, type, error) => {
    const bytes = body === "\u00ff" ? Uint8Array.of(0xff, 0xfe) : body;
    const server = await start(() => ({ body: bytes, headers: { "Content-Type": type } }));
    expect(
      await errorOf(getManifest(sessionAt(server.host), "1", undefined, "Cannot pull")),
    ).toMatch(error);
  });
});

group("a connection that is cut", () => {
  const content = Buffer.from("0123456789abcdef".repeat(4));
  const blob = describe(content);

  /** Serves ranges where it is honest about them; the first connection is cut as `first` says. */
  function ranges(first: Reply, honest = true): Handler {
    let count = 0;
    return ({ headers }) => {
      const cut = count++ === 0 ? first : {};
      const from = Number(/bytes=(\d+)-/.exec(headers.get("range") ?? "")?.[1] ?? 0);
      if (from === 0 || !honest) return { body: content, ...cut };
      const range = `bytes ${from}-${content.length - 1}/${content.length}`;
      const rest = content.subarray(from);
      return { status: 206, headers: { "Content-Range": range }, body: rest, ...cut };
    };
  }

  /** A cut that comes when the client has got what came before it. */
  function cutAfter(at: number) {
    const got = Promise.withResolvers<void>();
    if (at === 0) got.resolve();
    const onProgress = (bytes: number) => {
      if (bytes >= at) got.resolve();
    };
    return { reply: { cutAt: at, cutWhen: got.promise }, onProgress };
  }

  test("at any byte is taken up again, with and without ranges", async () => {
    for (let at = 0; at < content.length; at++) {
      for (const honest of [true, false]) {
        const { reply, onProgress } = cutAfter(at);
        const server = await start(ranges(reply, honest));
        const slept: number[] = [];
        const sessions = [sessionAt(server.host, slept)];
        const chunks: Uint8Array[] = [];
        for await (const chunk of blobBytes(sessions, blob, { signal, onProgress }))
          chunks.push(chunk);
        expect([at, Buffer.concat(chunks).toString()]).toEqual([at, content.toString()]);
        expect(slept).toEqual([250]);
        const ranged = server.seen.at(-1)?.headers.get("range");
        expect(ranged).toBe(at === 0 ? undefined : `bytes=${at}-`);
      }
    }
  });

  test("again and again is given up, each wait twice the last", async () => {
    const server = await start(() => ({ body: content, cutAt: 1 }));
    const slept: number[] = [];
    const error = await errorOf(readBlob([sessionAt(server.host, slept)], blob, 1000, { signal }));
    expect(error).toMatch(/^system: Cannot talk to 127/);
    expect(slept).toEqual([250, 500, 1000, 2000, 4000]);
  });

  test("goes on at the next place", async () => {
    const { reply, onProgress } = cutAfter(20);
    const [mirror, own] = [await start(ranges(reply)), await start(ranges({}))];
    const settings = "[transfer]\nretries = 0";
    const failed: string[] = [];
    const sessions = [sessionAt(mirror.host, [], undefined, settings), sessionAt(own.host)];
    const onFailure = (session: Session) => void failed.push(session.endpoint.registry);
    const bytes = await readBlob(sessions, blob, 1000, { signal, onFailure, onProgress });
    expect(Buffer.from(bytes)).toEqual(content);
    expect(failed).toEqual([mirror.host]);
    expect(own.seen[0]?.headers.get("range")).toBe("bytes=20-");
  });
});

group("a blob", () => {
  const content = "content of a blob";
  const blob = describe(content);
  const replies: [name: string, replies: Reply[], error: RegExp][] = [
    ["with other bytes", [{ body: "content of a blub" }], /^corrupt: .*hashes to/],
    ["that is longer", [{ body: `${content}!` }], /^corrupt: .*want 17 bytes, got 18/],
    ["that is shorter", [{ body: "content" }], /^corrupt: .*got 7 in all/],
    ["without end", [{ endless: true }], /^corrupt: .*got more/],
    [
      "that says another length than it has",
      [{ body: content, headers: { "Content-Length": "5" } }],
      /^corrupt: .*got 5/,
    ],
    [
      "that changes between two requests",
      [{ body: content, cutAt: 8 }, { body: "CONTENT OF A BLOB" }],
      /^corrupt: .*hashes to/,
    ],
    [
      "whose rest begins elsewhere",
      [
        { body: content, cutAt: 8 },
        { status: 206, headers: { "Content-Range": "bytes 9-16/17" }, body: "a blob" },
      ],
      /^corrupt/,
    ],
    [
      "whose rest is of something larger",
      [
        { body: content, cutAt: 8 },
        { status: 206, headers: { "Content-Range": "bytes 8-99/100" }, body: "of a blob" },
      ],
      /^corrupt/,
    ],
    [
      "with a range that nobody asked for",
      [{ status: 206, headers: { "Content-Range": "bytes 3-16/17" }, body: "tent of a blob" }],
      /^corrupt/,
    ],
  ];
  test.each(replies)("%s is refused", async (_name, list, error) => {
    const waiting = [...list];
    const server = await start(() => waiting.shift() ?? { status: 404 });
    expect(await errorOf(readBlob([sessionAt(server.host)], blob, 1000, { signal }))).toMatch(
      error,
    );
  });

  test("that would be too large is not asked for", async () => {
    const server = await start(() => ({ body: content }));
    expect(await errorOf(readBlob([sessionAt(server.host)], blob, 10, { signal }))).toMatch(
      /^corrupt/,
    );
    expect(server.seen).toEqual([]);
  });

  test("that drips, or stops, is given up", async () => {
    const slow = "[transfer]\nretries = 0\nstall-seconds = 1";
    const stopped = { body: "content", headers: { "Content-Length": "17" } };
    for (const [reply, size] of [
      [{ dripMs: 10 }, 1_000_000],
      [stopped, 17],
    ] as const) {
      const server = await start(() => reply);
      const session = sessionAt(server.host, [], undefined, slow);
      const error = await errorOf(readBlob([session], { ...blob, size }, 2_000_000, { signal }));
      expect(error).toMatch(/^system: .*stopped sending/);
    }
  });

  test("is no longer read when the caller has had enough", async () => {
    const server = await start(() => ({ endless: true }));
    const stop = new AbortController();
    const huge = { ...blob, size: Number.MAX_SAFE_INTEGER };
    const bytes = blobBytes([sessionAt(server.host)], huge, { signal: stop.signal });
    await bytes.next();
    stop.abort(new Error("enough"));
    const rest = async () => {
      for await (const _chunk of bytes);
    };
    await expect(rest()).rejects.toThrow("enough");
  });
});

group("an answer that may pass", () => {
  test("is waited for as long as the server wishes, within bounds", async () => {
    const blob = describe("x");
    const list: Reply[] = [
      { status: 429, headers: { "Retry-After": "7" } },
      { status: 503, headers: { "Retry-After": "99999" } },
      { status: 500 },
      { body: "x" },
    ];
    const server = await start(() => list.shift() ?? { status: 404 });
    const slept: number[] = [];
    await readBlob([sessionAt(server.host, slept)], blob, 10, { signal });
    expect(slept).toEqual([7000, 60_000, 1000]);
  });

  test("is an error in the end, and one that is final is not asked again", async () => {
    for (const [status, count] of [
      [503, 6],
      [400, 1],
      [501, 1],
    ] as const) {
      const server = await start(() => ({ status }));
      const error = await errorOf(
        getManifest(sessionAt(server.host), "1", undefined, "Cannot pull"),
      );
      expect(error).toContain(`answers ${status}`);
      expect(server.seen).toHaveLength(count);
    }
  });
});

group("what authorises us", () => {
  const authorised = (server: MadeServer) =>
    server.seen.filter(({ headers }) => headers.has("authorization") || headers.has("cookie"));
  const basic: Reply = { status: 401, headers: { "WWW-Authenticate": 'Basic realm="x"' } };

  test("does not follow a redirect to another host, and that host's challenge is not answered", async () => {
    for (const then of [{ body: "blob" } as Reply, basic]) {
      const other = await start(() => then);
      const server = await start(({ headers }) =>
        headers.has("authorization")
          ? { status: 307, headers: { Location: `http://${other.host}/blob`, "Set-Cookie": "a=b" } }
          : basic,
      );
      const session = sessionAt(server.host, [], credentialsFor(server.host, other.host));
      const error = await errorOf(readBlob([session], describe("blob"), 10, { signal }));
      expect(error).toMatch(then === basic ? /^no_permission: .*401/ : /^no error$/);
      expect(authorised(server)).toHaveLength(1);
      expect([other.seen.length, authorised(other)]).toEqual([1, []]);
    }
  });

  test("comes back to the host that it is for", async () => {
    const server = await start(({ path, headers }) => {
      if (!headers.has("authorization")) return basic;
      return path === "/there"
        ? { body: "blob" }
        : { status: 302, headers: { Location: "/there" } };
    });
    const session = sessionAt(server.host, [], credentialsFor(server.host));
    expect(
      Buffer.from(await readBlob([session], describe("blob"), 10, { signal })).toString(),
    ).toBe("blob");
  });

  test("is not in the address of a redirect either", async () => {
    const other = await start(() => ({ body: "blob" }));
    const server = await start(() => ({
      status: 302,
      headers: { Location: `http://u:p@${other.host}/` },
    }));
    await readBlob([sessionAt(server.host)], describe("blob"), 10, { signal });
    expect(authorised(other)).toEqual([]);
  });

  test("is not sent to a token server elsewhere, which still may give a token to nobody", async () => {
    const other = await start(() => ({ body: text({ token: "t" }) }));
    const server = await start(({ headers }) =>
      headers.get("authorization") === "Bearer t"
        ? { body: "blob" }
        : {
            status: 401,
            headers: {
              "WWW-Authenticate": `Bearer realm="http://${other.host}/token",service="s"`,
            },
          },
    );
    const session = sessionAt(server.host, [], credentialsFor(server.host, other.host));
    await readBlob([session], describe("blob"), 10, { signal });
    expect([other.seen.length, authorised(other)]).toEqual([1, []]);
    expect(other.seen[0]?.path).not.toContain("account");
  });

  test("goes to a token server that the settings allow, and not where that one redirects", async () => {
    const third = await start(() => ({ body: text({ token: "t" }) }));
    const other = await start(() => ({
      status: 302,
      headers: { Location: `http://${third.host}/` },
    }));
    const server = await start(({ headers }) =>
      headers.has("authorization")
        ? { body: "blob" }
        : {
            status: 401,
            headers: { "WWW-Authenticate": `Bearer realm="http://${other.host}/token"` },
          },
    );
    const settings = `[registry."${server.host}"]\ntoken-servers = ["${other.host}"]`;
    const session = sessionAt(server.host, [], credentialsFor(server.host), settings);
    await readBlob([session], describe("blob"), 10, { signal });
    expect(authorised(other)).toHaveLength(1);
    expect([third.seen.length, authorised(third)]).toEqual([1, []]);
  });

  test("is asked for again when a token has expired", async () => {
    let tokens = 0;
    const server: MadeServer = await start(({ path, headers }) => {
      if (path.startsWith("/token")) return { body: text({ access_token: `t${++tokens}` }) };
      const fresh = headers.get("authorization") === `Bearer t${tokens}` && tokens % 2 === 0;
      const challenge = `Bearer realm="http://${server.host}/token"`;
      return fresh ? { body: "blob" } : { status: 401, headers: { "WWW-Authenticate": challenge } };
    });
    const session = sessionAt(server.host);
    expect(await errorOf(readBlob([session], describe("blob"), 10, { signal }))).toContain("401");
    await readBlob([session], describe("blob"), 10, { signal });
    expect(tokens).toBe(2);
  });

  test("is no header when a token server gives lines", async () => {
    for (const body of [
      text({ token: "a\r\nX: y" }),
      text({ token: "" }),
      "[]",
      "null",
      "x",
      text({ token: 1 }),
    ]) {
      const server: MadeServer = await start(({ path }) =>
        path.startsWith("/token")
          ? { body }
          : {
              status: 401,
              headers: { "WWW-Authenticate": `Bearer realm="http://${server.host}/token"` },
            },
      );
      const error = await errorOf(
        readBlob([sessionAt(server.host)], describe("x"), 10, { signal }),
      );
      expect(error).toMatch(/^bad_input: .*the answer has none/);
    }
  });
});

test("redirects have an end", async () => {
  const server: MadeServer = await start(() => ({ status: 302, headers: { Location: "/again" } }));
  expect(await errorOf(readBlob([sessionAt(server.host)], describe("x"), 10, { signal }))).toMatch(
    /^system: .*more than 10 redirects/,
  );
  expect(server.seen).toHaveLength(11);
});

test("redirects lead to the web only", async () => {
  for (const to of ["file:///etc/passwd", "ftp://a/", "data:,x", "http://"]) {
    const server = await start(() => ({ status: 302, headers: { Location: to } }));
    expect(
      await errorOf(readBlob([sessionAt(server.host)], describe("x"), 10, { signal })),
    ).toMatch(/^system: .*no address/);
  }
});

test("a layer that registries must not have comes from its own address by TLS only, or not at all", async () => {
  const other = await start(() => ({ body: "layer" }));
  const server = await start(() => ({ status: 404 }));
  const foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  const layer = {
    ...describe("layer", foreign),
    urls: [`http://${other.host}/layer`, "file:///etc/passwd"],
  };
  const session = sessionAt(server.host, [], credentialsFor(server.host, other.host));
  expect(await errorOf(readBlob([session], layer, 10, { signal }))).toMatch(/^not_found/);
  const blocked = `[registry."${other.host}"]\nblocked = true`;
  const urls = [`https://${other.host}/layer`];
  const obeying = sessionAt(server.host, [], undefined, blocked);
  expect(await errorOf(readBlob([obeying], { ...layer, urls }, 10, { signal }))).toMatch(
    /^no_permission: .*the settings block it$/,
  );
  expect(other.seen).toEqual([]);
});

test("neither a redirect nor a mirror leads to a blocked host", async () => {
  const other = await start(() => ({ body: "blob" }));
  const blocked = `[registry."${other.host}"]\nblocked = true`;
  for (const status of [301, 302, 303, 307, 308]) {
    const headers = { Location: `http://${other.host}/blob` };
    const server = await start(() => ({ status, headers }));
    const obeying = sessionAt(server.host, [], undefined, blocked);
    expect(await errorOf(readBlob([obeying], describe("blob"), 10, { signal }))).toMatch(
      /^no_permission: .*the settings block it$/,
    );
    const free = sessionAt(server.host);
    const bytes = await readBlob([free], describe("blob"), 10, { signal });
    expect(Buffer.from(bytes).toString()).toBe("blob");
  }
  const seen = other.seen.length;
  expect(seen).toBe(5);
  // The second redirect of a chain, and one to the token server.
  const chain: MadeServer = await start(({ path }) =>
    path === "/next"
      ? { status: 302, headers: { Location: `http://${other.host}/blob` } }
      : { status: 302, headers: { Location: "/next" } },
  );
  const tokens = await start(() => ({
    status: 401,
    headers: { "WWW-Authenticate": `Bearer realm="http://${other.host}/token"` },
  }));
  for (const host of [chain.host, tokens.host]) {
    const obeying = sessionAt(host, [], undefined, blocked);
    expect(await errorOf(readBlob([obeying], describe("blob"), 10, { signal }))).toMatch(
      /^no_permission: /,
    );
  }
  const own = await start(() => ({ body: "blob" }));
  const mirrors = `[registry."${own.host}"]\nmirrors = ["http://${other.host}"]\n${blocked}`;
  const client = makeTestClient(mirrors, [], undefined);
  const { sessions } = new Sources(client, parseReference(`${own.host}/a/b`), { signal });
  const bytes = await readBlob(sessions, describe("blob"), 10, { signal });
  expect(Buffer.from(bytes).toString()).toBe("blob");
  expect(other.seen).toHaveLength(seen);
});
