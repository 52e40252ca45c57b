/** `tare import` of an address: what registries are refused, web servers are refused, too. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { MadeServer, type Reply } from "../../packages/engine/src/registry/made-server.ts";
import { images } from "../harness/images.ts";
import { tarball } from "../harness/tarball.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(180_000);

async function serve(cli: Cli, answer: (path: string) => Reply | "cut"): Promise<MadeServer> {
  const server = await MadeServer.start(({ path }) => answer(path));
  cli.scene.defer(() => server[Symbol.asyncDispose]());
  return server;
}

test("an image is made of a tarball of a web server, also after redirects", async () => {
  const cli = await openCli();
  const root = gzipSync(readFileSync((await images()).rootTarball));
  const end = await serve(cli, () => ({ body: root }));
  const start = await serve(cli, (path) =>
    path === "/here"
      ? { status: 302, headers: { Location: "/there" } }
      : { status: 307, headers: { Location: `http://${end.host}/root.tar.gz` } },
  );
  const made = await cli.tare(["import", `http://${start.host}/here?a=secret`, "busybox"]);
  expect([made.code, made.stderr]).toEqual([0, `Downloading from http://${start.host}/here\n`]);
  expect(made.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  const ran = await cli.run("busybox", "sh", "-c", "echo up");
  expect(ran.stdout).toBe("up\n");
  expect(end.seen.map(({ headers }) => headers.get("authorization"))).toEqual([undefined]);
});

test("what is no whole tarball makes no image and leaves nothing", async () => {
  const cli = await openCli();
  const whole = tarball([{ name: "file", data: "x".repeat(3000) }]);
  const rows: [name: string, reply: Reply | "cut", why: string][] = [
    ["nothing there", { status: 404 }, "answers 404"],
    ["refused", { status: 403 }, "answers 403"],
    ["an empty answer", { body: "" }, "the tarball is empty"],
    ["cut off", { body: whole, cutAt: 1500 }, "connection"],
    ["no archive", { body: "<html>".repeat(200) }, "Cannot"],
    [
      "a redirect to a file",
      { status: 302, headers: { Location: "file:///etc/passwd" } },
      "no address",
    ],
    ["redirects without end", { status: 302, headers: { Location: "/again" } }, "redirects"],
  ];
  await cli.tare(["images"]);
  const before = cli.inventory();
  for (const [name, reply, why] of rows) {
    const server = await serve(cli, () => reply);
    const settings = join(cli.scene.dir, "registries.toml");
    writeFileSync(settings, "[transfer]\nretries = 0\n");
    const words = ["--registries", settings, "import", `http://${server.host}/x`, "made"];
    const { code, stderr } = await cli.tare(words);
    expect([name, code, stderr]).toEqual([name, 1, expect.stringContaining(why)]);
    expect([name, cli.inventory()]).toEqual([name, before]);
  }
});

test("a blocked host, and an address with a password, are not asked", async () => {
  const cli = await openCli();
  const server = await serve(cli, () => ({ body: tarball([{ name: "f", data: "f" }]) }));
  const settings = join(cli.scene.dir, "registries.toml");
  writeFileSync(settings, `[registry."${server.host}"]\nblocked = true\n`);
  const tare = (word: string) => cli.tare(["--registries", settings, "import", word]);
  expect((await tare(`http://${server.host}/x`)).stderr).toContain("the settings block it");
  const away = await serve(cli, () => ({
    status: 302,
    headers: { Location: `http://${server.host}/x` },
  }));
  expect((await tare(`http://${away.host}/x`)).stderr).toContain("the settings block it");
  expect((await tare("http://user:word@127.0.0.1/x")).stderr).toContain("a password in it");
  expect(server.seen).toEqual([]);
});
