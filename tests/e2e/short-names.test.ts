/** Short names and aliases of the settings mean the same to every command that takes a name. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { images } from "../harness/images.ts";
import { type Cli, openCli } from "./cli-scene.ts";

setDefaultTimeout(180_000);

async function open(): Promise<{ cli: Cli; tare: (...words: string[]) => Promise<string> }> {
  const cli = await openCli();
  const settings = join(cli.scene.dir, "registries.toml");
  const alias = '[aliases]\ntools = "quay.example/team/tools"\n';
  writeFileSync(settings, `default-registry = "registry.example"\n${alias}`);
  const tare = async (...words: string[]) =>
    mustSucceed(await cli.tare(["--registries", settings, ...words])).stdout;
  return { cli, tare };
}

test("names are given and found by the settings", async () => {
  const { cli, tare } = await open();
  const { rootTarball } = await images();
  await tare("import", rootTarball, "tools");
  await tare("tag", "tools", "own:1");
  await tare("tag", "tools:latest", "tools:2");
  const names = ["quay.example/team/tools:2", "quay.example/team/tools:latest"];
  const list = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
  // Without the settings: what is really there.
  const there = mustSucceed(await cli.tare(list))
    .stdout.trim()
    .split("\n")
    .sort();
  expect(there).toEqual([...names, "registry.example/own:1"]);
  expect((await tare(...list, "tools")).trim().split("\n").sort()).toEqual(names);
  expect((await tare(...list, "own")).trim()).toBe("registry.example/own:1");

  const id = (await tare("images", "-q", "--no-trunc", "own")).trim();
  expect((await tare("image", "inspect", "-f", "{{.Id}}", "tools:2")).trim()).toBe(id);
  expect((await tare("inspect", "-f", "{{.Id}}", "own:1")).trim()).toBe(id);
  expect(await tare("history", "tools")).toContain("imported");
  expect(await tare("image", "tree", "tools")).toContain(`Image ID: ${id}`);
  expect((await tare("image", "inspect", "-f", "{{.Id}}", id.slice(7, 19))).trim()).toBe(id);

  const flags = ["--cgroup-parent", cli.cgroupParent, "--name", "box", "-u", "0"];
  const mount = ["--mount", "type=image,source=own:1,target=/own"];
  const ran = await tare("run", ...flags, ...mount, "tools:2", "sh", "-c", "ls /own/bin/sh");
  expect(ran).toBe("/own/bin/sh\n");
  expect(await tare("ps", "-aq", "--filter", "ancestor=tools")).not.toBe("");
  await tare("commit", "box", "tools:3");
  await tare("rm", "box");
  const archive = join(cli.scene.dir, "saved.tar");
  await tare("save", "-o", archive, "tools", "own:1");
  expect(await tare("rmi", "tools:3")).toContain("Untagged: quay.example/team/tools:3\n");
  await tare("rmi", "own:1", "tools:2", "tools");
  expect(await tare("images", "-q")).toBe("");
  expect(await tare("load", "-i", archive)).toContain("quay.example/team/tools:2");
});

test("what had its name before the settings is found by it", async () => {
  const { cli, tare } = await open();
  mustSucceed(await cli.tare(["import", (await images()).rootTarball, "tools"]));
  expect(await tare("history", "tools")).toContain("imported");
  expect(await tare("images", "-q", "tools")).not.toBe("");
  expect(await tare("rmi", "tools")).toContain("Untagged: tools:latest\n");
});

test("settings that cannot be read stop whoever asks them for a name", async () => {
  const cli = await openCli();
  const settings = join(cli.scene.dir, "registries.toml");
  writeFileSync(settings, "nonsense = 1\n");
  for (const words of [
    ["rmi", "tools"],
    ["history", "tools"],
    ["run", "tools"],
  ]) {
    const { code, stderr } = await cli.tare(["--registries", settings, ...words]);
    expect([words, code === 0, stderr]).toEqual([
      words,
      false,
      expect.stringContaining("nonsense"),
    ]);
  }
});
