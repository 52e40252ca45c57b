/**
 * Registries that lie, as the whole engine meets them: one clear error, and the store as it was. How the
 * client reads from such is tested beside it (hostile-download.test.ts, upload.test.ts).
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MadeServer, type Reply } from "../../packages/engine/src/registry/made-server.ts";
import { makeAuthority, makeCertificate } from "../harness/certificates.ts";
import { IMAGE_TAG, images } from "../harness/images.ts";
import { skopeoCopy, startRegistry } from "../harness/registry.ts";
import { Served } from "../harness/served-image.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(240_000);

const FILE = [{ name: "file", data: "content" }];
const NO_DIGEST = `sha256:${"0".repeat(64)}`;

async function serve(cli: Cli, served: Served, odd?: (path: string) => Reply | undefined) {
  const server = await MadeServer.start(served.handler(odd));
  cli.scene.defer(() => server[Symbol.asyncDispose]());
  return server;
}

/** What is in the store but its database and its reserve of space. */
const content = (cli: Cli) =>
  cli.inventory().filter((line) => !line.includes("/tare.db") && !line.includes("/reserve "));

test("what is not what it says is refused, and nothing of it stays", async () => {
  const cli = await openCli();
  const served = new Served();
  const good = served.image([FILE]);
  served.tag("good", good);
  served.tag(
    "diff",
    served.image([FILE, [{ name: "b", data: "b" }]], { diffIds: [NO_DIGEST, NO_DIGEST] }),
  );
  served.tag("fewer", served.image([FILE], { diffIds: [NO_DIGEST, NO_DIGEST] }));
  const size =
    (by: number) =>
    ({ layers: [first, ...rest] }: { layers: { size: number }[] }) => ({
      layers: [{ ...first, size: (first?.size ?? 0) + by }, ...rest],
    });
  for (const [tag, by] of [
    ["longer", 1],
    ["shorter", -1],
  ] as const) {
    served.tag(tag, served.image([FILE], { spoil: (m) => ({ ...m, ...size(by)(m) }) }));
  }
  served.tag("huge", served.image([FILE], { spoil: (m) => ({ ...m, ...size(2 ** 50)(m) }) }));
  served.tag("other", served.image([FILE], { platform: { os: "linux", architecture: "s390x" } }));
  served.tag("no-layer", served.add(Buffer.from("no tar"), "application/octet-stream"));
  let nested = good;
  for (let depth = 0; depth < 6; depth++)
    nested = served.index([{ ...nested, platform: good.platform }]);
  served.tag("nested", nested);
  served.tag("none", served.index([{ ...good, platform: { os: "linux", architecture: "arm" } }]));
  const server = await serve(cli, served);
  // The first command makes what every store has.
  expect((await cli.tare(["images"])).code).toBe(0);
  const before = content(cli);
  for (const [tag, message] of [
    ["diff", /hashes to/],
    ["fewer", /its manifest has 1 layers, its configuration 2/],
    ["longer", /want \d+ bytes, got \d+ in all/],
    ["shorter", /want \d+ bytes, got \d+ in all/],
    ["huge", /no room on the disk/],
    ["other", /it is for linux\/s390x, this machine is linux\/amd64/],
    ["no-layer", /Cannot read the image manifest/],
    ["nested", /nested too deeply/],
    ["none", /there is none for linux\/amd64/],
    ["absent", /answers 404/],
  ] as const) {
    const ran = await cli.tare(["pull", "-q", `${server.host}/a/b:${tag}`]);
    expect([tag, ran.code, ran.stdout]).toEqual([tag, 1, ""]);
    expect(ran.stderr).toMatch(message);
    expect(ran.stderr.split("\n").length).toBeLessThanOrEqual(3);
    if (existsSync(join(cli.dataRoot, "tmp")))
      expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
  }
  expect(content(cli).filter((line) => / 100[0-7]{3}$/.test(line))).toEqual(
    before.filter((line) => / 100[0-7]{3}$/.test(line)),
  );
  expect((await cli.tare(["pull", "-q", `${server.host}/a/b:good`])).code).toBe(0);
});

test("the platform that was asked for is chosen, the nearest variant where there are several", async () => {
  const cli = await openCli();
  const served = new Served();
  const arm = (variant: string) =>
    served.image([[{ name: variant, data: variant }]], {
      platform: { os: "linux", architecture: "arm", variant },
    });
  const [v5, v6, v7] = [arm("v5"), arm("v6"), arm("v7")];
  const index = served.index([v5, v6, v7, served.image([FILE])]);
  served.tag("1", index);
  const server = await serve(cli, served);
  const name = `${server.host}/a/b:1`;
  for (const [platform, want] of [
    ["linux/arm/v6", v6],
    ["linux/arm/v7", v7],
    ["linux/arm64", v7],
  ] as const) {
    server.seen.length = 0;
    const pulled = await cli.tare(["pull", "--platform", platform, name]);
    expect([platform, pulled.code]).toEqual([platform, 0]);
    expect(pulled.stdout).toContain(`Digest: ${index.digest}\n`);
    const manifests = server.seen
      .map(({ path }) => path)
      .filter((path) => path.includes("/manifests/sha256"));
    expect(manifests).toEqual([`/v2/a/b/manifests/${want.digest}`]);
  }
  expect((await cli.tare(["pull", "--platform", "linux/riscv64", name])).stderr).toContain(
    "hint: It is there for linux/arm/v5, linux/arm/v6, linux/arm/v7, linux/amd64\n",
  );
  expect((await cli.tare(["pull", "-q", `${server.host}/a/b@${index.digest}`])).code).toBe(0);
});

test("a mirror that lies, or is not there, is passed over; one that is right is enough", async () => {
  const cli = await openCli();
  const served = new Served();
  const image = served.image([FILE]);
  served.tag("1", image);
  const own = await serve(cli, served);
  const layer = [...served.content.keys()][0] ?? "";
  const wrong = Buffer.alloc(served.content.get(layer)?.bytes.length ?? 0);
  const liar = await serve(cli, served, (path) =>
    path.endsWith(layer) ? { body: wrong } : undefined,
  );
  const good = await serve(cli, served);
  const settings = join(cli.scene.dir, "registries.toml");
  const mirrors = (...hosts: string[]) =>
    writeFileSync(
      settings,
      `[transfer]\nretries = 0\n[registry."docker.io"]\nurl = "http://${own.host}"\nmirrors = [${hosts.map((host) => `"http://${host}/hub"`)}]\n`,
    );
  const pull = async () => {
    const ran = await cli.tare(["--registries", settings, "pull", "small:1"]);
    await cli.tare(["rmi", "small:1"]);
    return ran;
  };
  for (const bad of [liar.host, "127.0.0.1:1"]) {
    mirrors(bad);
    const pulled = await pull();
    expect([bad, pulled.stderr, pulled.code]).toEqual([bad, "", 0]);
    expect(pulled.stdout).toContain(`Mirror `);
    expect(pulled.stdout).toEndWith("docker.io/library/small:1\n");
  }
  own.seen.length = 0;
  mirrors("127.0.0.1:1", good.host);
  expect((await pull()).code).toBe(0);
  expect([own.seen.length, good.seen[0]?.path]).toEqual([0, "/v2/hub/library/small/manifests/1"]);
});

test("TLS has to hold, and leads to no plain text", async () => {
  const cli = await openCli();
  const authority = await makeAuthority(join(cli.scene.dir, "ca"));
  const tls = await makeCertificate(authority, "registry", "DNS:registry.test,IP:127.0.0.1");
  const { host } = await startRegistry(cli.scene, { tls });
  const { ociLayout } = await images();
  await skopeoCopy(`oci:${ociLayout}:${IMAGE_TAG}`, `docker://${host}/test/busybox:1.0`);
  const plain = await MadeServer.start(() => ({ body: "{}" }));
  cli.scene.defer(() => plain[Symbol.asyncDispose]());
  const redirecting = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1" },
    tls: { cert: Bun.file(tls.certificate), key: Bun.file(tls.key) },
    fetch: () =>
      new Response(null, { status: 307, headers: { Location: `http://${plain.host}/` } }),
  });
  cli.scene.defer(() => redirecting.stop(true));

  const settings = join(cli.scene.dir, "registries.toml");
  // Loopback addresses need no certificate: the registry gets a name that is none.
  const write = (url: string, more: string) =>
    writeFileSync(
      settings,
      `[transfer]\nretries = 0\n[registry."registry.test"]\nurl = "${url}"\n${more}`,
    );
  const pull = () =>
    cli.tare(["--registries", settings, "pull", "-q", "registry.test/test/busybox:1.0"]);
  write(`https://${host}`, "");
  const unknown = await pull();
  expect([unknown.code, unknown.stderr]).toEqual([
    1,
    expect.stringContaining("signed by an unknown authority"),
  ]);
  const trusted = `[registry."HOST"]\nca = ["${authority.certificate}"]\n`;
  write(`https://${host}`, trusted.replace("HOST", host));
  expect((await pull()).code).toBe(0);
  await cli.tare(["rmi", "registry.test/test/busybox:1.0"]);
  const moved = `127.0.0.1:${redirecting.port}`;
  write(`https://${moved}`, trusted.replace("HOST", moved));
  const sent = await pull();
  expect([sent.code, sent.stderr]).toEqual([1, expect.stringContaining("without TLS")]);
  expect(plain.seen).toEqual([]);
});

test("a pull that is ended leaves nothing, and one that is killed nothing that the next command does not take", async () => {
  const cli = await openCli();
  const served = new Served();
  served.tag("1", served.image([FILE]));
  let waiting: (() => void) | undefined;
  const server = await serve(cli, served, (path) => {
    if (!path.includes("/blobs/") || waiting === undefined) return undefined;
    waiting();
    return { body: "x", headers: { "Content-Length": "100" } };
  });
  const name = `${server.host}/a/b:1`;
  for (const [killer, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGKILL", null],
  ] as const) {
    const reached = Promise.withResolvers<void>();
    waiting = () => reached.resolve();
    const running = cli.tare(["pull", name], {
      onStart: (pid) => void reached.promise.then(() => process.kill(pid, killer)),
    });
    expect([killer, (await running).code]).toEqual([killer, status]);
    if (killer !== "SIGKILL") expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
  }
  waiting = undefined;
  expect((await cli.tare(["pull", "-q", name])).code).toBe(0);
  expect(readdirSync(join(cli.dataRoot, "tmp"))).toEqual([]);
});

test("an artifact is kept as it is", async () => {
  const cli = await openCli();
  const served = new Served();
  const empty = served.add("{}", "application/vnd.oci.empty.v1+json");
  const part = served.add("any bytes", "text/plain");
  const manifest = {
    ...{ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json" },
    ...{ artifactType: "application/vnd.test", config: empty, layers: [part] },
  };
  const artifact = served.add(JSON.stringify(manifest), manifest.mediaType);
  served.tag("1", artifact);
  const server = await serve(cli, served);
  const name = `${server.host}/a/b:1`;
  const pulled = await cli.tare(["pull", name]);
  expect([pulled.stderr, pulled.code]).toEqual(["", 0]);
  expect(pulled.stdout).toContain(`Digest: ${artifact.digest}\n`);
  expect(readdirSync(join(cli.dataRoot, "blobs/sha256")).sort()).toEqual(
    [empty, part, artifact].map(({ digest }) => digest.slice(7)).sort(),
  );
});

test("a layer that is called a configuration is not read as one", async () => {
  const cli = await openCli();
  const served = new Served();
  const layer = Buffer.alloc(6 << 20, 1);
  served.tag("good", served.image([[{ name: "large", data: layer.toString("latin1") }]]));
  const [large = ""] = served.content.keys();
  const known = { digest: large, size: served.content.get(large)?.bytes.length ?? 0 };
  const spoil = (m: { config: object }) => ({ ...m, config: { ...m.config, ...known } });
  served.tag("bad", served.image([FILE], { spoil }));
  const small = (m: { config: object }) => ({ ...m, config: { ...m.config, ...known, size: 10 } });
  served.tag("small", served.image([FILE], { spoil: small }));
  const server = await serve(cli, served);
  expect((await cli.tare(["pull", "-q", `${server.host}/a/b:good`])).code).toBe(0);
  for (const [tag, message] of [
    ["bad", /Cannot read blob ".*": it has \d{7} bytes/],
    ["small", /want 10 bytes, got/],
  ] as const) {
    const ran = await cli.tare(["pull", "-q", `${server.host}/a/b:${tag}`]);
    expect([tag, ran.code, ran.stderr]).toEqual([tag, 1, expect.stringMatching(message)]);
  }
});

test("what is damaged in the store is fetched again by a pull", async () => {
  const cli = await openCli();
  const served = new Served();
  const image = served.image([FILE]);
  served.tag("1", image);
  const server = await serve(cli, served);
  const name = `${server.host}/a/b:1`;
  expect((await cli.tare(["pull", "-q", name])).code).toBe(0);
  const [, config = ""] = served.content.keys();
  const documents = [config, image.digest].map((digest) =>
    join(cli.dataRoot, "blobs/sha256", digest.slice(7)),
  );
  const before = documents.map((path) => readFileSync(path, "utf8"));
  for (const [index, path] of documents.entries())
    writeFileSync(path, "x".repeat(before[index]?.length ?? 0));
  expect((await cli.tare(["pull", "-q", name])).code).toBe(0);
  expect(documents.map((path) => readFileSync(path, "utf8"))).toEqual(before);
});

test("words of a registry do not steer a terminal, and come as they are through a pipe", async () => {
  const cli = await openCli();
  const served = new Served();
  const title = "a\u009b2Jb\u202ec";
  const spoil = (manifest: object) => ({ ...manifest, annotations: { title } });
  served.tag("1", served.image([FILE], { spoil }));
  const server = await serve(cli, served);
  for (const flags of [[], ["--raw"]]) {
    const words = ["manifest", "inspect", ...flags, `${server.host}/a/b:1`];
    const piped = await cli.tare(words);
    expect([piped.code, piped.stdout]).toEqual([0, expect.stringContaining(title)]);
    const shown = await cli.onTerminal(words, {});
    expect([shown.code, shown.stdout]).toEqual([0, expect.stringContaining("a\\u009b2Jb\\u202ec")]);
    expect(shown.stdout).not.toContain("\u009b");
  }
});
