/** What is said of images: `image inspect`, `history`, `image tree`, filters and templates of `images`. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mustSucceed } from "../harness/fixtures.ts";
import { IMAGE_CONFIG, IMAGE_NAME, IMAGE_TAG, images } from "../harness/images.ts";
import { run } from "../harness/run.ts";
import { type Cli, IMAGE, openLoadedCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(120_000);

const NAME = `${IMAGE_NAME}:${IMAGE_TAG}`;

async function openCli(): Promise<Cli> {
  const cli = await openLoadedCli();
  mustSucceed(await cli.tare(["load", "-i", (await images()).dockerArchive]));
  return cli;
}

const said = async (cli: Cli, ...words: string[]) => mustSucceed(await cli.tare(words)).stdout;

test("inspect has docker's fields, and what skopeo says of the same image", async () => {
  const cli = await openCli();
  const [image] = JSON.parse(await said(cli, "image", "inspect", NAME));
  const { dockerArchive } = await images();
  const theirs = JSON.parse(
    mustSucceed(await run(["skopeo", "inspect", "--config", `docker-archive:${dockerArchive}`]))
      .stdout,
  );
  expect(image.Id).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(image.RepoTags).toEqual([NAME]);
  expect(image.Config.Env).toEqual(IMAGE_CONFIG.Env);
  expect(image.RootFS).toEqual({ Type: "layers", Layers: theirs.rootfs.diff_ids });
  expect([image.Created, image.Os, image.Architecture, image.Author]).toEqual([
    theirs.created,
    theirs.os,
    theirs.architecture,
    theirs.author,
  ]);
  expect(image.Size).toBeGreaterThan(1_000_000);
  expect(Object.keys(image)).toEqual(
    expect.arrayContaining(["RepoDigests", "Parent", "Comment", "GraphDriver", "Metadata"]),
  );
});

test("templates print what people ask of docker", async () => {
  const cli = await openCli();
  const inspect = (format: string) => said(cli, "image", "inspect", "--format", format, NAME);
  expect(await inspect("{{.Os}}/{{.Architecture}}")).toBe("linux/amd64\n");
  expect(await inspect("{{json .Config.Cmd}}")).toBe(`${JSON.stringify(IMAGE_CONFIG.Cmd)}\n`);
  expect(await inspect('{{index .Config.Labels "test.label"}}')).toBe("value\n");
  expect(await inspect("{{range .Config.Env}}{{println .}}{{end}}")).toBe(
    `${IMAGE_CONFIG.Env.join("\n")}\n\n`,
  );
  expect(await inspect("{{len .RootFS.Layers}}")).toBe("2\n");
  const wrong = await cli.tare(["image", "inspect", "-f", "{{.NoSuch}}", NAME]);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('no field "NoSuch"')]);
  const some = await cli.tare(["image", "inspect", "-f", "{{.Os}}", "no-such", NAME]);
  expect([some.code, some.stdout]).toEqual([1, "linux\n"]);
});

test("images can be filtered, and printed by a template or a table of one", async () => {
  const cli = await openCli();
  const names = (...filters: string[]) =>
    said(
      cli,
      "images",
      "--format",
      "{{.Repository}}:{{.Tag}}",
      ...filters.flatMap((it) => ["-f", it]),
    );
  const both = [`${IMAGE}:latest`, NAME];
  expect((await names()).trim().split("\n").sort()).toEqual([...both].sort());
  expect(await names("label=test.label")).toBe(`${NAME}\n`);
  expect(await names("label=test.label=other")).toBe("");
  expect(await names("reference=busy*")).toBe(`${IMAGE}:latest\n`);
  expect(await names("reference=*/*/busybox:1.?")).toBe(`${NAME}\n`);
  expect(await names(`before=${IMAGE}`)).toBe(`${NAME}\n`);
  expect(await names(`since=${NAME}`)).toBe(`${IMAGE}:latest\n`);
  expect(await names("until=2025-01-01")).toBe(`${NAME}\n`);
  expect(await names("dangling=true")).toBe("");
  mustSucceed(await cli.tare(["tag", NAME, IMAGE]));
  expect(await names("dangling=true")).toBe("<none>:<none>\n");
  const table = await said(cli, "images", "--format", "table {{.Repository}}\\t{{.Tag}}", NAME);
  expect(table.split("\n")[0]).toMatch(/^REPOSITORY +TAG$/);
  const wrong = await cli.tare(["images", "-f", "colour=red"]);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("no such filter")]);
});

test("history and tree show the steps and the layers", async () => {
  const cli = await openCli();
  const steps = (await said(cli, "history", "--no-trunc", "--format", "json", NAME))
    .trim()
    .split("\n");
  const rows = steps.map((line) => JSON.parse(line));
  expect(rows.length).toBeGreaterThanOrEqual(2);
  expect(rows[0].ID).toBe((await said(cli, "images", "-q", "--no-trunc", NAME)).trim());
  expect(rows[1].ID).toBe("<missing>");
  expect(await said(cli, "history", "-q", NAME)).toContain("<missing>\n");
  const bytes = await said(cli, "history", "-H=false", "--format", "{{.Size}}", NAME);
  const total = bytes
    .trim()
    .split("\n")
    .reduce((sum, text) => sum + Number(text), 0);
  expect(`${total}\n`).toBe(await said(cli, "image", "inspect", "-f", "{{.Size}}", NAME));
  expect(await said(cli, "history", NAME)).toMatch(/^IMAGE +CREATED +CREATED BY +SIZE +COMMENT\n/);
  const tree = await said(cli, "image", "tree", NAME);
  expect(tree).toMatch(/├── ID: [0-9a-f]{12} Size: .*\n└── ID: [0-9a-f]{12} .* Top Layer of: \[/);
  expect(await said(cli, "images", "--tree", NAME)).toBe(tree);
  mustSucceed(await cli.tare(["tag", NAME, "twice"]));
  const all = await said(cli, "images", "--tree");
  // An image with two names is one tree.
  const trees = await Promise.all([NAME, IMAGE].map((name) => said(cli, "image", "tree", name)));
  expect(
    all
      .split("\n\n")
      .map((text) => text.trim())
      .sort(),
  ).toEqual(trees.map((text) => text.trim()).sort());
  const odd = await cli.tare(["images", "--tree", "-q"]);
  expect([odd.code, odd.stderr]).toEqual([1, expect.stringContaining("--tree goes with none")]);
});
