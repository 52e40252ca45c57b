/**
 * Parts of a program that most runs do not need: modules by themselves, whose bytecode is read when
 * they are asked for. A few that many runs need lie loaded in the executable's heap. Which module is
 * which part, and which are kept, stands in tools/build.ts.
 */

import type { Sys } from "./types.ts";

/** The module of each part, by its name. */
type Parts = {
  readonly "tare-runtime~waiting": typeof import("../container/waiting.ts");
  readonly "tare-runtime~hooks": typeof import("../hooks/run.ts");
  readonly "tare-runtime~create": typeof import("../command/create.ts");
  readonly "tare-runtime~exec": typeof import("../command/exec.ts");
  readonly "tare-runtime~lifecycle": typeof import("../command/lifecycle.ts");
  readonly "tare-runtime~sweep": typeof import("../command/sweep.ts");
  readonly "tare-runtime~own-root": typeof import("../command/own-root.ts");
  readonly "tare-runtime~list": typeof import("../command/list.ts");
  readonly "tare-runtime~pause": typeof import("../command/pause.ts");
  readonly "tare-runtime~update": typeof import("../command/update.ts");
  readonly "tare-runtime~events": typeof import("../command/events.ts");
  readonly "tare-runtime~ps": typeof import("../command/ps.ts");
  readonly "tare-runtime~checkpoint": typeof import("../command/checkpoint.ts");
  readonly "tare-runtime~salvage": typeof import("../container/salvage.ts");
  readonly "tare-runtime~stray": typeof import("../cgroup/stray.ts");
  readonly "tare-runtime~about": typeof import("../command/about.ts");
  readonly "tare-runtime~help": typeof import("../command/help.ts");
  readonly "tare-runtime~seccomp-compile": typeof import("../seccomp/compile.ts");
  readonly "tare-runtime~scheduling": typeof import("../process/scheduling.ts");
  readonly "tare-runtime~resctrl": typeof import("../resctrl/apply.ts");
  readonly "tare-runtime~net-devices": typeof import("../network/devices.ts");
  readonly "tare-runtime~activation": typeof import("../command/activation.ts");
  readonly "tare-runtime~listener": typeof import("../seccomp/listener.ts");
  readonly "tare-runtime~outside-devices": typeof import("../devices/outside.ts");
  readonly "tare-runtime~idmap": typeof import("../mounts/idmap.ts");
  readonly "tare-runtime~mapped-source": typeof import("../mounts/mapped-source.ts");
  readonly "tare-runtime~mounts": typeof import("../command/mounts.ts");
  readonly "tare-runtime~move-root": typeof import("../mounts/move-root.ts");
  readonly "tare-runtime~mount-links": typeof import("../mounts/links.ts");
  readonly "tare-runtime~mount-locked": typeof import("../mounts/locked.ts");
  readonly "tare-runtime~mount-old": typeof import("../mounts/old-interface.ts");
  readonly "tare-runtime~overlay-layers": typeof import("../mounts/overlay-layers.ts");
  readonly "tare-runtime~copy-up": typeof import("../mounts/copy-up.ts");
  readonly "tare-runtime~systemd": typeof import("../systemd/scope.ts");
  readonly "tare-runtime~console": typeof import("../terminal/console.ts");
  readonly "tare-helper~unpack": typeof import("../verb/unpack.ts");
  readonly "tare-helper~pack": typeof import("../verb/pack.ts");
  readonly "tare-helper~volume": typeof import("../volume/apply.ts");
  readonly "tare-helper~merge": typeof import("../volume/merge.ts");
  readonly "tare-helper~quota": typeof import("../volume/quota.ts");
};

/** The exports of a part; the second call of the same name gives the same module. */
export function loadPart<Name extends keyof Parts>(sys: Sys, name: Name): Parts[Name] {
  return sys.load_part(name) as Parts[Name];
}
