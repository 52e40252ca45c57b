/**
 * Root file systems and programs the tests run, made from this machine's packages at test time.
 * Each is cached under .build/fixtures/<name>-<hash of its recipe> and appears there by one rename,
 * so that a kill leaves nothing half made and two makers do not disturb each other.
 * Callers must not write into a fixture: `copyRootfs` gives one that may be written.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { BUILD } from "./places.ts";
import { type Ran, run } from "./run.ts";

const PROGRAMS = join(import.meta.dir, "programs");
const CC = ["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-static"];
const DEBIAN_SUITE = "bookworm";
const MAKE_TIMEOUT_MS = 300_000;

/** What the shell calls `busybox`, statically linked. */
const BUSYBOX = "/bin/busybox";

/** Absolute path of a directory with the compiled programs; each root file system has them in /t. */
export function programs(): Promise<string> {
  const sources = readdirSync(PROGRAMS)
    .filter((name) => name.endsWith(".c"))
    .sort();
  const texts = sources.map((name) => readFileSync(join(PROGRAMS, name)));
  return cached("programs", [CC.join(" "), ...sources, ...texts], async (dir) => {
    for (const source of sources) {
      const out = join(dir, basename(source, ".c"));
      mustSucceed(await run([...CC, "-o", out, join(PROGRAMS, source)]));
    }
  });
}

/** Absolute path of a busybox root file system: applets, a few files of /etc, programs in /t. */
export async function busyboxRootfs(): Promise<string> {
  const tools = await programs();
  const recipe = [
    basename(tools),
    readFileSync(BUSYBOX),
    makeBusybox.toString(),
    ETC_PASSWD,
    ETC_GROUP,
  ];
  return cached("busybox", recipe, (dir) => makeBusybox(dir, tools));
}

/** Absolute path of a minimal Debian root file system with the test programs in /t. About 30 s once. */
export async function debianRootfs(): Promise<string> {
  const tools = await programs();
  const argv = ["mmdebstrap", "--quiet", "--variant=minbase", DEBIAN_SUITE];
  return cached("debian", [basename(tools), argv.join(" ")], async (dir) => {
    const mirror = debianSources();
    const made = await run([...argv, dir, ...mirror], { timeoutMs: MAKE_TIMEOUT_MS });
    mustSucceed(made);
    chmodSync(dir, 0o755);
    cpSync(tools, join(dir, "t"), { recursive: true });
  });
}

/** Copies a root file system to a directory that does not exist yet; the copy may be written. */
export async function copyRootfs(rootfs: string, to: string): Promise<string> {
  mustSucceed(await run(["cp", "-a", "--reflink=auto", rootfs, to]));
  return to;
}

/**
 * The directory that `make` filled, from the cache if the recipe was used before.
 * @param recipe whatever the content depends on
 * @param make fills the given empty directory
 */
export async function cached(
  name: string,
  recipe: readonly (string | Uint8Array)[],
  make: (dir: string) => Promise<void> | void,
): Promise<string> {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const part of recipe) hasher.update(part).update("\0");
  const cache = join(BUILD, "fixtures");
  const home = join(cache, `${name}-${hasher.digest("hex").slice(0, 16)}`);
  if (existsSync(home)) return home;
  mkdirSync(cache, { recursive: true });
  sweepUnfinished(cache);
  const aside = `${home}.making.${process.pid}`;
  mkdirSync(aside);
  try {
    await make(aside);
    renameSync(aside, home);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    if (!existsSync(home)) throw error;
  }
  return home;
}

/** Removes what makers that are no longer alive left aside. */
function sweepUnfinished(cache: string): void {
  for (const name of readdirSync(cache)) {
    const [, pid] = name.split(".making.");
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    rmSync(join(cache, name), { recursive: true, force: true });
  }
}

const ETC_PASSWD = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/:/bin/false
test:x:1000:1000:test:/home/test:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
`;
const ETC_GROUP = `root:x:0:
daemon:x:1:
tty:x:5:
extra:x:50:test
test:x:1000:
nogroup:x:65534:
`;

/** The applet links are relative, so that the tree works wherever it lies. */
async function makeBusybox(dir: string, tools: string): Promise<void> {
  const directories = ["bin", "dev", "etc", "home/test", "mnt", "proc", "root", "run", "sys"];
  for (const name of [...directories, "tmp", "usr/bin", "var/tmp"]) {
    mkdirSync(join(dir, name), { recursive: true });
  }
  chmodSync(join(dir, "tmp"), 0o1777);
  chmodSync(join(dir, "var/tmp"), 0o1777);
  cpSync(BUSYBOX, join(dir, "bin/busybox"));
  const list = await run([BUSYBOX, "--list"]);
  mustSucceed(list);
  for (const applet of list.stdout.trim().split("\n")) {
    if (applet !== "busybox") symlinkSync("busybox", join(dir, "bin", applet));
  }
  writeFileSync(join(dir, "etc/passwd"), ETC_PASSWD);
  writeFileSync(join(dir, "etc/group"), ETC_GROUP);
  writeFileSync(join(dir, "etc/hostname"), "fixture\n");
  writeFileSync(join(dir, "etc/resolv.conf"), "");
  cpSync(tools, join(dir, "t"), { recursive: true });
  chmodSync(dir, 0o755);
}

/** The machine's own list of Debian packages, so that its mirror is used; none: the tool's default. */
export function debianSources(): string[] {
  const lists = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
  return lists
    .filter((path) => existsSync(path) && readFileSync(path, "utf8").trim() !== "")
    .slice(0, 1);
}

/** Throws with the output of a program that failed. */
export function mustSucceed(ran: Ran): Ran {
  if (ran.code === 0) return ran;
  const how = ran.timedOut ? "ran out of time" : `ended with ${ran.code ?? ran.signal}`;
  throw new Error(`A program of the test set-up ${how}: ${ran.stderr}${ran.stdout}`);
}
