/**
 * runc's own tests, `tests/integration/*.bats`, of its last version with the features of 1.1 and of a
 * newer one. Wants the helper programs that `make test-binaries` makes in the checkout (in 1.1 they
 * lie in `contrib/cmd`). The images that the tests would load from elsewhere are made here.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import {
  busyboxRootfs,
  cached,
  copyRootfs,
  debianRootfs,
  mustSucceed,
} from "../harness/fixtures.ts";
import { run as runProgram } from "../harness/run.ts";
import { batsLacks, runBats } from "./bats.ts";
import { chosenFiles, type Result, type Round, type Suite } from "./suite.ts";

const TESTS = "tests/integration";
/** One test: some of them wait for what another runtime never does. */
const TEST_SECONDS = 75;
const FILE_TIMEOUT_MS = 900_000;
const IMAGE_TIMEOUT_MS = 300_000;
/** What the tests call inside and Debian's busybox has not. */
const MORE_PROGRAMS = ["chrt", "nice"];
/** Half of Debian, which is unpacked for each of 60 tests and which none of them looks at. */
const DEBIAN_WITHOUT = [
  ..."t var/cache var/lib/apt var/lib/dpkg usr/share/doc usr/share/locale usr/share/man".split(" "),
  ..."usr/share/zoneinfo usr/share/perl* usr/lib/apt usr/lib/*/perl* usr/lib/*/gconv".split(" "),
  ..."usr/lib/*/libicu* usr/lib/*/libapt* usr/lib/*/libcrypto*".split(" "),
];

export const runc: Suite = suiteOf("runc", "opencontainers/runc, newest", "TARE_SUITE_RUNC");

export const runc11: Suite = suiteOf(
  "runc-1.1",
  "opencontainers/runc, 1.1.15",
  "TARE_SUITE_RUNC_1_1",
);

function suiteOf(name: string, title: string, variable: string): Suite {
  const lacks = (checkout: string) =>
    helpersOf(checkout).some((path) => existsSync(path))
      ? batsLacks(["jq", "gawk", "go", "gcc"])
      : "its helper programs were not built";
  return { name, title, variable, lacks, run };
}

/** Where the versions have the helper that every test with a terminal needs. */
function helpersOf(checkout: string): string[] {
  return ["tests/cmd/_bin/recvtty", "contrib/cmd/recvtty/recvtty"].map((path) =>
    join(checkout, path),
  );
}

function filesOf(checkout: string): string[] {
  const names = readdirSync(join(checkout, TESTS)).sort();
  return names.filter((name) => name.endsWith(".bats")).map((name) => basename(name, ".bats"));
}

async function* run(round: Round): AsyncGenerator<readonly Result[]> {
  await placeImages(round.checkout);
  // By this name engines call it, and by this name it calls itself.
  const runtime = join(round.work, "runc");
  symlinkSync(round.runtime, runtime);
  for (const name of chosenFiles(filesOf(round.checkout), round.files)) {
    // These wait for a background job, and would for the watch of the time limit too.
    const limit = name === "events" ? {} : { BATS_TEST_TIMEOUT: String(TEST_SECONDS) };
    yield await runBats(round, {
      name,
      path: join(TESTS, `${name}.bats`),
      env: { ...limit, RUNC: runtime },
      timeoutMs: FILE_TIMEOUT_MS,
    });
  }
}

/** The tests load no image that is there already. */
async function placeImages(checkout: string): Promise<void> {
  const made = await images();
  const arch = process.arch === "arm64" ? "arm64" : "amd64";
  for (const name of ["busybox", "debian"]) {
    const place = join(checkout, TESTS, "testdata", `${name}-${arch}.tar.xz`);
    rmSync(place, { force: true });
    symlinkSync(join(made, `${name}.tar`), place);
  }
}

async function images(): Promise<string> {
  const busybox = await busyboxRootfs();
  const debian = await debianRootfs();
  const recipe = [
    basename(busybox),
    basename(debian),
    makeImages.toString(),
    MORE_PROGRAMS.join(),
    DEBIAN_WITHOUT.join(),
  ];
  return cached("runc-images", recipe, (dir) => makeImages(dir, busybox, debian));
}

async function makeImages(dir: string, busybox: string, debian: string): Promise<void> {
  const root = await copyRootfs(busybox, join(dir, "root"));
  // Tests put links and files of theirs in these places.
  for (const name of ["proc", "sys", "t"])
    rmSync(join(root, name), { recursive: true, force: true });
  // Nor has the image that they are written for a name for 1000.
  for (const file of ["etc/passwd", "etc/group"]) {
    const lines = readFileSync(join(root, file), "utf8").split("\n");
    writeFileSync(join(root, file), lines.filter((line) => !line.startsWith("test:")).join("\n"));
  }
  for (const name of MORE_PROGRAMS) await addProgram(root, name);
  const pack = async (name: string, from: string, ...flags: string[]) => {
    const argv = ["tar", "--create", "--file", join(dir, `${name}.tar`), "--directory", from];
    mustSucceed(await runProgram([...argv, ...flags, "."], { timeoutMs: IMAGE_TIMEOUT_MS }));
  };
  await pack("busybox", root);
  await pack("debian", debian, ...DEBIAN_WITHOUT.map((path) => `--exclude=./${path}`));
  rmSync(root, { recursive: true });
}

/** A program of this machine, with the libraries that it is linked with. */
export async function addProgram(root: string, name: string): Promise<void> {
  const path = Bun.which(name);
  if (path === null) throw new Error(`Cannot make the image: the program ${name} is not there`);
  const place = join(root, "bin", name);
  if (existsSync(place)) unlinkSync(place);
  cpSync(path, place, { dereference: true });
  const linked = mustSucceed(await runProgram(["ldd", path])).stdout;
  for (const word of linked.split(/\s+/).filter((each) => each.startsWith("/"))) {
    const library = join(root, word);
    if (existsSync(library)) continue;
    mkdirSync(join(library, ".."), { recursive: true });
    cpSync(word, library, { dereference: true });
  }
}
