/**
 * Builds dist/: bundles the programs of packages/runtime, compiles them into the host, and compiles
 * the command line into one executable. `bun tools/build.ts [--dev | --no-cli | --only-cli]`.
 */

import { chmod, copyFile, link, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const DIST = join(ROOT, "dist");
const SOURCE = join(ROOT, "packages/runtime/src");

type Program = {
  readonly entry: string;
  /** Modules that most runs do not need, by the name they are asked for: their own bytecode. */
  readonly parts: Readonly<Record<string, string>>;
  /**
   * Parts so rare that they share nothing: what they had in common with another part would be a module
   * apart, which that part's every run had to look up.
   */
  readonly wholeParts?: Readonly<Record<string, string>>;
  /** Of the parts, those that lie loaded in the executable's heap. */
  readonly keptParts: readonly string[];
  /** Words after which it runs from a file that nobody can write: host/src/seal.rs. */
  readonly sealedFor: readonly string[];
};

/** Programs by name; all of them are one executable. */
const PROGRAMS: Readonly<Record<string, Program>> = {
  "tare-runtime": {
    entry: "bin/runtime.ts",
    parts: {
      warm: "sys/warm.ts",
      create: "command/create.ts",
      waiting: "container/waiting.ts",
      lifecycle: "command/lifecycle.ts",
      exec: "command/exec.ts",
      hooks: "hooks/run.ts",
      sweep: "command/sweep.ts",
      "own-root": "command/own-root.ts",
      list: "command/list.ts",
      pause: "command/pause.ts",
      update: "command/update.ts",
      events: "command/events.ts",
      ps: "command/ps.ts",
      salvage: "container/salvage.ts",
      stray: "cgroup/stray.ts",
      about: "command/about.ts",
      help: "command/help.ts",
      "seccomp-compile": "seccomp/compile.ts",
      scheduling: "process/scheduling.ts",
      resctrl: "resctrl/apply.ts",
      "net-devices": "network/devices.ts",
      activation: "command/activation.ts",
      listener: "seccomp/listener.ts",
      "outside-devices": "devices/outside.ts",
      idmap: "mounts/idmap.ts",
      "mapped-source": "mounts/mapped-source.ts",
      mounts: "command/mounts.ts",
      "move-root": "mounts/move-root.ts",
      "mount-links": "mounts/links.ts",
      "mount-locked": "mounts/locked.ts",
      "mount-old": "mounts/old-interface.ts",
      "overlay-layers": "mounts/overlay-layers.ts",
      "copy-up": "mounts/copy-up.ts",
      console: "terminal/console.ts",
    },
    wholeParts: { systemd: "systemd/scope.ts", checkpoint: "command/checkpoint.ts" },
    keptParts: ["warm", "create", "waiting", "lifecycle", "exec", "about"],
    // What makes a process of a container: that is a copy of this one until its execve(2).
    sealedFor: ["run", "create", "exec", "restore", "mounts"],
  },
  "tare-helper": {
    entry: "bin/helper.ts",
    parts: {
      unpack: "verb/unpack.ts",
      pack: "verb/pack.ts",
      volume: "volume/apply.ts",
      merge: "volume/merge.ts",
      quota: "volume/quota.ts",
    },
    keptParts: [],
    sealedFor: [],
  },
  "tare-init": { entry: "bin/init.ts", parts: {}, keptParts: [], sealedFor: [] },
};

/** What the executable is under a name of somebody else's, as `runc` for engines that look for that. */
const DEFAULT_PROGRAM = "tare-runtime";

async function run(command: readonly string[], env: Record<string, string> = {}): Promise<void> {
  const child = Bun.spawn([...command], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "inherit", "inherit"],
  });
  const status = await child.exited;
  if (status !== 0) throw new Error(`${command.join(" ")}: exit status ${status}`);
}

/** Bundles each program for QuickJS; the result is what the host's build script compiles. */
async function bundlePrograms(): Promise<string[]> {
  await rm(join(DIST, "js"), { recursive: true, force: true });
  await mkdir(join(DIST, "js"), { recursive: true });
  const names = Object.keys(PROGRAMS);
  for (const [name, program] of Object.entries(PROGRAMS)) await bundleProgram(name, program);
  const sealed = Object.entries(PROGRAMS).filter(([, { sealedFor }]) => sealedFor.length > 0);
  const lines = sealed.map(([name, { sealedFor }]) => `${[name, ...sealedFor].join(" ")}\n`);
  await Bun.write(join(DIST, "js/sealed.txt"), lines.join(""));
  await Bun.write(join(DIST, "js/default.txt"), DEFAULT_PROGRAM);
  return names;
}

/**
 * One program and its parts. The entry is whole by itself: it is what every start reads, and each
 * module that it imported would be looked up and linked. What parts share they import.
 */
async function bundleProgram(name: string, { entry, parts, wholeParts }: Program): Promise<void> {
  await bundle(name, new Map([[entry, name]]));
  const outputs = Object.entries(parts).map(([part, file]) => [file, `${name}~${part}`] as const);
  if (outputs.length > 0) await bundle(name, new Map(outputs));
  for (const [part, file] of Object.entries(wholeParts ?? {})) {
    await bundle(name, new Map([[file, `${name}~${part}`]]));
  }
}

async function bundle(program: string, names: ReadonlyMap<string, string>): Promise<void> {
  const result = await Bun.build({
    entrypoints: [...names.keys()].map((file) => join(SOURCE, file)),
    root: SOURCE,
    // QuickJS knows the same language as Bun, `using` too, which other targets spell out slowly.
    target: "bun",
    format: "esm",
    minify: true,
    splitting: true,
    external: ["tare:sys"],
    define: { COMMIT: JSON.stringify(commit()) },
    naming: { entry: "[dir]/[name].js", chunk: `${program}~[hash].js` },
  });
  if (!result.success) throw new AggregateError(result.logs, program);
  for (const output of result.outputs) {
    const path = output.path.replace(/^\.\//, "");
    const name = names.get(path.replace(/\.js$/, ".ts"));
    // Parts lie in folders in the sources; embedded, all modules lie beside each other.
    const text = (await output.text()).replaceAll(/from"(?:\.\.?\/)+/g, 'from"./');
    const flat = text.replaceAll(/import"(?:\.\.?\/)+/g, 'import"./');
    await Bun.write(join(DIST, "js", name === undefined ? path : `${name}.js`), flat);
  }
}

/** What the sources are; empty outside of a checkout. */
function commit(): string {
  const asked = Bun.spawnSync(["git", "describe", "--always", "--dirty", "--abbrev=12"], {
    cwd: ROOT,
  });
  return asked.success ? asked.stdout.toString().trim() : "";
}

/** The target triple: named so that the static C library is for the host, not for build scripts. */
function targetTriple(): string {
  return `${process.arch === "arm64" ? "aarch64" : "x86_64"}-unknown-linux-gnu`;
}

/** What compiles the script engine; cargo looks at the variables alone, so they change with the files. */
async function engineCompiler(target: string): Promise<Record<string, string>> {
  const suffix = target.replaceAll("-", "_");
  const compiler = join(ROOT, "host/engine/cc");
  const texts = [compiler, join(ROOT, "host/engine/kept.h")].map((path) => Bun.file(path).text());
  const digest = Bun.hash.crc32((await Promise.all(texts)).join(""));
  return { [`CC_${suffix}`]: compiler, [`CFLAGS_${suffix}`]: `-DTARE_ENGINE=${digest}` };
}

async function buildHost(names: readonly string[]): Promise<void> {
  const target = targetTriple();
  const manifest = join(ROOT, "host/Cargo.toml");
  await run(
    ["cargo", "build", "--quiet", "--locked", "--release", "--manifest-path", manifest].concat([
      "--target",
      target,
      "--features",
      "shipped",
    ]),
    {
      RUSTFLAGS: "-C target-feature=+crt-static -C relocation-model=static",
      ...(await engineCompiler(target)),
    },
  );
  // Once more with all programs loaded: its heap becomes a part of the file (host/src/heap.rs).
  const kept = join(DIST, "tare-host.new");
  const host = join(ROOT, "host/target", target, "release/tare-host");
  // All of malloc's memory where the check of the heap looks for it.
  const env = { GLIBC_TUNABLES: "glibc.malloc.mmap_threshold=1:glibc.malloc.mmap_max=1000000" };
  await run([host, "--keep-heap", kept, ...oftenUsed()], env);
  await chmod(kept, 0o755);
  await install(kept, names);
}

/** What is kept in the heap: programs of which parts are kept, and these. */
function oftenUsed(): string[] {
  return Object.entries(PROGRAMS)
    .filter(([, { keptParts }]) => keptParts.length > 0)
    .flatMap(([name, { keptParts }]) => [name, ...keptParts.map((part) => `${name}~${part}`)]);
}

/** Puts one file under each program's name: renamed, the others linked to it. */
async function install(built: string, names: readonly string[]): Promise<void> {
  const [first, ...others] = names;
  if (first === undefined) throw new Error("no program to build");
  await rename(built, join(DIST, first));
  for (const name of others) {
    await rm(join(DIST, name), { force: true });
    await link(join(DIST, first), join(DIST, name));
  }
}

/** The host that prints sys.d.ts and runs scripts: for tests and for `make types`. */
async function buildDevelopmentHost(): Promise<void> {
  const manifest = join(ROOT, "host/Cargo.toml");
  await run([
    "cargo",
    "build",
    "--quiet",
    "--locked",
    "--features",
    "dev",
    "--manifest-path",
    manifest,
  ]);
  await copyFile(join(ROOT, "host/target/debug/tare-host"), join(DIST, "tare-host-dev"));
}

/** One executable. It is run as root from any directory: it must not read files of that one. */
async function buildCli(): Promise<void> {
  const entry = join(ROOT, "packages/tare/src/bin/tare.ts");
  await run([
    process.execPath,
    "build",
    "--compile",
    "--bytecode",
    "--format=esm",
    "--minify",
    "--splitting",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    "--compile-jit-policy=8",
    entry,
    "--outfile",
    join(DIST, "tare.new"),
  ]);
  await rename(join(DIST, "tare.new"), join(DIST, "tare"));
}

const words = new Set(process.argv.slice(2));
if (!words.has("--only-cli")) {
  const names = await bundlePrograms();
  if (words.has("--dev")) await buildDevelopmentHost();
  else await buildHost(names);
}
if (!words.has("--dev") && !words.has("--no-cli")) await buildCli();
