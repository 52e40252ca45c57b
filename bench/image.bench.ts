/**
 * A container from an image: `tare run` and `podman run`, the same busybox imported into both, each
 * with overlay layers in the scratch directory, without a network.
 */
import { join } from "node:path";
import { mustSucceed } from "../tests/harness/fixtures.ts";
import { images } from "../tests/harness/images.ts";
import { run } from "../tests/harness/run.ts";
import type { Bench, Prepared, Surroundings } from "./harness/bench.ts";
import { podmanFlags } from "./harness/podman.ts";

const IMAGE = "example.test/bench/busybox:1";
/** What podman asks for by default is more than an ordinary machine lets it have. */
const ULIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];

export const IMAGES: Bench = { name: "image", prepare };

async function prepare(around: Surroundings): Promise<Prepared> {
  const tare = around.programs.ours.get("tare");
  const podman = around.programs.peers.get("podman");
  if (tare === undefined) return { contests: [], missing: "dist/tare is not built" };
  if (podman === undefined) return { contests: [], missing: "podman is not here" };
  const crun = around.programs.peers.get("crun") ?? "crun";
  const { rootTarball } = await images();
  const ours = [tare, "--data-root", join(around.scratch, "tare")];
  const peer = [podman, ...podmanFlags(join(around.scratch, "podman"), "image", crun)];
  await must([...ours, "import", rootTarball, IMAGE]);
  await must([...peer, "import", rootTarball, IMAGE]);
  const words = ["run", "--rm", "--network", "none", ...ULIMITS, "--cgroup-parent"];
  return {
    contests: [
      {
        name: "run from an image, podman",
        ours: {
          label: "tare",
          words: [...ours, ...words, `/${around.mark}/tare`, IMAGE, "true"],
        },
        peer: {
          label: "podman --runtime crun",
          words: [...peer, ...words, `/${around.mark}/podman`, IMAGE, "true"],
        },
        bars: { wallRatio: 0.15 },
        pairs: 50,
      },
    ],
  };
}

async function must(words: readonly string[]): Promise<void> {
  mustSucceed(await run(words, { timeoutMs: 120_000 }));
}
