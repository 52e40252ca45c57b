/** What is said of images: `inspect`, `history`, `image tree`, `ps`, filters and templates of `images`. */
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
  expect(await said(cli, "images", "--format", "{{.Tag}}", "*/*/busy*")).toBe(`${IMAGE_TAG}\n`);
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

test("inspect finds containers, images and volumes, and only the type that is asked for", async () => {
  const cli = await openCli();
  mustSucceed(await cli.tare(["volume", "create", "--label", "a.b=c", "notes"]));
  const kept = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "kept", "-w", "/tmp"];
  mustSucceed(
    await cli.tare([...kept, "-v", "notes:/n:ro", "-v", "/etc:/e", IMAGE, "sh", "-c", "exit 0"]),
  );
  // Docker's order: a container before an image of the same name.
  mustSucceed(await cli.tare([...kept.slice(0, -3), IMAGE, IMAGE, "true"]));
  const inspect = async (...words: string[]) => JSON.parse(await said(cli, "inspect", ...words));
  const [image, volume, container] = await inspect(NAME, "notes", "kept");
  expect(image.RepoTags).toEqual([NAME]);
  expect(volume).toMatchObject({ Name: "notes", Driver: "local", Labels: { "a.b": "c" } });
  expect(container).toMatchObject({
    Name: "/kept",
    Path: "sh",
    Args: ["-c", "exit 0"],
    State: { Status: "exited", Running: false, ExitCode: 0 },
    Config: { Image: IMAGE, WorkingDir: "/tmp", Cmd: ["sh", "-c", "exit 0"] },
    Mounts: [
      { Type: "volume", Name: "notes", Destination: "/n", RW: false },
      { Type: "bind", Source: "/etc", Destination: "/e", RW: true },
    ],
  });
  const [short] = await inspect("-s", container.Id.slice(0, 12));
  expect([short.Id, short.SizeRw > 0]).toEqual([container.Id, true]);
  expect((await inspect(IMAGE))[0].Name).toBe(`/${IMAGE}`);
  expect((await inspect("--type", "image", IMAGE))[0].RepoTags).toEqual([`${IMAGE}:latest`]);
  for (const [type, word] of [
    ["container", "notes"],
    ["volume", NAME],
    ["image", "kept"],
  ] as const) {
    const ran = await cli.tare(["inspect", "--type", type, word]);
    expect([type, ran.code, ran.stdout]).toEqual([type, 1, "[]\n"]);
    expect(ran.stderr).toMatch(new RegExp(`^tare: Cannot find ${type} "${word}": .*\\n`));
  }
  const mixed = await cli.tare(["inspect", "-f", "{{.Name}}", "no-such", "notes"]);
  expect([mixed.code, mixed.stdout]).toEqual([1, "notes\n"]);
  expect(mixed.stderr).toMatch(/Cannot find "no-such": no container, image or volume has/);
  mustSucceed(await cli.tare(["rm", "kept", IMAGE]));
});

test("an id may be written with its algorithm, wherever an image is named", async () => {
  const cli = await openCli();
  const id = (await said(cli, "images", "-q", "--no-trunc", IMAGE)).trim();
  const short = id.slice(0, 15);
  expect(short).toMatch(/^sha256:[0-9a-f]{8}$/);
  expect(await said(cli, "inspect", "-f", "{{.Id}}", short)).toBe(`${id}\n`);
  expect((await said(cli, "history", "-q", "--no-trunc", short)).trim()).toBe(id);
  mustSucceed(await cli.run(short, "true"));
  mustSucceed(await cli.tare(["save", "-o", `${cli.scene.dir}/saved.tar`, short]));
  mustSucceed(await cli.tare(["tag", short, "other:1"]));
  expect(await said(cli, "images", "-q", "--no-trunc", "other")).toBe(`${id}\n`);
  mustSucceed(await cli.tare(["rmi", "-f", short]));
  for (const words of [["rmi", short], ["inspect", id], cli.runWords(short, "true")]) {
    const ran = await cli.tare(words);
    // An id is nothing to ask a registry for.
    expect(ran.stderr).toMatch(/^tare: Cannot find .*\n {2}hint: .*tare images.*\n$/);
    expect(ran.code).toBeGreaterThan(0);
  }
});

test("ps lists what runs, with -a also what has ended, with docker's fields", async () => {
  const cli = await openCli();
  const kept = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "kept", "-v", "notes:/n"];
  const ended = await cli.tare([...kept, IMAGE, "sh", "-c", "exit 3"]);
  expect(ended.code).toBe(3);
  const [heads = "", none] = (await said(cli, "ps")).split("\n");
  expect(heads.split(/ {2,}/)).toEqual([
    ...["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"],
  ]);
  expect(none).toBe("");
  const format = "{{.ID}}|{{.Image}}|{{.Command}}|{{.Status}}|{{.Names}}|{{.Mounts}}";
  const [line = ""] = (await said(cli, "ps", "-a", "--format", format)).split("\n");
  expect(line).toMatch(/^[0-9a-f]{12}\|busybox\|"sh -c exit 3"\|Exited \(3\)\|kept\|notes$/);
  const names = (...words: string[]) => said(cli, "ps", "--format", "{{.Names}}", ...words);
  for (const [filter, found] of [
    ["exited=3", true],
    ["exited=0", false],
    ["status=exited", true],
    ["status=running", false],
  ] as const) {
    expect([filter, await names("-f", filter)]).toEqual([filter, found ? "kept\n" : ""]);
  }
  for (const filter of [
    "name=kep",
    "volume=notes",
    `ancestor=${IMAGE}`,
    `id=${line.slice(0, 5)}`,
  ]) {
    expect([filter, await names("-a", "-f", filter)]).toEqual([filter, "kept\n"]);
    expect([filter, await names("-f", filter)]).toEqual([filter, ""]);
  }
  // What runs, also where it has no record, is listed while it does.
  const [up, end] = ["up", "end"].map((name) => `${cli.scene.dir}/${name}`);
  mustSucceed(await run(["mkfifo", up ?? "", end ?? ""]));
  await Bun.write(`${cli.scene.dir}/run.sh`, "echo > /s/up; cat /s/end");
  const running = cli.run("-u", "0", "-v", `${cli.scene.dir}:/s`, IMAGE, "sh", "/s/run.sh");
  mustSucceed(await run(["cat", up ?? ""]));
  const table = await said(cli, "ps");
  expect(table).toMatch(/busybox:latest +"sh \/s\/run.sh" +.* +Up .*/);
  expect((await said(cli, "ps", "-n", "1", "-q")).trim()).toBe(
    table.split("\n")[1]?.slice(0, 12) ?? "",
  );
  mustSucceed(await run(["sh", "-c", `: > ${end}`]));
  mustSucceed(await running);
  mustSucceed(await cli.tare(["rm", "kept"]));
});

test("rm -f ends what runs, kept or not, and its command says so", async () => {
  const cli = await openCli();
  const listed = `${cli.scene.dir}/waits`;
  mustSucceed(await run(["mkfifo", listed]));
  const words = [
    "-u",
    "0",
    "-v",
    `${listed}:/up`,
    IMAGE,
    "sh",
    "-c",
    "echo > /up; exec sleep 1000",
  ];
  const kept = ["run", "--cgroup-parent", cli.cgroupParent, "--name", "kept", ...words];
  for (const start of [kept, cli.runWords(...words)]) {
    const running = cli.tare(start);
    // The pipe ends when the container has written into it.
    mustSucceed(await run(["cat", listed]));
    const id = (await said(cli, "ps", "-q", "-f", "status=running")).trim();
    expect(JSON.parse(await said(cli, "inspect", id))[0].State.Status).toBe("running");
    const refused = await cli.tare(["rm", id]);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("it runs")]);
    expect(await said(cli, "rm", "-f", id)).toBe(`${id}\n`);
    expect((await running).code).toBe(137);
    expect([await said(cli, "ps", "-aq"), cli.containers()]).toEqual(["", []]);
  }
});

test("each list takes templates, also where there is nothing to list", async () => {
  const cli = await openCli();
  for (const [words, template, heads] of [
    [["ps"], "{{.Names}}\\t{{.Image}}", "NAMES   IMAGE\n"],
    [["volume", "ls"], '{{.Name}}\\t{{.Label "a.b"}}', "VOLUME NAME   b\n"],
    [["images", "none"], "{{.ID}}\\t{{.Size}}", "IMAGE ID   SIZE\n"],
  ] as const) {
    expect(await said(cli, ...words, "--format", `table ${template}`)).toBe(heads);
    expect(await said(cli, ...words, "--format", template)).toBe("");
    expect(await said(cli, ...words, "--format", "json")).toBe("");
  }
  mustSucceed(await cli.tare(["volume", "create", "--label", "a.b=c", "notes"]));
  expect(await said(cli, "volume", "ls", "--format", '{{.Name}} {{.Label "a.b"}}')).toBe(
    "notes c\n",
  );
  const [volume] = [await said(cli, "volume", "inspect", "-f", "{{.Mountpoint}}", "notes")];
  expect(volume).toBe(`${cli.dataRoot}/volumes/notes/data\n`);
  const types = await said(cli, "system", "df", "--format", "{{.Type}}:{{.TotalCount}}");
  expect(types.split("\n").slice(0, 3)).toEqual(["Images:2", "Containers:0", "Local Volumes:1"]);
  const all = await said(
    cli,
    "system",
    "df",
    "-v",
    "--format",
    "{{range .Volumes}}{{.Name}}{{end}}",
  );
  expect(all).toBe("notes\n");
});
