/**
 * The house rules that no linter knows, each with what to do instead and why. A rule without a
 * check is a wish. Non-goal: what biome.json and the compiler settings already refuse.
 */

import { describe, expect, test } from "bun:test";
import { codeLines, readSources, readText, type SourceFile } from "./repository.ts";

type Ban = {
  /** Beginnings of the paths that the rule is about. */
  readonly in: readonly string[];
  readonly pattern: RegExp;
  readonly use: string;
  readonly why: string;
  /** Where the rule does not hold, with the reason. */
  readonly except?: Readonly<Record<string, string>>;
  /** Also in tests and comments. */
  readonly everywhere?: true;
};

const ON_QUICKJS = ["packages/spec/src/", "packages/runtime/src/"];
const PACKAGES = ["packages/"];
const ALL = [""];

const BANS: readonly Ban[] = [
  {
    in: ON_QUICKJS,
    pattern: /\basync (?:function|\()|\bawait\b|\bnew Promise\b|\bPromise\./,
    use: "a plain function; the monitor has one poll loop",
    why: "the programs on QuickJS are synchronous: no event loop runs them on",
  },
  {
    in: ON_QUICKJS,
    pattern:
      /\b(?:setTimeout|setInterval|TextEncoder|TextDecoder|structuredClone|performance|Buffer)\b/,
    use: "the system call, or the codec of spec/bytes.ts",
    why: "QuickJS has none of them",
  },
  {
    in: ON_QUICKJS,
    pattern: /from "(?:node:|bun:|bun"|fs"|path")/,
    use: "the table of system calls",
    why: "this code runs on QuickJS, which has no modules of its own",
  },
  {
    in: ["packages/runtime/src/"],
    pattern: /\bimport (?!type\b)[^"]*"tare:sys"/,
    use: "an argument of type Sys",
    why: "the world is an argument: only programs bring the real one, tests bring theirs",
    except: { "packages/runtime/src/bin/": "the programs bring the real table" },
  },
  {
    in: ["packages/runtime/src/"],
    pattern:
      /\bnew RegExp\b|\bRegExp\(|\.(?:match|matchAll|search)\(|\/\.(?:test|exec)\(|\.(?:replace|replaceAll|split)\(\//,
    use: "indexOf, startsWith, a loop over characters",
    why: "a backtracking expression takes seconds on thirty hostile characters, and this code is root",
  },
  {
    in: ["packages/spec/src/"],
    pattern: /\bRegExp\(|\.(?:match|matchAll|search)\(|\([^()]*[+*][^()]*\)[+*{]/,
    use: "an anchored expression without a repetition inside a repetition",
    why: "it reads what strangers wrote, and QuickJS backtracks",
  },
  {
    in: ON_QUICKJS,
    pattern: /\beval\(|\bnew Function\b|\bimport\(/,
    use: "a value, or loadPart of sys/part.ts",
    why: "the shipped host has no compiler in it",
    except: {
      "packages/runtime/src/sys/types.ts": "types only",
      "packages/runtime/src/sys/part.ts": "types only",
    },
  },
  {
    // What runs in the container's tree gets descriptors that openat2(RESOLVE_IN_ROOT) made.
    in: [
      "packages/runtime/src/devices/",
      "packages/runtime/src/mounts/copy-up",
      "packages/runtime/src/mounts/in-root",
      "packages/runtime/src/mounts/protect",
      "packages/runtime/src/unpack/",
    ],
    pattern: /\bAT_FDCWD\b/,
    use: "openInRoot of mounts/in-root.ts, then the descriptor",
    why: "a name in the container's tree may be a link to anywhere when it is used again",
  },
  {
    in: ["packages/engine/src/"],
    pattern: /\bprocess\.env\b|\bBun\.env\b|\bhomedir\(/,
    use: "an option of the engine",
    why: "a library has no environment and no home",
  },
  {
    in: ["packages/engine/src/"],
    pattern: /\bprocess\.(?:stdout|stderr|stdin|exit|exitCode)\b|\bBun\.(?:stdout|stderr|serve)\b/,
    use: "a result, an error, or a callback",
    why: "a library has no terminal and no server, and does not end its caller",
  },
  {
    in: ["packages/engine/src/", "packages/tare/src/"],
    pattern: /\bprocess\.(?:chdir|setuid|setgid|seteuid|setegid|setgroups|initgroups|umask)\(/,
    use: "a verb of tare-helper, or an argument of the program that is started",
    why: "Bun has many threads: what one changes of itself the others share or miss",
  },
  {
    in: ["packages/tare/src/"],
    pattern: /^import (?!type\b).*"node:(?:http|https|http2)"/,
    use: "import() where it is needed",
    why: "it costs every start of the command line",
  },
  {
    in: PACKAGES,
    pattern: /\bconsole\.(?:log|error|warn|info|debug)\b/,
    use: "the program's own output functions",
    why: "output is the programs' interface, written on purpose and with its errors seen",
  },
  {
    in: PACKAGES,
    pattern: /\.sort\(\(\w+, \w+\) => [^)]*localeCompare/,
    use: "comparison of code units",
    why: "the order of a file must not hang on the user's language",
  },
  {
    in: ["host/"],
    pattern: /\b(?:containers?|rootfs|bundles?|docker|oci|pivot|image)\b/i,
    use: "the kernel's words",
    why: "the host knows system calls; what they are for is said in TypeScript",
    everywhere: true,
  },
  {
    in: ["host/src/"],
    pattern: /#!?\[allow\((?!unused_mut, unused_variables, unused_assignments\))/,
    use: "expect(...), which complains once it is not needed",
    why: "an allowance outlives its reason",
  },
  {
    in: ALL,
    pattern: new RegExp(
      `\\b(?:${["TO", "FIX", "XX"].map((a, i) => a + ["DO", "ME", "X"][i]).join("|")})\\b`,
    ),
    use: "an issue, or the work itself",
    why: "nobody reads them where they stand",
    everywhere: true,
  },
  {
    in: ALL,
    pattern: /(?:^|[\s"'`(=])\/(?:work|home\/\w+\/|Users)\//,
    use: "a path relative to the file, or a temporary directory",
    why: "it is a path of one machine",
    except: {
      "tests/harness/census.ts": "where people mount things of their own",
      "packages/": "names inside a container, in tests",
    },
    everywhere: true,
  },
];

/** Names that say nothing of what is in there, so that everything ends up there. */
const EMPTY_NAMES = /(?:^|\/)(?:utils?|common|helpers|misc|shared|lib|types\.d)(?:\/|\.\w+$)/;

const LINES_MAX = 600;
/** A table of cases may be longer than the code it is about. */
const TEST_LINES_MAX = 800;

/** Which package may import which. */
const DIRECTIONS: Readonly<Record<string, readonly string[]>> = {
  spec: [],
  runtime: ["spec"],
  engine: ["spec"],
  tare: ["engine", "spec"],
};

const sources = readSources().filter(({ path }) => path !== "tools/tidy.test.ts");

function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || path.startsWith("tests/");
}

function breaches(ban: Ban, { path, text }: SourceFile): string[] {
  const excepted = Object.keys(ban.except ?? {}).some((prefix) => path.startsWith(prefix));
  const concerned = ban.in.some((prefix) => path.startsWith(prefix));
  if (!concerned || excepted || (isTest(path) && ban.everywhere !== true)) return [];
  const lines = ban.everywhere
    ? text.split("\n").map((line, index) => ({ number: index + 1, line }))
    : codeLines(text);
  return lines
    .filter(({ line }) => ban.pattern.test(line))
    .map(({ number, line }) => `${path}:${number}: ${line.trim()}`);
}

describe("not in this house", () => {
  test.each(
    BANS.map((ban) => [`${ban.in.join(", ") || "anywhere"}: ${ban.pattern.source}`, ban] as const),
  )("%s", (_name, ban) => {
    const found = sources.flatMap((file) => breaches(ban, file));
    const advice = `Use ${ban.use}: ${ban.why}`;
    expect({ advice, found }).toEqual({ advice, found: [] });
  });

  test("a ban finds what it bans, outside of comments and of what is excepted", () => {
    const ban: Ban = { in: ["a/"], pattern: /bad/, use: "", why: "", except: { "a/b/": "" } };
    const text = "// bad\n  * bad\ngood\nbad();\n";
    expect(breaches(ban, { path: "a/x.ts", text })).toEqual(["a/x.ts:4: bad();"]);
    expect(breaches({ ...ban, everywhere: true }, { path: "a/x.ts", text })).toHaveLength(3);
    for (const path of ["a/b/x.ts", "b/x.ts", "a/x.test.ts"]) {
      expect(breaches(ban, { path, text })).toEqual([]);
    }
  });
});

describe("files", () => {
  test("have names that say what is in them", () => {
    const found = sources.filter(({ path }) => EMPTY_NAMES.test(path)).map(({ path }) => path);
    expect(found).toEqual([]);
  });

  test("are rooms, not floors", () => {
    const found = sources
      .filter(({ path }) => /\.(?:ts|rs|c|sh)$/.test(path))
      .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
      .filter(({ path, lines }) => lines > (isTest(path) ? TEST_LINES_MAX : LINES_MAX))
      .map(({ path, lines }) => `${path}: ${lines} lines`);
    expect(found).toEqual([]);
  });

  test("of TypeScript say at their head what they are for", () => {
    const found = sources
      .filter(({ path }) => /^packages\/[^/]+\/src\/.*\.ts$/.test(path) && !isTest(path))
      .filter(({ text }) => !text.startsWith("/**") && !text.startsWith("// Printed by"))
      .map(({ path }) => path)
      .filter((path) => !path.includes("/bin/"));
    expect(found).toEqual([]);
  });

  test("of Rust are at most a sixth of the lines, and each unsafe block says why it is safe", () => {
    const count = (wanted: (path: string) => boolean) =>
      sources
        .filter(({ path }) => wanted(path))
        .reduce((sum, { text }) => sum + text.split("\n").filter((line) => line.trim()).length, 0);
    const rust = count((path) => path.endsWith(".rs"));
    const script = count((path) => /^packages\/.*\.ts$/.test(path) && !isTest(path));
    expect(rust).toBeGreaterThan(0);
    expect(rust / (rust + script)).toBeLessThan(1 / 6);
    expect(readText("host/Cargo.toml")).toContain('undocumented_unsafe_blocks = "deny"');
  });
});

describe("imports", () => {
  /** `spec/json.ts` or a relative path, resolved to the package's name. */
  function importedPackage(path: string, specifier: string): string | undefined {
    const [, named] = /^@tare\/([^/]+)/.exec(specifier) ?? [];
    if (named !== undefined || !specifier.startsWith(".")) return named;
    const url = new URL(specifier, `file:///${path}`);
    return /^\/packages\/([^/]+)\//.exec(url.pathname)?.[1];
  }

  test("run one way between the packages", () => {
    const found: string[] = [];
    for (const { path, text } of sources) {
      const [, own = ""] = /^packages\/([^/]+)\/src\/.*\.ts$/.exec(path) ?? [];
      const allowed = DIRECTIONS[own];
      // An oracle may hold two packages against each other; nothing that ships does.
      if (allowed === undefined || path.endsWith(".oracle.test.ts")) continue;
      for (const [, specifier = ""] of text.matchAll(/(?:from|import\(|import) ?"([^"]+)"/g)) {
        const target = importedPackage(path, specifier);
        if (target === undefined || target === own || allowed.includes(target)) continue;
        found.push(`${path} imports ${specifier}`);
      }
    }
    expect(found).toEqual([]);
    const known = Object.keys(DIRECTIONS);
    const packages = sources.flatMap(
      ({ path }) => /^packages\/([^/]+)\/package/.exec(path)?.[1] ?? [],
    );
    expect(packages.sort()).toEqual(known.sort());
  });
});
