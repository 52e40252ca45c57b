/** The process inside is exactly what config.json's `process` says, and how it ends is passed on. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_NAMESPACES, type ProcessConfig } from "../harness/bundle.ts";
import { copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { patiently } from "../harness/places.ts";
import { run } from "../harness/run.ts";
import {
  openScene,
  type Scene,
  type SceneBundle,
  type SceneBundleOptions,
} from "../harness/scene.ts";

setDefaultTimeout(patiently(60_000));

/** What the program `report` prints. */
type Report = {
  readonly pid: number;
  readonly sid: number;
  readonly uid: number;
  readonly euid: number;
  readonly gid: number;
  readonly umask: number;
  readonly cwd: string;
  readonly groups: number[];
  readonly args: string[];
  readonly env: string[];
  readonly fds: Record<string, string>;
  readonly rlimits: Record<"RLIMIT_NOFILE" | "RLIMIT_CORE" | "RLIMIT_FSIZE", [string, string]>;
  readonly noNewPrivs: number;
  readonly sigIgn: string;
  readonly sigBlk: string;
} & Record<"capInh" | "capPrm" | "capEff" | "capBnd" | "capAmb", string>;

async function report(scene: Scene, options: SceneBundleOptions = {}): Promise<Report> {
  const ran = await scene.runIn({ args: ["/t/report"], ...options });
  if (ran.code !== 0) throw new Error(`report ended with ${ran.code}: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as Report;
}

const NO_PID_NAMESPACE = {
  namespaces: DEFAULT_NAMESPACES.filter((type) => type !== "pid").map((type) => ({ type })),
};

test("a stream that leads to the null device leads to the container's own", async () => {
  const scene = await openScene();
  // The harness gives the host's as standard input; this output is another.
  const ran = await scene.runIn({ sh: "stat -L -c %d:%i /dev/null /proc/self/fd/0; cat" });
  const [own, stream] = mustSucceed(ran).stdout.split("\n");
  expect(own).toMatch(/^\d+:\d+$/);
  expect(stream).toBe(own as string);
});

test("arguments and environment arrive byte for byte, the caller's environment does not", async () => {
  const scene = await openScene();
  const args = [
    "/t/report",
    "",
    "two words",
    "quote\"'",
    "back\\slash",
    "new\nline",
    "é€😀",
    "--",
    "-x",
  ];
  const env = [
    "PATH=/bin",
    "EMPTY=",
    "EQUALS=a=b=c",
    "ODD=é€😀\n2",
    `TARE_TEST_MARK=${scene.mark}`,
  ];
  const bundle = scene.bundle({ process: { args, env } });
  const ran = await scene.run(bundle, { env: { SECRET_OF_THE_CALLER: "1" } });
  const got = JSON.parse(ran.stdout) as Report;
  expect(got.args).toEqual(args);
  expect(got.env.filter((line) => !line.startsWith("HOME="))).toEqual(env);
});

test("of a variable given twice the last counts; an empty HOME is looked up", async () => {
  const scene = await openScene();
  const env = [
    "HOME=/elsewhere",
    "ONE=1",
    "HOME=",
    "TWO=2",
    "ONE=",
    `TARE_TEST_MARK=${scene.mark}`,
  ];
  const got = await report(scene, {
    process: { args: ["/t/report"], env, user: { uid: 1000, gid: 0 } },
  });
  expect(got.env.toSorted()).toEqual(
    ["HOME=/home/test", "ONE=", `TARE_TEST_MARK=${scene.mark}`, "TWO=2"].toSorted(),
  );
});

test("it may run where its cpuset says, wherever the caller may", async () => {
  const scene = await openScene();
  const allowed = ["grep", "Cpus_allowed_list", "/proc/self/status"];
  const bundle = scene.bundle({ args: allowed });
  const free = await scene.run(bundle);
  const bound = await run([
    "taskset",
    "-c",
    "0",
    ...scene.command("run", "-b", bundle.dir, bundle.id),
  ]);
  expect(mustSucceed(bound).stdout).toBe(mustSucceed(free).stdout);
});

test("standard input, output and error are the caller's", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({ sh: "cat; echo problem >&2" });
  const ran = await scene.run(bundle, { stdin: "line 1\nline 2\n" });
  expect(ran.stdout).toBe("line 1\nline 2\n");
  expect(ran.stderr).toBe("problem\n");
});

describe("cwd", () => {
  test("is the configured one and relative commands start there", async () => {
    const scene = await openScene();
    const got = await report(scene, { process: { cwd: "/t", args: ["./report"] } });
    expect(got.cwd).toBe("/t");
  });

  test("is made where it is missing and the root may be written", async () => {
    const scene = await openScene();
    const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
    const got = await report(scene, {
      rootfs,
      writable: true,
      process: { cwd: "/new/place", args: ["/t/report"] },
    });
    expect(got.cwd).toBe("/new/place");
  });

  test("that is relative or a file is refused", async () => {
    const scene = await openScene();
    expect((await scene.runIn({ process: { cwd: "etc" } })).code).not.toBe(0);
    expect((await scene.runIn({ process: { cwd: "/etc/passwd" } })).code).not.toBe(0);
  });
});

describe("user", () => {
  test("uid, gid, umask and groups; the primary group is among the groups", async () => {
    const scene = await openScene();
    const user = { uid: 1000, gid: 1001, umask: 0o027, additionalGids: [50, 60] };
    const got = await report(scene, { process: { user, args: ["/t/report"] } });
    expect([got.uid, got.euid, got.gid, got.umask]).toEqual([1000, 1000, 1001, 0o027]);
    expect(got.groups.toSorted((a, b) => a - b)).toEqual([50, 60, 1001]);
  });

  test("the caller's groups are gone and the umask is 022 unless configured", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["/t/report"] });
    const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
    const ran = await run([
      "sh",
      "-c",
      'umask 077; exec setpriv --groups 77,78 "$@"',
      "sh",
      ...argv,
    ]);
    const got = JSON.parse(ran.stdout) as Report;
    expect(got.umask).toBe(0o022);
    expect(got.groups.filter((gid) => gid !== 0)).toEqual([]);
  });

  // CVE-2022-36109: without the primary gid in the list, a mode of g-r shuts nobody out.
  test("a file its group may not read stays closed to a user of that primary group", async () => {
    const scene = await openScene();
    const file = join(scene.dir, "negative");
    writeFileSync(file, "secret");
    chownSync(file, 0, 1000);
    chmodSync(file, 0o604);
    const script = "cat /mnt/negative 2>/dev/null || echo denied";
    for (const additionalGids of [[], [50]]) {
      const ran = await scene.runIn({
        process: { user: { uid: 1000, gid: 1000, additionalGids }, args: ["sh", "-c", script] },
        mounts: [{ destination: "/mnt", type: "bind", source: scene.dir, options: ["bind", "ro"] }],
      });
      expect(ran.stdout).toBe("denied\n");
    }
  });
});

describe("limits", () => {
  test("soft and hard, each its own, also beyond 2^53", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      process: {
        args: ["/t/report"],
        rlimits: [
          { type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
          { type: "RLIMIT_CORE", soft: 0, hard: 0 },
          { type: "RLIMIT_FSIZE", soft: 123_456_789, hard: 987_654_321 },
        ],
      },
    });
    const path = join(bundle.dir, "config.json");
    const exact = readFileSync(path, "utf8")
      .replace("123456789", "9007199254740993")
      .replace("987654321", "18446744073709551615");
    writeFileSync(path, exact);
    const got = JSON.parse((await scene.run(bundle)).stdout) as Report;
    expect(got.rlimits.RLIMIT_NOFILE).toEqual(["100", "200"]);
    expect(got.rlimits.RLIMIT_CORE).toEqual(["0", "0"]);
    expect(got.rlimits.RLIMIT_FSIZE).toEqual(["9007199254740993", "18446744073709551615"]);
  });

  test("an unknown name, a name given twice and soft above hard are refused", async () => {
    const scene = await openScene();
    const one = { type: "RLIMIT_NOFILE", soft: 10, hard: 20 };
    for (const rlimits of [[{ ...one, type: "RLIMIT_MOON" }], [one, one], [{ ...one, soft: 30 }]]) {
      expect((await scene.runIn({ process: { rlimits } })).code).not.toBe(0);
    }
  });

  test("the oom score", async () => {
    const scene = await openScene();
    const args = ["cat", "/proc/self/oom_score_adj"];
    expect((await scene.runIn({ process: { args, oomScoreAdj: 321 } })).stdout).toBe("321\n");
  });
});

describe("how it ends", () => {
  test.each([0, 1, 2, 42, 125, 126, 127, 128, 129, 137, 254, 255])("exit code %d", async (code) => {
    const scene = await openScene();
    expect((await scene.runIn({ sh: `exit ${code}` })).code).toBe(code);
  });

  test.each([1, 2, 6, 9, 11, 15, 34])("signal %d becomes 128 and that", async (signal) => {
    const scene = await openScene();
    // Pid 1 of a namespace is immune to its own signals, so this one lives among the host's.
    const ran = await scene.runIn({
      sh: `ulimit -c 0; kill -${signal} $$`,
      linux: NO_PID_NAMESPACE,
    });
    expect(ran.code).toBe(128 + signal);
  });

  test("a signal to the foreground runtime goes to the program", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({
      sh: "trap 'exit 7' TERM; echo ready > /dev/shm/go; while :; do sleep 0.05; done",
    });
    let pid = 0;
    const ending = scene.run(bundle, { onStart: (started) => (pid = started) });
    await scene.waitForStatus(bundle.id, "running");
    await Bun.sleep(200);
    process.kill(pid, "SIGTERM");
    expect((await ending).code).toBe(7);
  });

  test("a killed pid 1 is 137", async () => {
    const scene = await openScene();
    const bundle = scene.bundle({ args: ["sleep", "30"] });
    const ending = scene.run(bundle);
    await scene.waitForStatus(bundle.id, "running");
    await scene.kill(bundle.id, "KILL");
    expect((await ending).code).toBe(137);
  });

  const missing: [name: string, process: Partial<ProcessConfig>, code: number][] = [
    ["a name that PATH does not have", { args: ["no-such-program"] }, 127],
    ["a path that does not exist", { args: ["/no/such/program"] }, 127],
    ["no PATH in the environment", { args: ["no-such-program"], env: [] }, 127],
    ["a file that may not be executed", { args: ["/etc/passwd"] }, 126],
    ["a directory", { args: ["/etc"] }, 126],
  ];
  test.each(missing)("%s", async (_name, process, code) => {
    const scene = await openScene();
    const ran = await scene.runIn({ process });
    expect(ran.code).toBe(code);
    expect(ran.stdout).toBe("");
    expect(ran.stderr).not.toBe("");
  });

  test("PATH of the container decides, not the caller's", async () => {
    const scene = await openScene();
    const got = await report(scene, {
      process: { args: ["report"], env: ["PATH=/nowhere:/t", `TARE_TEST_MARK=${scene.mark}`] },
    });
    expect(got.args).toEqual(["report"]);
  });
});

test("a script whose interpreter is missing: one line says so", async () => {
  const scene = await openScene();
  const source = join(scene.dir, "script");
  writeFileSync(source, "#!/nowhere/interpreter\n", { mode: 0o755 });
  const mount = { destination: "/dev/shm/script", type: "bind", source, options: ["bind"] };
  const ran = await scene.runIn({ args: ["/dev/shm/script"], mounts: [mount] });
  expect(ran.code).toBe(127);
  expect(ran.stderr).toMatch(/^[^\n]*exec \/dev\/shm\/script: no such file or directory[^\n]*\n$/);
});

describe("capabilities", () => {
  const bits = (...numbers: number[]) =>
    numbers
      .reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n)
      .toString(16)
      .padStart(16, "0");
  const [CHOWN, KILL, SETUID] = [0, 5, 7];
  const sets = {
    bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
    permitted: ["CAP_CHOWN", "CAP_KILL"],
    effective: ["CAP_CHOWN"],
    inheritable: ["CAP_KILL"],
    ambient: ["CAP_KILL"],
  };

  test("all five sets of an ordinary user: what is ambient stays through execve", async () => {
    const scene = await openScene();
    const user = { uid: 1000, gid: 1000 };
    const got = await report(scene, { process: { args: ["/t/report"], user, capabilities: sets } });
    expect(got.capBnd).toBe(bits(CHOWN, KILL, SETUID));
    expect(got.capInh).toBe(bits(KILL));
    expect(got.capAmb).toBe(bits(KILL));
    expect(got.capPrm).toBe(bits(KILL));
    expect(got.capEff).toBe(bits(KILL));
  });

  test("root has the bounding set, and nothing inheritable or ambient by default", async () => {
    const scene = await openScene();
    const { bounding } = sets;
    const capabilities = { bounding, permitted: bounding, effective: bounding };
    const got = await report(scene, { process: { args: ["/t/report"], capabilities } });
    expect([got.capBnd, got.capPrm, got.capEff]).toEqual(Array(3).fill(bits(CHOWN, KILL, SETUID)));
    expect([got.capInh, got.capAmb]).toEqual([bits(), bits()]);
  });

  test("an ordinary user has none unless ambient; no sets at all means none even for root", async () => {
    const scene = await openScene();
    const ordinary = await report(scene, {
      process: { args: ["/t/report"], user: { uid: 1000, gid: 1000 } },
    });
    expect([ordinary.capPrm, ordinary.capEff]).toEqual([bits(), bits()]);
    const none = await report(scene, {
      args: ["/t/report"],
      edit: (config) => {
        delete config.process.capabilities;
      },
    });
    expect([none.capBnd, none.capPrm, none.capEff]).toEqual([bits(), bits(), bits()]);
  });

  test("what the caller has not got is left out with a warning, but in a user namespace", async () => {
    const scene = await openScene();
    const wanted = ["CAP_SYS_TIME", "CAP_KILL"];
    const capabilities = { bounding: wanted, permitted: wanted, effective: wanted };
    const options = { args: ["/t/report"], process: { capabilities } };
    const plain = scene.bundle(options);
    const ids = [{ containerID: 0, hostID: 0, size: 65_536 }];
    const namespaces = ["mount", "pid", "user"].map((type) => ({ type }));
    const mapped = scene.bundle({
      ...options,
      mounts: [],
      linux: { namespaces, uidMappings: ids, gidMappings: ids },
      edit: (config) => {
        config.mounts = config.mounts.filter(({ type }) => type === "proc");
        delete config.hostname;
      },
    });
    const without = ["setpriv", "--bounding-set=-sys_time"];
    const runIn = (bundle: SceneBundle) =>
      run([...without, ...scene.command("run", "-b", bundle.dir, bundle.id)]);
    const ran = await runIn(plain);
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringContaining("CAP_SYS_TIME") });
    const { capBnd, capPrm, capEff } = JSON.parse(ran.stdout) as Report;
    expect([capBnd, capPrm, capEff]).toEqual(Array(3).fill(bits(KILL)));
    expect(await runIn(mapped)).toMatchObject({ code: 0, stderr: "" });
  });

  test("exec leaves them out too", async () => {
    const scene = await openScene();
    const wanted = ["CAP_SYS_TIME", "CAP_KILL"];
    const capabilities = { bounding: wanted, permitted: wanted, effective: wanted };
    const bundle = scene.bundle({ args: ["sleep", "60"], process: { capabilities } });
    await scene.create(bundle);
    await scene.start(bundle.id);
    const exec = scene.command("exec", bundle.id, "/t/report");
    const ran = await run(["setpriv", "--bounding-set=-sys_time", ...exec]);
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringContaining("CAP_SYS_TIME") });
    expect((JSON.parse(ran.stdout) as Report).capEff).toBe(bits(KILL));
    await scene.verb("delete", "--force", bundle.id);
  });

  test("a capability that is not held does not work", async () => {
    const scene = await openScene();
    const capabilities = {
      bounding: ["CAP_KILL"],
      permitted: ["CAP_KILL"],
      effective: ["CAP_KILL"],
    };
    const options = { sh: "touch /dev/shm/f; chown 5 /dev/shm/f 2>/dev/null && echo changed" };
    expect((await scene.runIn(options)).stdout).toBe("changed\n");
    expect((await scene.runIn({ ...options, process: { capabilities } })).stdout).toBe("");
  });

  test("an unknown name is left out with a warning; where no name is known, all are refused", async () => {
    const scene = await openScene();
    const some = { bounding: ["CAP_MOON", "CAP_KILL"], permitted: ["CAP_KILL", "moon"] };
    const args = ["/t/report"];
    const ran = await scene.runIn({ args, process: { capabilities: some } });
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringMatching(/CAP_MOON, moon/) });
    const { capBnd, capPrm } = JSON.parse(ran.stdout) as Report;
    expect([capBnd, capPrm]).toEqual([bits(KILL), bits(KILL)]);
    const none = { bounding: ["CAP_MOON"], permitted: ["KILL"] };
    expect((await scene.runIn({ args, process: { capabilities: none } })).code).not.toBe(0);
  });
});

test("no_new_privileges makes a setuid program harmless, and without it the program works", async () => {
  const scene = await openScene();
  const rootfs = await copyRootfs(scene.rootfs, join(scene.dir, "rootfs"));
  chmodSync(join(rootfs, "t/report"), 0o4755);
  const euids = [];
  for (const noNewPrivileges of [true, false]) {
    const user = { uid: 1000, gid: 1000 };
    const got = await report(scene, {
      rootfs,
      process: { args: ["/t/report"], user, noNewPrivileges },
    });
    euids.push([got.euid, got.noNewPrivs]);
  }
  expect(euids).toEqual([
    [1000, 1],
    [0, 0],
  ]);
});

test("only descriptors 0 to 2 are open, whatever the caller leaks", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({ args: ["/t/report"] });
  const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
  const script = 'exec 3</ 7</etc/passwd 9</ ; exec "$@"';
  const ran = await run(["bash", "-c", script, "bash", ...argv]);
  const { fds } = JSON.parse(ran.stdout) as Report;
  expect(Object.keys(fds)).toEqual(["0", "1", "2"]);
});

test("no signal is blocked or ignored, whatever the caller ignores", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({ args: ["/t/report"] });
  const script = `trap "" HUP INT PIPE USR1 ALRM TERM CHLD RTMAX; exec "$@"`;
  const argv = scene.command("run", "--bundle", bundle.dir, bundle.id);
  const ran = await run(["bash", "-c", script, "bash", ...argv]);
  const inside = JSON.parse(mustSucceed(ran).stdout) as Report;
  for (const set of [inside.sigIgn, inside.sigBlk]) expect(set).toMatch(/^0+$/);
});

test("the runtime's own program is nowhere to be seen from inside", async () => {
  const scene = await openScene();
  const bundle = scene.bundle({
    sh: "readlink /proc/1/exe; grep -cE 'memfd|runtime' /proc/1/maps",
  });
  const ran = await scene.run(bundle);
  expect(ran.stdout).toBe("/bin/busybox\n0\n");
});

test("long lists of arguments pass whole", async () => {
  const scene = await openScene();
  const words = Array.from({ length: 5_000 }, (_, index) => `word-${index}`);
  const ran = await scene.runIn({
    args: ["/bin/sh", "-c", 'echo $#; shift 4999; echo "$1"', "sh", ...words],
  });
  expect(ran.stdout).toBe("5000\nword-4999\n");
});

describe("the session keyring", () => {
  /** keyctl(KEYCTL_GET_KEYRING_ID) of the session's: the number of a key is the same everywhere. */
  const ask = ["/t/call", "250", "0", "-3", "0"];

  test("is the container's own: the caller's keys stay unseen", async () => {
    const scene = await openScene();
    const outside = await run([join(scene.rootfs, "t/call"), ...ask.slice(1)]);
    expect(outside.stdout).toMatch(/^ret \d+ /);
    const inside = await scene.runIn({ args: ask });
    expect(inside.stdout).toMatch(/^ret \d+ /);
    expect(inside.stdout).not.toBe(outside.stdout);
    // Its twin, which also shows that the first would fail without the defence.
    const bundle = scene.bundle({ args: ask });
    const kept = await scene.verb("run", "--no-new-keyring", "--bundle", bundle.dir, bundle.id);
    expect(kept.stdout).toBe(outside.stdout);
  });
});
