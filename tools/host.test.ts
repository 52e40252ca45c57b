/**
 * What the compiler believes of the host, against the host: sys.d.ts is what the table prints, and
 * what the libraries of tsconfig.base.json declare is there. Needs dist/tare-host-dev.
 */

import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT, readText } from "./repository.ts";

const HOST = join(ROOT, "dist/tare-host-dev");
/** TypeScript's program for this machine is a package beside it, with the libraries. */
const PLATFORM = `@typescript/typescript-linux-${process.arch}`;
const LIBRARIES = join(realpathSync(join(ROOT, "node_modules/typescript")), "..", PLATFORM, "lib");

/** Declared, but not there: the reason why that does no harm. */
const ABSENT: Readonly<Record<string, string>> = {
  "Atomics.waitAsync": "nothing waits without a thread",
  FinalizationRegistry: "nothing is collected in programs that live for milliseconds",
  "FinalizationRegistry#register": "as above",
  "FinalizationRegistry#unregister": "as above",
  "Iterator#next": "abstract: each iterator brings its own",
  WeakRef: "as above",
  "WeakRef#deref": "as above",
};

const dir = mkdtempSync(join(tmpdir(), "tare-host-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function runHost(...words: string[]): string {
  if (!existsSync(HOST)) throw new Error(`Cannot test "${HOST}": make dist/tare-host-dev first`);
  const ran = Bun.spawnSync([HOST, ...words]);
  if (ran.exitCode !== 0) throw new Error(ran.stderr.toString());
  return ran.stdout.toString();
}

test("sys.d.ts is what the host's table prints", () => {
  expect(runHost("--types") === readText("packages/runtime/src/sys/sys.d.ts")).toBeTrue();
});

/** A segment that the linker did not make: type, flags, offset, address, as in elf(5). */
test("the shipped executable has the heap of its programs in it, at the address that the host expects", () => {
  const file = readFileSync(join(ROOT, "dist/tare-runtime"));
  const base = Number(
    /const BASE: usize = (0x[\d_a-f]+);/
      .exec(readText("host/src/heap.rs"))?.[1]
      ?.replaceAll("_", ""),
  );
  const first = Number(file.readBigUInt64LE(32));
  const headers = Array.from({ length: file.readUInt16LE(56) }, (_, index) => first + 56 * index);
  const heap = headers.find((at) => Number(file.readBigUInt64LE(at + 16)) === base);
  expect(heap).toBeDefined();
  expect(file.readUInt32LE(heap)).toBe(1);
  expect(Number(file.readBigUInt64LE((heap ?? 0) + 32))).toBeGreaterThan(500_000);
});

test("an engine without the lines that kept.h stands for is not compiled", () => {
  const source = join(dir, "quickjs.c");
  writeFileSync(source, "int main(void) { return 0; }\n");
  const output = join(dir, "quickjs.o");
  const ran = Bun.spawnSync([join(ROOT, "host/engine/cc"), "-c", source, "-o", output]);
  expect(ran.exitCode).toBe(1);
  expect(ran.stderr.toString()).toContain("not the version of the engine");
  expect(existsSync(output)).toBeFalse();
});

/** What was "next" and is in a standard since has its file under the name of the year. */
function libraryFile(name: string): string {
  const names = [name, name.replace("esnext", "es2025"), name.replace("esnext", "es2026")];
  const files = names.map((one) => join(LIBRARIES, `lib.${one}.d.ts`));
  const found = files.find((file) => existsSync(file));
  if (found === undefined) throw new Error(`Cannot find the library "${name}" of TypeScript`);
  return found;
}

/** The texts of the libraries that the compiler settings name, and of those that they name. */
function libraryTexts(): string[] {
  const { compilerOptions } = JSON.parse(readText("tsconfig.base.json")) as {
    compilerOptions: { lib: string[] };
  };
  const texts = new Map<string, string>();
  const wanted = compilerOptions.lib.map((name) => name.toLowerCase());
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (texts.has(name)) continue;
    const text = readFileSync(libraryFile(name), "utf8");
    texts.set(name, text);
    const named = text.matchAll(/<reference lib="([^"]+)"/g);
    wanted.push(...Array.from(named, ([, other = ""]) => other));
  }
  return [...texts.values()];
}

/** `Name` for a global, `Name.member` for what is on it, `Name#member` for what its instances have. */
function declared(texts: readonly string[]): string[] {
  const all = texts.join("\n").replaceAll(/\/\*[\s\S]*?\*\//g, "");
  // A module says `declare global {`, and its globals are indented.
  const indented = texts.filter((text) => text.includes("declare global")).join("\n");
  const globals = Array.from(
    [
      ...all.matchAll(/^declare (?:var|let|const|function) (\w+)/gm),
      ...indented.matchAll(/^ {4}var (\w+)/gm),
    ],
    ([, name = ""]) => name,
  );
  const found = new Set<string>(globals);
  const interfaces = all.matchAll(/^( *)interface (\w+)[^{]*\{\n([\s\S]*?)^\1\}$/gm);
  for (const [, indent = "", name = "", body = ""] of interfaces) {
    const method = new RegExp(`^${indent} {4}(\\w+)[(<]`, "gm");
    const members = Array.from(body.matchAll(method), ([, member = ""]) => member);
    const owner = name.replace(/Constructor$/, "").replace(/^IteratorObject$/, "Iterator");
    if (!globals.includes(owner)) continue;
    const isObject = ["Atomics", "Intl", "JSON", "Math", "Reflect"].includes(owner);
    const mark = name.endsWith("Constructor") || isObject ? "." : "#";
    for (const member of members) if (member !== "new") found.add(`${owner}${mark}${member}`);
  }
  return [...found].sort();
}

function absentOnHost(names: readonly string[]): string[] {
  const script = `import { encode_utf8, write } from "tare:sys";
    const absent = ${JSON.stringify(names)}.filter((name) => {
      const [owner, member] = name.split(/[.#]/);
      const holder = globalThis[owner];
      if (member === undefined || holder === undefined) return holder === undefined && !(owner in globalThis);
      if (name.includes(".")) return !(member in holder);
      return !(member in holder.prototype);
    });
    write(1, encode_utf8(JSON.stringify(absent)));`;
  const file = join(dir, "absent.js");
  writeFileSync(file, script);
  return JSON.parse(runHost("--script", file)) as string[];
}

describe("the libraries of tsconfig.base.json", () => {
  const names = declared(libraryTexts());

  test("are read", () => {
    const some = [
      "Map",
      "Map#get",
      "Object.fromEntries",
      "Math.clz32",
      "Iterator#map",
      "DisposableStack",
    ];
    expect(names).toEqual(expect.arrayContaining(some));
    expect(names.length).toBeGreaterThan(600);
  });

  test("declare nothing that QuickJS lacks, beside what is known", () => {
    expect(absentOnHost(names)).toEqual(Object.keys(ABSENT).sort());
  });
});
