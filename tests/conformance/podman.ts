/**
 * podman's system tests, of the version that Debian 12 has: the files that press the runtime hardest.
 * They delete every container, image and network that they find, so podman's directories are empty
 * ones of the arena. The one image that they use is made here: there is no network.
 */
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { busyboxRootfs, cached, copyRootfs, mustSucceed } from "../harness/fixtures.ts";
import { run as runProgram } from "../harness/run.ts";
import { batsLacks, runBats } from "./bats.ts";
import { addProgram } from "./runc.ts";
import { chosenFiles, type Result, type Round, type Suite } from "./suite.ts";

const TESTS = "test/system";
const NUMBERS = ["030", "045", "050", "055", "065", "075", "080", "130", "170", "190"];
const FILE_TIMEOUT_MS = 900_000;
/** helpers.bash: PODMAN_TEST_IMAGE_FQN. */
const IMAGE_TAG = "20220615";
const IMAGE = `quay.io/libpod/testimage:${IMAGE_TAG}`;
/** The tests look for the time of this file. Seconds since 1970. */
const IMAGE_FILE_TIME = 1_600_000_000;
const OS_RELEASE = 'NAME="Alpine Linux"\nID=alpine\nPRETTY_NAME="Alpine Linux v3.16"\n';

/** Directories that podman writes to whatever it is told; /run is empty in the arena. */
const STATE = ["/var/lib/containers", "/var/lib/cni", "/etc/cni/net.d", "/dev/shm"];

/** Without CAP_SYS_RESOURCE podman's own limits cannot be had; nor is there systemd. */
const CONTAINERS_CONF = `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
`;

export const podman: Suite = {
  name: "podman",
  title: "containers/podman 4.3.1, ten files of test/system",
  variable: "TARE_SUITE_PODMAN",
  lacks: (checkout) =>
    existsSync(join(checkout, TESTS))
      ? batsLacks(["podman", "buildah", "jq"])
      : `${TESTS} is not there`,
  run,
};

/** Names without ending: 030-run. */
function filesOf(checkout: string): string[] {
  const names = readdirSync(join(checkout, TESTS)).sort();
  return names
    .filter((name) => NUMBERS.some((number) => name.startsWith(`${number}-`)))
    .map((name) => basename(name, ".bats"));
}

async function* run(round: Round): AsyncGenerator<readonly Result[]> {
  const settings = join(round.work, "containers");
  cpSync("/etc/containers", settings, { recursive: true });
  writeFileSync(join(settings, "containers.conf"), CONTAINERS_CONF);
  const program = join(round.work, "podman");
  writeFileSync(program, wrapper(round.runtime, await imageTarball()));
  chmodSync(program, 0o755);
  const mounts = STATE.map((dir) => `test ! -d ${dir} || mount -t tmpfs none ${dir}`);
  const prepare = [...mounts, `mount --bind '${settings}' /etc/containers`].join("\n");
  for (const name of chosenFiles(filesOf(round.checkout), round.files)) {
    const path = join(TESTS, `${name}.bats`);
    const env = { PODMAN: program };
    yield await runBats(round, { name, path, env, prepare, timeoutMs: FILE_TIMEOUT_MS });
  }
}

/** podman with the runtime under test; the tests' image comes from a file instead of a registry. */
function wrapper(runtime: string, tarball: string): string {
  return `#!/bin/sh
case "$1 $*" in
  "pull "*${IMAGE}*)
    exec podman import --change WORKDIR=/home/podman --change 'CMD ["/bin/echo","a test image"]' \\
      '${tarball}' ${IMAGE} ;;
esac
exec podman --runtime '${runtime}' "$@"
`;
}

async function imageTarball(): Promise<string> {
  const busybox = await busyboxRootfs();
  const recipe = [basename(busybox), makeImage.toString(), OS_RELEASE, ADDUSER];
  return join(await cached("podman-image", recipe, (dir) => makeImage(dir, busybox)), "image.tar");
}

/** What Debian's busybox has no applet for. */
const ADDUSER = `#!/bin/sh
while getopts u:G:Dg:s: option; do
  case $option in u) uid=$OPTARG ;; G) group=$OPTARG ;; g) gecos=$OPTARG ;; s) shell=$OPTARG ;; esac
done
shift $((OPTIND - 1))
gid=$(awk -F: -v name="$group" '$1 == name { print $3 }' /etc/group)
echo "$1:x:$uid:$gid:$gecos:/home/$1:$shell" >>/etc/passwd
`;

async function makeImage(dir: string, busybox: string): Promise<void> {
  const root = await copyRootfs(busybox, join(dir, "root"));
  rmSync(join(root, "t"), { recursive: true });
  const home = join(root, "home/podman");
  mkdirSync(home);
  const id = join(home, "testimage-id");
  writeFileSync(id, `${IMAGE_TAG}\n`);
  utimesSync(id, IMAGE_FILE_TIME, IMAGE_FILE_TIME);
  const pause =
    "#!/bin/sh\necho Confirmed: testimage pause invoked as $0\nwhile :; do sleep 0.1; done\n";
  writeFileSync(join(home, "pause"), pause, { mode: 0o755 });
  writeFileSync(join(root, "etc/os-release"), OS_RELEASE);
  mkdirSync(join(root, "srv"));
  symlinkSync("/proc/mounts", join(root, "etc/mtab"));
  appendFileSync(join(root, "etc/group"), "ping:x:999:\nnobody:x:65534:\n");
  rmSync(join(root, "bin/adduser"), { force: true });
  writeFileSync(join(root, "bin/adduser"), ADDUSER, { mode: 0o755 });
  await addProgram(root, "printenv");
  const argv = ["tar", "--create", "--file", join(dir, "image.tar"), "--directory", root, "."];
  mustSucceed(await runProgram(argv, { timeoutMs: 60_000 }));
  rmSync(root, { recursive: true });
}
