/** docs/cli.md has the help texts as the program prints them. */
import { expect, test } from "bun:test";
import { PAGE, writtenAnew } from "./cli-docs.ts";
import { readText } from "./repository.ts";

test("docs/cli.md has each command's help; else write it anew: bun tools/cli-docs.ts", async () => {
  const page = readText(PAGE);
  expect(page).toBe(await writtenAnew(page));
});
