/** docs/dependencies.md, the manifests, the lock files and tools/setup.sh say the same. */

import { describe, expect, test } from "bun:test";
import { listFiles, ROOT, readText } from "./repository.ts";

const page = readText("docs/dependencies.md");
const setup = readText("tools/setup.sh");

type Dependency = readonly [name: string, version: string];

function npmDependencies(): Dependency[] {
  const manifests = listFiles().filter((path) =>
    /^(?:packages\/[^/]+\/)?package\.json$/.test(path),
  );
  return manifests.flatMap((path) => {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(readText(path)) as {
      dependencies?: Record<string, string>;
      devDependencies?: Record<string, string>;
    };
    return Object.entries({ ...dependencies, ...devDependencies });
  });
}

function crates(): Dependency[] {
  const text = readText("host/Cargo.toml");
  const sections = text
    .split(/^\[/m)
    .filter((part) => /^(?:build-|dev-)?dependencies\]/.test(part));
  return sections.flatMap((part) =>
    Array.from(
      part.matchAll(/^([\w-]+) = (?:\{ version = )?"([^"]+)"/gm),
      ([, name = "", version = ""]) => [name, version] as const,
    ),
  );
}

/** The rows of the page's tables as name and version. */
function row([name, version]: Dependency): RegExp {
  const quoted = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  return new RegExp(`^\\| \`${quoted(name)}\` +\\| ${quoted(version)} `, "m");
}

const external = [...npmDependencies(), ...crates()].filter(
  ([, version]) => version !== "workspace:*",
);

describe("each dependency", () => {
  test.each(external.map((dependency) => [...dependency]))(
    "%s %s has its line",
    (name, version) => {
      expect(page).toMatch(row([name, version.replace(/^=/, "")]));
    },
  );

  test("of the host is pinned", () => {
    expect(crates().map(([name]) => name)).toEqual(expect.arrayContaining(["libc", "rquickjs"]));
    expect(crates().filter(([, version]) => !version.startsWith("="))).toEqual([]);
  });

  test("of npm is pinned", () => {
    const versions = npmDependencies().map(([, version]) => version);
    const loose = versions.filter((version) => !/^(?:\d+\.\d+\.\d+|workspace:\*)$/.test(version));
    expect(loose).toEqual([]);
    expect(versions.length).toBeGreaterThan(5);
  });
});

describe("versions that stand in two places agree", () => {
  test("bun", () => {
    const [, version = ""] = /^BUN_VERSION=(\S+)$/m.exec(setup) ?? [];
    expect(page).toMatch(row(["bun", version]));
    expect(Bun.version).toBe(version);
  });

  test("quickjs-ng as rquickjs carries it", () => {
    const [, version] =
      /name = "rquickjs-sys"\nversion = "([^"]+)"/.exec(readText("host/Cargo.lock")) ?? [];
    expect(page).toMatch(row(["rquickjs", version ?? "is not locked"]));
  });
});

test("each Debian package that is installed has its line, and the other way round", () => {
  const lists = Array.from(setup.matchAll(/^\w+_PACKAGES="([^"]+)"/gm), ([, list = ""]) => list);
  const installed = new Set(lists.join(" ").trim().split(/\s+/));
  const section = page.slice(page.indexOf("## Debian packages"));
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  const listed = rows.flatMap((line) =>
    Array.from((line.split("|")[1] ?? "").matchAll(/`([^`]+)`/g), ([, name = ""]) => name),
  );
  expect(listed.sort()).toEqual([...installed].sort());
});

test("lock files are committed", () => {
  const ran = Bun.spawnSync(["git", "-c", "safe.directory=*", "ls-files"], {
    cwd: ROOT,
  });
  const files = ran.stdout.toString().split("\n");
  expect(files).toEqual(expect.arrayContaining(["bun.lock", "host/Cargo.lock"]));
});
