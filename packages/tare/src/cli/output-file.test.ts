/** What is in a user's directory while an archive is written there, and after it was or was not. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Surroundings } from "./command.ts";
import { writeOutput } from "./output-file.ts";

let dir = "";
// A file system in memory, which has files without names on every kernel.
beforeEach(() => {
  dir = mkdtempSync("/dev/shm/tare-output-");
});
afterEach(() => rmSync(dir, { recursive: true }));

function save(path: string, work: () => void = () => {}): Promise<void> {
  return writeOutput(path, { directory: dir } as Surroundings, async (fd) => {
    writeSync(fd, "all of it");
    work();
  });
}

test("a file is there once it is whole, for its owner alone", async () => {
  await save("out.tar", () => expect(readdirSync(dir)).toEqual([]));
  expect(readdirSync(dir)).toEqual(["out.tar"]);
  expect(readFileSync(join(dir, "out.tar"), "utf8")).toBe("all of it");
  expect(statSync(join(dir, "out.tar")).mode & 0o777).toBe(0o600);
});

test("a file that was there stays where writing fails, and goes where it does not", async () => {
  writeFileSync(join(dir, "out.tar"), "before");
  const fail = () => {
    throw new Error("failed");
  };
  await expect(save("out.tar", fail)).rejects.toThrow("failed");
  expect(readFileSync(join(dir, "out.tar"), "utf8")).toBe("before");
  await save("out.tar");
  expect(readFileSync(join(dir, "out.tar"), "utf8")).toBe("all of it");
  expect(readdirSync(dir)).toEqual(["out.tar"]);
});

test("a link stays one, and its file is replaced", async () => {
  mkdirSync(join(dir, "other"));
  writeFileSync(join(dir, "other/file"), "before");
  symlinkSync("other/file", join(dir, "out.tar"));
  await save("out.tar");
  expect(lstatSync(join(dir, "out.tar")).isSymbolicLink()).toBe(true);
  expect(readFileSync(join(dir, "other/file"), "utf8")).toBe("all of it");
  expect(readdirSync(join(dir, "other"))).toEqual(["file"]);
});

test("whatever ends the program leaves nothing", async () => {
  const module = new URL("./output-file.ts", import.meta.url).pathname;
  const code = `const { writeOutput } = await import(${JSON.stringify(module)});
    await writeOutput("out.tar", { directory: ${JSON.stringify(dir)} }, async () => {
      console.log("begun");
      await Bun.sleep(1e6);
    });`;
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    const child = Bun.spawn([process.execPath, "-e", code], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await child.stdout.getReader().read();
    child.kill(signal);
    await child.exited;
    expect(child.signalCode).toBe(signal);
    expect(readdirSync(dir)).toEqual([]);
  }
});
