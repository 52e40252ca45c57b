/**
 * Two hundred containers created, started and deleted, four at a time; and the memory of one that
 * waits for its start. The lanes are shell loops, the same for both sides.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { allCgroups } from "../tests/harness/cgroups.ts";
import { busyboxRootfs, copyRootfs, mustSucceed } from "../tests/harness/fixtures.ts";
import { run } from "../tests/harness/run.ts";
import type { Bench, Prepared, Surroundings } from "./harness/bench.ts";
import { writeDockerLikeBundle } from "./harness/bundle.ts";
import type { Verdict } from "./harness/contest.ts";
import { STATE_DIR } from "./harness/place.ts";

const LANES = 4;
const CONTAINERS_A_LANE = 50;
/** A rate of 1.5 is two thirds of the time. */
const WALL_RATIO_MAX = 1 / 1.5;

/** RUNTIME STATES BUNDLES MARK: each lane has a bundle, and so a cgroup, of its own. */
const SCRIPT = `
lane() {
  n=0
  while [ $n -lt ${CONTAINERS_A_LANE} ]; do
    id="$4-$5-$n"
    "$1" --root "$2" create --bundle "$3/$5" "$id" || exit 1
    "$1" --root "$2" start "$id" || exit 1
    "$1" --root "$2" delete --force "$id" || exit 1
    n=$((n + 1))
  done
}
lanes=""
for lane in ${Array.from({ length: LANES }, (_, lane) => lane).join(" ")}; do
  lane "$1" "$2" "$3" "$4" $lane &
  lanes="$lanes $!"
done
for lane in $lanes; do wait $lane || exit 1; done
`;

export const CROWD: Bench = { name: "crowd", prepare };

async function prepare(around: Surroundings): Promise<Prepared> {
  const ours = around.programs.ours.get("tare-runtime");
  const crun = around.programs.peers.get("crun");
  if (ours === undefined) return { contests: [], missing: "dist/tare-runtime is not built" };
  if (crun === undefined) return { contests: [], missing: "crun is not here" };
  const script = join(around.scratch, "crowd.sh");
  writeFileSync(script, SCRIPT);
  const bundles = await writeBundles(around);
  const side = (label: string, program: string) => ({
    label,
    words: ["/bin/sh", script, program, join(STATE_DIR, label), bundles, around.mark],
  });
  const bundle = join(bundles, "0");
  return {
    contests: [
      {
        name: `${LANES * CONTAINERS_A_LANE} containers, ${LANES} at a time, crun`,
        ours: side("tare-runtime", ours),
        peer: side("crun", crun),
        bars: { wallRatio: WALL_RATIO_MAX },
        pairs: 7,
        isLong: true,
      },
    ],
    facts: [await waiting(ours, crun, bundle, around.mark)],
    after: () => [leftOver(around.mark)],
  };
}

async function writeBundles(around: Surroundings): Promise<string> {
  const rootfs = await copyRootfs(await busyboxRootfs(), join(around.scratch, "crowd-rootfs"));
  const bundles = join(around.scratch, "crowd");
  for (let lane = 0; lane < LANES; lane++) {
    const dir = join(bundles, String(lane));
    mkdirSync(dir, { recursive: true });
    writeDockerLikeBundle({ dir, cgroup: `${around.mark}-crowd-${lane}`, rootfs });
  }
  return bundles;
}

/** The proportional set size of the first process between create and start, ours beside crun's. */
async function waiting(ours: string, crun: string, bundle: string, mark: string): Promise<Verdict> {
  const value = await waitingKiB(ours, bundle, `${mark}-wait-1`);
  const atMost = await waitingKiB(crun, bundle, `${mark}-wait-2`);
  return { what: "PSS of what waits for start, KiB (crun's)", value, atMost, met: value <= atMost };
}

async function waitingKiB(program: string, bundle: string, id: string): Promise<number> {
  const start = [program, "--root", join(STATE_DIR, "waiting")];
  // What waits keeps the descriptors it was given: pipes would never end.
  const words = [...start, "create", "--bundle", bundle, id];
  const created = Bun.spawn(words, { stdio: ["ignore", "ignore", "ignore"] });
  if ((await created.exited) !== 0) throw new Error(`Cannot create with ${program}`);
  const state = await run([...start, "state", id]);
  const rollup = readFileSync(`/proc/${JSON.parse(state.stdout).pid}/smaps_rollup`, "utf8");
  mustSucceed(await run([...start, "delete", "--force", id]));
  return Number(rollup.split("\nPss:")[1]?.trim().split(" ")[0]);
}

/** States and cgroups of ours that are still there. */
function leftOver(mark: string): Verdict {
  const cgroups = allCgroups().filter((path) => path.includes(`${mark}-crowd`));
  const states = ["tare-runtime", "crun"].filter((label) =>
    existsSync(join(STATE_DIR, label, `${mark}-0-0`)),
  );
  const value = cgroups.length + states.length;
  return { what: "containers' states and cgroups left over", value, atMost: 0, met: value === 0 };
}
