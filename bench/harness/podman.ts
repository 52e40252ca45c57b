/** podman with all of its state in a bench's own directories. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { STATE_DIR } from "./place.ts";

/** Global flags: layers in `root`, the rest under `name` in the directory for states; no systemd, no journal. */
export function podmanFlags(root: string, name: string, runtime: string): string[] {
  const state = join(STATE_DIR, `podman-${name}`);
  for (const dir of [root, state]) mkdirSync(dir, { recursive: true });
  return [
    ...["--root", root, "--runroot", state, "--tmpdir", join(state, "tmp")],
    ...["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"],
    ...["--events-backend", "none", "--runtime", runtime],
  ];
}
