/** ARCHITECTURE.md names every room there is; it and STYLE.md name no file that there is not. */
import { expect, test } from "bun:test";
import { basename } from "node:path";
import { listFiles, readText } from "./repository.ts";

const PAGE = readText("ARCHITECTURE.md");
const FILES = listFiles();
const SOURCE = /\.(?:ts|rs|c)$/;

/** The text of the fence below "## The rooms". */
function rooms(): string {
  const from = PAGE.indexOf("```", PAGE.indexOf("\n## The rooms\n"));
  return PAGE.slice(from, PAGE.indexOf("```", from + 3));
}

/** Folders of sources in a package or among the tests. */
function sourceFolders(): string[] {
  const parents = /^(?:packages\/[a-z]+\/src|tests)\/([a-z0-9-]+)\/[^/]+$/;
  const names = FILES.filter((path) => SOURCE.test(path)).flatMap(
    (path) => parents.exec(path)?.[1] ?? [],
  );
  return [...new Set(names)];
}

test("each folder of sources is a room on the list", () => {
  const list = rooms();
  expect(sourceFolders().length).toBeGreaterThan(30);
  expect(sourceFolders().filter((name) => !new RegExp(`\\b${name}/`).test(list))).toEqual([]);
});

test("each file that stands in no room of its package is named", () => {
  const loose = FILES.filter((path) =>
    /^packages\/(?:runtime|engine|tare)\/src\/[^/]+$/.test(path),
  );
  const names = loose.filter((path) => !path.includes(".test.")).map((path) => basename(path));
  expect(names.length).toBeGreaterThan(0);
  expect(names.filter((name) => !rooms().includes(name))).toEqual([]);
});

test("each file that is named is there", () => {
  const pages = PAGE + readText("STYLE.md");
  const named = [...pages.matchAll(/[\w./-]*[\w-]\.(?:ts|rs|h)\b/g)].map(([name]) => name);
  const isThere = (name: string) =>
    FILES.some((path) => path === name || path.endsWith(`/${name}`)) ||
    FILES.some((path) => path.endsWith(`/src/${name}`) || basename(path) === name);
  expect(named.length).toBeGreaterThan(30);
  expect([...new Set(named)].filter((name) => !isThere(name))).toEqual([]);
});
