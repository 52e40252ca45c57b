/**
 * What users of Docker and podman type and tare does not have: told as such, with what comes nearest.
 * Loaded only when a word was not understood.
 */
import { TareError } from "@tare/spec/error.ts";

const FOREGROUND = 'Containers run in the foreground: "tare run" ends with its command';
const AT_START = 'Say it to "tare run", when the container starts';
const NETWORKS = '"tare run --network none" and "--network host" are the networks there are';
const CLUSTER = "tare runs containers on one machine";
const RUN_ONLY = 'Make and start it in one step: "tare run"';
const BY_HAND =
  'Run the steps in a container, then make an image of it: "tare run --name work IMAGE COMMAND", "tare commit work NAME"';

/** By the word, or the two words of a group. */
const COMMANDS: ReadonlyMap<string, string> = new Map([
  ["attach", FOREGROUND],
  ["build", BY_HAND],
  ["builder", BY_HAND],
  ["buildx", BY_HAND],
  ["image build", BY_HAND],
  ["checkpoint", '"tare-runtime checkpoint" does so for containers of tare-runtime'],
  ["compose", CLUSTER],
  ["completion", '"tare help" lists the commands'],
  ["config", CLUSTER],
  ["context", "There is no daemon to choose: tare works on this machine"],
  [
    "cp",
    '"tare export" writes the files of a container, "tare run -v" shows it files of the machine',
  ],
  ["create", RUN_ONLY],
  ["events", '"tare ps" and "tare images" list what there is now'],
  ["exec", `${AT_START}: tare run IMAGE sh -c "COMMAND; COMMAND"`],
  ["generate", '"tare-runtime spec" writes a configuration'],
  ["healthcheck", FOREGROUND],
  ["image scp", "tare save NAME | ssh HOST tare load"],
  ["image trust", "Signatures are not looked at"],
  ["info", '"tare version", "tare system df"'],
  ["init", '"tare run --init" has a small first process'],
  [
    "kill",
    '"tare rm -f" ends a container; any other signal goes by its "tare run", which passes it on',
  ],
  ["kube", CLUSTER],
  ["logs", 'The output of a container is that of its "tare run": send it to a file'],
  ["machine", "tare needs no virtual machine: it runs on this one"],
  [
    "mount",
    '"tare export" writes the files of a container, "tare run --mount type=image" shows those of an image',
  ],
  ["network", NETWORKS],
  ["node", CLUSTER],
  ["pause", '"tare-runtime pause" does so for containers of tare-runtime'],
  ["plugin", "There are none: volumes are local, networks are none and host"],
  ["pod", CLUSTER],
  ["port", '"tare run --network host" has the ports of the machine'],
  ["rename", `${AT_START}: --name`],
  ["restart", RUN_ONLY],
  ["secret", '"tare run -v FILE:/run/secrets/NAME:ro" shows it a file'],
  ["service", CLUSTER],
  ["stack", CLUSTER],
  ["start", RUN_ONLY],
  ["stats", '"tare-runtime events --stats" counts for containers of tare-runtime'],
  [
    "stop",
    'Send SIGTERM to the "tare run" of the container, which passes it on; "tare rm -f" ends it at once',
  ],
  ["swarm", CLUSTER],
  ["system events", '"tare ps" and "tare images" list what there is now'],
  ["system info", '"tare version", "tare system df"'],
  ["system service", "There is no daemon and no API"],
  ["top", '"tare-runtime ps" does so for containers of tare-runtime'],
  ["trust", "Signatures are not looked at"],
  ["unmount", "Nothing of tare stays mounted on the machine"],
  ["unpause", '"tare-runtime resume" does so for containers of tare-runtime'],
  ["unshare", '"tare run --userns auto" has a user namespace'],
  ["untag", '"tare rmi NAME" takes a name away where the image has others'],
  ["update", `${AT_START}: -m, --cpus, --pids-limit`],
  ["volume exists", '"tare volume inspect NAME" has status 1 where there is none'],
  ["image exists", '"tare image inspect NAME" has status 1 where there is none'],
  ["wait", FOREGROUND],
]);

const PORTS = '"--network host" has the ports of the machine';
const RESOLVER =
  'The container has the machine\'s /etc/resolv.conf; "-v FILE:/etc/resolv.conf" shows it another';
const HEALTH = "A container has nobody to ask for its health while it runs";
const LOGGING = 'The output is that of "tare run": send it to a file';
const BLOCK_IO = "tare-runtime has limits of block devices, in config.json";
const CPU_TIME = '"--cpus NUMBER" limits processor time';
const NAMESPACE = "Each container has a namespace of its own";

/** Flags of `run`, as they are written. */
const RUN_FLAGS: ReadonlyMap<string, string> = new Map([
  ["--add-host", '"-v FILE:/etc/hosts" shows it another'],
  ["--annotation", "Nothing reads annotations yet"],
  ["-a", "Standard output and error are the caller's, standard input with -i"],
  ["--attach", "Standard output and error are the caller's, standard input with -i"],
  ["--blkio-weight", BLOCK_IO],
  ["--blkio-weight-device", BLOCK_IO],
  ["--cgroupns", NAMESPACE],
  ["--cidfile", '"--name NAME" gives a name to call it by'],
  ["--cpu-period", CPU_TIME],
  ["--cpu-quota", CPU_TIME],
  ["--cpu-rt-period", CPU_TIME],
  ["--cpu-rt-runtime", CPU_TIME],
  ["--cpuset-mems", '"--cpuset-cpus LIST" chooses processors'],
  ["-d", 'Containers run in the foreground; "&" of the shell puts one into the background'],
  ["--detach", 'Containers run in the foreground; "&" of the shell puts one into the background'],
  ["--detach-keys", FOREGROUND],
  ["--device-cgroup-rule", '"--device HOST[:INSIDE[:rwm]]" gives a device'],
  ["--device-read-bps", BLOCK_IO],
  ["--device-read-iops", BLOCK_IO],
  ["--device-write-bps", BLOCK_IO],
  ["--device-write-iops", BLOCK_IO],
  ["--disable-content-trust", "Signatures are not looked at: leave it out"],
  ["--dns", RESOLVER],
  ["--dns-option", RESOLVER],
  ["--dns-search", RESOLVER],
  ["--domainname", '"--hostname NAME" sets the host name'],
  ["--expose", PORTS],
  ["--gpus", '"--device HOST" gives a device'],
  ["--group-add", '"--user USER:GROUP" sets the group'],
  ["--health-cmd", HEALTH],
  ["--health-interval", HEALTH],
  ["--health-retries", HEALTH],
  ["--health-start-period", HEALTH],
  ["--health-timeout", HEALTH],
  ["--no-healthcheck", "No health is checked: leave it out"],
  ["--ip", NETWORKS],
  ["--ip6", NETWORKS],
  ["--ipc", NAMESPACE],
  ["--isolation", "It is for Windows: leave it out"],
  ["--kernel-memory", '"--memory SIZE" counts the kernel\'s memory, too'],
  ["-l", '"--name NAME" gives a name to call it by'],
  ["--label", '"--name NAME" gives a name to call it by'],
  ["--label-file", '"--name NAME" gives a name to call it by'],
  ["--link", NETWORKS],
  ["--link-local-ip", NETWORKS],
  ["--log-driver", LOGGING],
  ["--log-opt", LOGGING],
  ["--mac-address", NETWORKS],
  ["--memory-reservation", '"--memory SIZE" limits memory'],
  ["--memory-swappiness", '"--memory-swap SIZE" limits memory and swap together'],
  ["--network-alias", NETWORKS],
  ["--oom-kill-disable", '"--memory SIZE" limits memory'],
  ["--oom-score-adj", '"--memory SIZE" limits memory'],
  ["--pid", NAMESPACE],
  ["--pod", CLUSTER],
  ["-p", PORTS],
  ["--publish", PORTS],
  ["-P", PORTS],
  ["--publish-all", PORTS],
  ["--restart", "Containers run in the foreground; a service of systemd can restart one"],
  ["--shm-size", '"--tmpfs /dev/shm:size=SIZE" sets it'],
  ["--sig-proxy", "Signals always reach the container"],
  ["--stop-signal", 'Any signal that "tare run" gets reaches the container'],
  ["--stop-timeout", 'Any signal that "tare run" gets reaches the container'],
  ["--storage-opt", '"tare volume create -o" has options of volumes'],
  ["--uts", '"--hostname NAME" sets the host name'],
  ["--volume-driver", "local is the only one"],
  ["--volumes-from", '"-v NAME:/PATH" shares a volume by its name'],
]);

/** How far a word may be from a command that is offered in its place. */
const DISTANCE_MAX = 2;

/**
 * The error for a word, or two, that are no command; `names` are those that there are.
 */
export function noCommand(words: readonly string[], names: readonly string[]): TareError {
  const [first = "", second = ""] = words;
  const pair = `${first} ${second}`;
  const bare = first === "container" ? second : first;
  const isGroup = names.some((name) => name.startsWith(`${first} `));
  const word = isGroup ? pair.trim() : first;
  const nearest = COMMANDS.get(pair) ?? COMMANDS.get(bare);
  if (nearest !== undefined) {
    const message = `Cannot run "${word}": tare has no such command yet`;
    return new TareError("unsupported", message, { hint: nearest });
  }
  const similar = names
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .filter(({ distance }) => distance <= DISTANCE_MAX)
    .sort((a, b) => a.distance - b.distance)[0];
  const list = `The commands are listed by "tare help${isGroup ? ` ${first}` : ""}"`;
  return new TareError("bad_input", `Cannot run "${word}": there is no such command`, {
    hint: similar === undefined ? list : `Did you mean "tare ${similar.name}"? ${list}`,
  });
}

/** What comes nearest to a flag of Docker's `run`, such as "--publish" or "-p", that there is not. */
export function nearestToRunFlag(flag: string): string | undefined {
  return RUN_FLAGS.get(flag);
}

/** Letters to add, take away or exchange (Levenshtein); the words are short. */
function editDistance(from: string, to: string): number {
  const WORD_LENGTH_MAX = 40;
  if (from.length > WORD_LENGTH_MAX) return from.length;
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let at = 1; at <= from.length; at++) {
    const next = [at];
    for (let other = 1; other <= to.length; other++) {
      const same = from[at - 1] === to[other - 1] ? 0 : 1;
      const exchanged = (row[other - 1] ?? 0) + same;
      next.push(Math.min(exchanged, (row[other] ?? 0) + 1, (next[other - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
