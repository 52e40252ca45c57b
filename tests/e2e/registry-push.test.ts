/** `push`, `login` and `logout`: what we put into a registry, other tools take out, and who may. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeAuthority, makeCertificate } from "../harness/certificates.ts";
import { startCountingProxy } from "../harness/counting-proxy.ts";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_TAG, images } from "../harness/images.ts";
import { PASSWORD, skopeoCopy, startRegistry, USER } from "../harness/registry.ts";
import { run } from "../harness/run.ts";
import { startTokenServer } from "../harness/token-server.ts";
import { openCli } from "./cli-scene.ts";

setDefaultTimeout(240_000);

/** A manifest of one layer, and the headers of a few requests. */
const REQUESTS_BYTES_MAX = 8 * 1024;

const sent = (output: string) => output.split("\n").filter((line) => line.endsWith(": Pushed"));

test("an imported image goes to a registry once, and skopeo and podman read it", async () => {
  const cli = await openCli();
  const { host, requests } = await startRegistry(cli.scene);
  const { rootTarball } = await images();
  const name = `${host}/test/imported:1`;
  await cli.tare(["import", "-c", 'CMD ["/bin/sh"]', rootTarball, name]);
  const first = await cli.tare(["push", name]);
  expect([first.stderr, first.code]).toEqual(["", 0]);
  const repository = `The push refers to repository [${host}/test/imported]`;
  expect(first.stdout).toStartWith(`${repository}\n`);
  expect(sent(first.stdout)).toHaveLength(1);
  const digest = /^1: digest: (sha256:[0-9a-f]{64}) size: \d+$/m.exec(first.stdout)?.[1] ?? "none";

  const before = requests().length;
  const second = await cli.tare(["push", name]);
  expect(second.stdout).toContain(": Layer already exists\n");
  expect(second.stdout).toContain(digest);
  const moved = requests()
    .slice(before)
    .filter(({ method }) => method === "PATCH" || method === "POST");
  expect(moved).toEqual([]);

  const copy = join(cli.scene.dir, "copy");
  await skopeoCopy(`docker://${name}`, `dir:${copy}`);
  const manifest = readFileSync(join(copy, "manifest.json"));
  expect(`sha256:${new Bun.CryptoHasher("sha256").update(manifest).digest("hex")}`).toBe(digest);
  const roots = ["--root", join(cli.scene.dir, "p"), "--runroot", join(cli.scene.dir, "pr")];
  const podman = ["podman", ...roots, "--storage-driver", "vfs"];
  mustSucceed(
    await run([...podman, "pull", "--quiet", "--tls-verify=false", name], { timeoutMs: 120_000 }),
  );
  const listed = await run([...podman, "images", "--digests", "--format", "{{.Digest}}"]);
  expect(listed.stdout.trim()).toBe(digest);
});

test("a push of what is there sends requests and a manifest, and no byte of a layer", async () => {
  const cli = await openCli();
  const registry = await startRegistry(cli.scene);
  const { host, sent: bytes } = await startCountingProxy(cli.scene, registry.host);
  const { rootTarball } = await images();
  const name = `${host}/test/counted:1`;
  mustSucceed(await cli.tare(["import", rootTarball, name]));
  mustSucceed(await cli.tare(["push", name]));
  const first = bytes();
  expect(first).toBeGreaterThan(10 * REQUESTS_BYTES_MAX);
  mustSucceed(await cli.tare(["push", name]));
  expect(bytes() - first).toBeGreaterThan(0);
  expect(bytes() - first).toBeLessThan(REQUESTS_BYTES_MAX);
});

test("what was pulled goes back as it is; a layer goes from one repository to another by a mount", async () => {
  const cli = await openCli();
  const { host } = await startRegistry(cli.scene);
  const { ociLayout, rootTarball } = await images();
  const name = `${host}/test/busybox:1.0`;
  await skopeoCopy(`oci:${ociLayout}:${IMAGE_TAG}`, `docker://${name}`);
  const pulled = await cli.tare(["pull", name]);
  const digest = /^Digest: (.*)$/m.exec(pulled.stdout)?.[1] ?? "none";
  const back = await cli.tare(["push", name]);
  expect(back.stdout.match(/: Layer already exists$/gm)).toHaveLength(2);
  expect(back.stdout).toContain(`1.0: digest: ${digest} size: `);

  for (const repository of ["one", "two"]) {
    await cli.tare(["import", rootTarball, `${host}/test/${repository}:1`]);
  }
  expect(sent((await cli.tare(["push", `${host}/test/one:1`])).stdout)).toHaveLength(1);
  const mounted = await cli.tare(["push", `${host}/test/two:1`]);
  expect(mounted.stdout).toMatch(/: Mounted from test\/one$/m);
});

test("login tries a password before it keeps it, and logout forgets it", async () => {
  const cli = await openCli();
  const { host } = await startRegistry(cli.scene, { password: true });
  const { rootTarball } = await images();
  const config = join(cli.scene.dir, "docker");
  const tare = (...words: string[]) => cli.tare(["--config", config, ...words]);
  const login = (word: string) =>
    cli.tare(["--config", config, "login", "-u", USER, "--password-stdin", host], {
      stdin: `${word}\n`,
    });
  const name = `${host}/test/secret:1`;
  await cli.tare(["import", rootTarball, name]);

  const anonymous = await tare("push", name);
  expect([anonymous.code, anonymous.stderr]).toEqual([
    1,
    `tare: Cannot use ${host} without a login\n  hint: tare login ${host}\n`,
  ]);
  const wrong = await login("wrong");
  expect([wrong.code, wrong.stdout]).toEqual([1, ""]);
  expect(wrong.stderr).toMatch(
    /^tare: Cannot log in at .*\n {2}hint: The name or the password is wrong/,
  );
  expect(() => statSync(join(config, "config.json"))).toThrow();
  const right = await login(PASSWORD);
  expect([right.code, right.stdout]).toEqual([0, "Login Succeeded\n"]);
  expect(right.stderr).not.toContain(PASSWORD);
  expect(statSync(join(config, "config.json")).mode & 0o777).toBe(0o600);
  expect((await tare("push", name)).code).toBe(0);
  // Docker's own client reads the same file; skopeo does, too.
  const authFile = ["--src-authfile", join(config, "config.json")];
  await skopeoCopy(`docker://${name}`, `dir:${join(cli.scene.dir, "copy")}`, ...authFile);
  expect((await tare("logout", host)).stdout).toBe(`Removing login credentials for ${host}\n`);
  expect((await tare("logout", host)).stdout).toBe(`Not logged in to ${host}\n`);
  expect((await tare("pull", name)).code).toBe(1);
});

test("tokens are asked for with the scope that is needed, the password only where it may go", async () => {
  const cli = await openCli();
  const authority = await makeAuthority(join(cli.scene.dir, "ca"));
  const signer = await makeCertificate(authority, "signer", "DNS:localhost");
  const server = startTokenServer(signer);
  cli.scene.defer(() => server.stop());
  const { realm, service } = server;
  const { host } = await startRegistry(cli.scene, {
    tokens: { realm, service, certificate: signer },
  });
  const config = join(cli.scene.dir, "docker");
  const settings = join(cli.scene.dir, "registries.toml");
  writeFileSync(settings, `[registry."${host}"]\ntoken-servers = ["${server.host}"]\n`);
  const login = ["login", "-u", USER, "--password-stdin", host];
  const stdin = PASSWORD;

  // The token server is another port of this machine: without a word in the settings it gets nothing.
  const withheld = await cli.tare(["--config", config, ...login], { stdin });
  expect(withheld.code).toBe(1);
  expect(withheld.stderr).toContain("token-servers");
  expect(
    server.requests.map(({ authorization }) => authorization).filter((text) => text !== null),
  ).toEqual([]);

  const tare = (words: string[], options = {}) =>
    cli.tare(["--config", config, "--registries", settings, ...words], options);
  const wrong = await tare(login, { stdin: "wrong" });
  expect([wrong.code, wrong.stdout]).toEqual([1, ""]);
  expect(wrong.stderr).toContain("hint: The name or the password is wrong");
  expect((await tare(login, { stdin })).stdout).toBe("Login Succeeded\n");
  const { rootTarball } = await images();
  const name = `${host}/test/token:1`;
  await cli.tare(["import", rootTarball, name]);
  const pushed = await tare(["push", name]);
  expect([pushed.stderr, pushed.code]).toEqual(["", 0]);
  expect(server.requests.at(-1)?.scopes).toContain("repository:test/token:pull,push");
  expect((await tare(["logout", host])).code).toBe(0);
  await cli.tare(["rmi", name]);
  expect((await tare(["pull", name])).code).toBe(0);
  expect(server.requests.at(-1)).toEqual({
    authorization: null,
    scopes: ["repository:test/token:pull"],
  });
});

test("a login keeps the identity token in place of the password, and docker's is exchanged for tokens", async () => {
  const cli = await openCli();
  const authority = await makeAuthority(join(cli.scene.dir, "ca"));
  const signer = await makeCertificate(authority, "signer", "DNS:localhost");
  const server = startTokenServer(signer, { identity: true });
  cli.scene.defer(() => server.stop());
  const { realm, service } = server;
  const { host } = await startRegistry(cli.scene, {
    tokens: { realm, service, certificate: signer },
  });
  const settings = join(cli.scene.dir, "registries.toml");
  writeFileSync(settings, `[registry."${host}"]\ntoken-servers = ["${server.host}"]\n`);
  const at = (config: string, words: string[], options = {}) =>
    cli.tare(
      ["--config", join(cli.scene.dir, config), "--registries", settings, ...words],
      options,
    );
  const login = await at("own", ["login", "-u", USER, "--password-stdin", host], {
    stdin: PASSWORD,
  });
  expect([login.code, login.stdout, login.stderr]).toEqual([0, "Login Succeeded\n", ""]);
  const text = readFileSync(join(cli.scene.dir, "own/config.json"), "utf8");
  expect(JSON.parse(text).auths[host].identitytoken).toBe(server.identityTokens[0] ?? "");
  expect(text).not.toContain(Buffer.from(`${USER}:${PASSWORD}`).toString("base64"));

  const name = `${host}/test/identity:1`;
  await cli.tare(["import", (await images()).rootTarball, name]);
  const pushed = await at("own", ["push", name]);
  expect([pushed.stderr, pushed.code]).toEqual(["", 0]);
  const last = server.requests.at(-1);
  expect(last?.authorization).toBe(null);
  expect(last?.scopes).toContain("repository:test/identity:pull,push");
  // As docker writes it; one that the server does not know is no way in.
  for (const [config, identitytoken, code] of [
    ["docker", server.identityTokens[0], 0],
    ["wrong", "made-up", 1],
  ] as const) {
    mkdirSync(join(cli.scene.dir, config));
    const auth = Buffer.from("00000000-0000-0000-0000-000000000000:").toString("base64");
    const auths = { [host]: { auth, identitytoken } };
    writeFileSync(join(cli.scene.dir, config, "config.json"), JSON.stringify({ auths }));
    expect([config, (await at(config, ["push", name])).code]).toEqual([config, code]);
  }
});
