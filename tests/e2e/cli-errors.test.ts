/** Bad input gets one clear line and a hint, the right exit status, and changes nothing. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { images } from "../harness/images.ts";
import { run } from "../harness/run.ts";
import { IMAGE, openCli, openLoadedCli } from "./cli-scene.ts";

// On a busy machine a whole test takes seconds.
setDefaultTimeout(120_000);

const cases: [words: string[], code: number, said: RegExp, hint?: RegExp][] = [
  [["run"], 125, /no image is given/, /@host/],
  [["run", "--pull", "never", "none"], 125, /"none": it is not in the store/, /tare pull.*@host/],
  [["run", "Upper/Case", "true"], 125, /"Upper\/Case"/],
  [["run", "a b", "true"], 125, /a b/],
  [["run", "--nope", IMAGE], 125, /"--nope": there is no such flag/, /--help/],
  [["run", "-m", "5x", IMAGE, "true"], 125, /"5x": want a size/],
  [["run", "-m", "1m", IMAGE, "true"], 125, /the least is 6 MiB/],
  [["run", "-m", "10m", "--memory-swap", "9m", IMAGE, "true"], 125, /less than --memory/],
  [["run", "--memory-swap", "9m", IMAGE, "true"], 125, /there is no --memory/],
  [["run", "--cpus", "1000", IMAGE, "true"], 125, /want 0.01 to/],
  [["run", "--cpuset-cpus", "x", IMAGE, "true"], 125, /want a list/],
  [["run", "--cap-add", "SYS_MAGIC", IMAGE, "true"], 125, /no such capability/],
  [["run", "--ulimit", "files=1", IMAGE, "true"], 125, /no such limit/],
  [["run", "--sysctl", "kernel.core_pattern=x", IMAGE, "true"], 125, /the whole machine/],
  [["run", "--device", "/dev/no-such", IMAGE, "true"], 125, /does not exist/],
  [["run", "--device", "/etc/passwd", IMAGE, "true"], 125, /it is no device/],
  [
    ["run", "--mount", "type=bind,source=/no/such,target=/m", IMAGE, "true"],
    125,
    /does not exist/,
    /-v makes/,
  ],
  [["run", "-v", "/a:rel", IMAGE, "true"], 125, /not an absolute path/],
  [
    ["run", "--env-file", "/no/such", IMAGE, "true"],
    125,
    /Cannot read "\/no\/such": no such file or directory \(ENOENT\)$/,
  ],
  [["run", "--env-file", "/dev/zero", IMAGE, "true"], 125, /larger than 4 MiB/],
  [["run", "--name", "n1", "-v", "/etc/passwd/x:/m", IMAGE, "true"], 125, /Cannot make the dir/],
  [["--data-root", "/etc", "images"], 1, /"\/etc": it is not tare's/, /empty directory/],
  [["run", "--security-opt", "seccomp=/no/such", IMAGE, "true"], 125, /Cannot read "\/no\/such"/],
  [["run", "--security-opt", "seccomp=/etc/passwd", IMAGE, "true"], 125, /Cannot read/],
  [["run", "--runtime", "no-such-runtime", IMAGE, "true"], 125, /there is no such program/, /crun/],
  [["run", "--rootfs", "/no/such", "true"], 125, /it is no directory/],
  [["run", "-u", "nobody-here", IMAGE, "true"], 125, /"nobody-here": not in \/etc\/passwd/],
  [["run", "-u", "4294967296", IMAGE, "true"], 125, /id is 0 to/],
  [["run", "--network", "bridge", IMAGE, "true"], 125, /want none or host/],
  [["run", "-t", "-i", IMAGE, "true"], 125, /not a terminal/],
  [["run", "--name", "a/b", IMAGE, "true"], 125, /--name "a\/b"/],
  [
    ["load", "-i", "/no/such"],
    1,
    /Cannot open "\/no\/such": no such file or directory \(ENOENT\)$/,
  ],
  [["import", "/no/such"], 1, /Cannot open "\/no\/such": no such file or directory \(ENOENT\)$/],
  [
    ["save", "-o", "/no/such/x", IMAGE],
    1,
    /Cannot write "\/no\/such\/x": no such file or directory/,
  ],
  [["save", "-o", "/etc", IMAGE], 1, /Cannot write "\/etc": .* \(EISDIR\)$/],
  [["load", "-i", "/etc/passwd"], 1, /Cannot read the archive/],
  [["load", "-i", "/etc"], 1, /has no manifest.json and no index.json/, /tare import/],
  [["load", "x"], 1, /want -i ARCHIVE/],
  [["import"], 1, /want 1 to 2 words/],
  [["import", "/etc/passwd", "name"], 1, /Cannot read the archive/],
  [["import", "/dev/null", "name"], 1, /no regular file/],
  [["import", "/etc/passwd", "Bad Name"], 1, /Bad Name/],
  [["rmi"], 1, /no image is given/],
  [["rmi", "no-such"], 1, /not in the store/],
  [["rm", "no-such"], 1, /Cannot find container "no-such"/],
  [["images", "--format", "{{.Nothing"], 1, /"{{" is not closed/],
  [["--data-root", "", "images"], 1, /--data-root "": it is empty/],
  [["history"], 1, /Cannot run "history": want 1 word, got 0/, /tare history IMAGE/],
  [["run", "-m", "9999999p", IMAGE, "true"], 125, /-m "9999999p": want less than 8 EiB/],
  [["images", "-f", "reference=["], 1, /Cannot use the pattern "\["/],
  [["version", "x"], 1, /no name is wanted here/],
  [["run", "--platform", "bogus", IMAGE, "true"], 125, /--platform "bogus": there is no such arch/],
  [
    ["run", "--platform", "linux/s390x", "--pull", "never", IMAGE, "true"],
    125,
    /it is for linux\/[a-z0-9]+, not for linux\/s390x/,
  ],
  [["run", "-v", "/a:/b:ro,rw", IMAGE, "true"], 125, /"ro" and "rw" exclude each other/],
  [["run", "--mount", "type=bind,source=a,target=/b", IMAGE], 125, /"a" is no path: want .*\.\/a/],
  [["run", "-d", IMAGE], 125, /"-d": tare has no such flag yet/, /foreground/],
  [["run", "--data-root", "/x", IMAGE], 125, /there is no such flag/, /before the command/],
  [["exec", "x", "sh"], 1, /"exec": tare has no such command yet/, /tare run/],
  [["imgaes"], 1, /there is no such command/, /Did you mean "tare images"/],
  [["frobnicate"], 1, /"frobnicate": there is no such command/, /tare help/],
  [["--nope"], 1, /there is no such flag/],
];

test("bad input says what is wrong and changes nothing", async () => {
  const cli = await openLoadedCli();
  const before = cli.inventory();
  for (const [words, code, said, hint] of cases) {
    const ran = await cli.tare(words);
    const line = words.join(" ");
    expect([line, ran.code, ran.stdout]).toEqual([line, code, ""]);
    const [first = "", second] = ran.stderr.split("\n");
    expect(first).toMatch(said);
    expect(first).toStartWith("tare: ");
    if (hint !== undefined) expect(second).toMatch(hint);
    expect(ran.stderr.trimEnd().split("\n").length).toBeLessThan(3);
    expect([line, cli.inventory()]).toEqual([line, before]);
  }
});

test("an output that takes nothing is one line, and a reader that goes is none", async () => {
  const cli = await openLoadedCli();
  const sh = (line: string, ...words: string[]) =>
    run(["bash", "-c", line, "bash", ...cli.command(...words)]);
  for (const words of [["images"], ["help"], ["save", IMAGE]]) {
    const full = await sh('"$@" > /dev/full', ...words);
    expect(full.stderr).toMatch(/^tare: Cannot write .*: no space left on device \(ENOSPC\)\n$/);
    expect([words, full.code]).toEqual([words, 1]);
    // The reader has gone before the program begins.
    const gone = await sh('exec 3> >(exec true); wait $!; "$@" >&3', ...words);
    expect([words, gone.code, gone.stderr]).toEqual([words, 141, ""]);
  }
  const mute = await sh('"$@" 2> /dev/full', "--nope");
  expect([mute.code, mute.stdout]).toEqual([1, ""]);
});

test("a helper that is missing is one line, and nothing has changed", async () => {
  const cli = await openLoadedCli();
  const { rootTarball, ociArchive } = await images();
  mustSucceed(await cli.tare(["volume", "create", "notes"]));
  const env = { ...process.env, TARE_PROGRAMS: cli.scene.dir };
  const before = cli.inventory();
  for (const [words, code] of [
    [["import", rootTarball, "other"], 1],
    [["load", "-i", ociArchive], 1],
    [["volume", "export", "notes"], 1],
    [cli.runWords(IMAGE, "true"), 125],
  ] as const) {
    const ran = await cli.tare(words, { env });
    expect(ran.stderr).toMatch(
      /^tare: Cannot start ".*\/tare-helper": .* \(ENOENT\)\n {2}hint: .*\n$/,
    );
    expect([words, ran.code, cli.inventory()]).toEqual([words, code, before]);
  }
});

test("records that are damaged are one line", async () => {
  const cli = await openLoadedCli();
  await Bun.write(join(cli.dataRoot, "tare.db"), "no database ".repeat(1000));
  const ran = await cli.tare(["images"]);
  expect([ran.code, ran.stdout]).toEqual([1, ""]);
  expect(ran.stderr).toMatch(/^tare: Cannot read "tare.db" .*it is damaged\n {2}hint: .*\n$/);
});

test("relative roots are of the current directory", async () => {
  const cli = await openCli();
  const cwd = cli.scene.dir;
  const program = cli.command()[0] ?? "";
  const made = await run([program, "--root", "here", "volume", "create", "notes"], { cwd });
  expect([made.code, made.stdout]).toEqual([0, "notes\n"]);
  const listed = await run([program, "--data-root", `${cwd}/here`, "volume", "ls", "-q"]);
  expect(listed.stdout).toBe("notes\n");
});

test("the program reads no settings of the current directory", async () => {
  const cli = await openCli();
  const dir = join(cli.scene.dir, "cwd");
  await Bun.write(join(dir, ".env"), "TARE_PROGRAMS=/nonexistent\n");
  await Bun.write(join(dir, "bunfig.toml"), 'preload = ["./evil.ts"]\n');
  await Bun.write(join(dir, "evil.ts"), 'console.log("evil");');
  const ran = await cli.tare(["version"], { cwd: dir });
  expect(ran.stdout).toStartWith("tare ");
  expect(ran.stdout).not.toContain("evil");
});

test("another user than root is told so at once", async () => {
  const cli = await openCli();
  const asNobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  for (const [words, code] of [
    [["run", "@host"], 125],
    [["images"], 1],
  ] as const) {
    const ran = await run([...asNobody, ...cli.command(...words)]);
    expect([ran.code, ran.stdout]).toEqual([code, ""]);
    expect(ran.stderr).toMatch(/^tare: .*root is needed\n {2}hint: .*sudo/);
  }
  const help = await run([...asNobody, ...cli.command("run", "--help")]);
  expect(help.code).toBe(0);
});

test("help lists every command and every flag", async () => {
  const cli = await openCli();
  const overview = await cli.tare([]);
  for (const name of ["run", "images", "load", "import", "rmi", "version"]) {
    expect(overview.stdout).toContain(`  ${name}`);
    const help = await cli.tare([name, "--help"]);
    expect([name, help.code]).toEqual([name, 0]);
  }
  const versions = await cli.tare(["version"]);
  for (const flag of ["--version", "-v"]) {
    expect((await cli.tare([flag])).stdout).toBe(versions.stdout);
  }
  const format = "{{.Client.Version}} {{.Server.Os}}";
  const printed = await cli.tare(["version", "--format", format]);
  expect(printed.stdout).toBe(`${versions.stdout.split(/[ \n]/)[1]} linux\n`);
  const { stdout } = await cli.tare(["run", "--help"]);
  for (const flag of ["--memory-swap", "--cap-add", "--userns", "-v, --volume", "-h, --hostname"]) {
    expect(stdout).toContain(flag);
  }
});
