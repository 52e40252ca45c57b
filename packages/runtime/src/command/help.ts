/**
 * The help texts: of the program, and of each command with every option that it takes. A test holds
 * them against the option tables.
 */

import { TareError } from "@tare/spec/error.ts";

/** One command: the words after its name, what it does, and its options with their meaning. */
type Help = {
  readonly words: string;
  readonly about: string;
  readonly options: readonly (readonly [option: string, meaning: string])[];
};

const CREATE: Help["options"] = [
  ["--bundle DIR, -b", "directory of config.json (the current one)"],
  ["--config FILE, -f", "the configuration, where it is another file"],
  ["--console-socket PATH", "unix socket that is sent the terminal"],
  ["--pid-file FILE", "gets the pid of the container's first process"],
  ["--pidfd-socket PATH", "unix socket that is sent a descriptor of that process"],
  ["--preserve-fds N", "pass N descriptors on, from 3 upwards"],
  ["--no-pivot", "weaker: chroot where pivot_root(2) is not possible"],
  ["--no-new-keyring", "keep the caller's session keyring"],
  ["--no-subreaper", "accepted; the runtime is never a subreaper"],
];

/** Of `checkpoint` and `restore`. */
const CRIU: Help["options"] = [
  ["--image-path DIR", "directory of the image files (checkpoint)"],
  ["--work-path DIR", "directory of criu's log (that of the image files)"],
  ["--tcp-established", "also TCP connections that are open"],
  ["--ext-unix-sk", "also unix sockets whose other end is outside"],
  ["--shell-job", "also processes of a terminal outside"],
  ["--file-locks", "also locks of files"],
  ["--lazy-pages", "memory is fetched when it is used"],
  ["--auto-dedup", "leave out, or drop, pages that other images have"],
  ["--manage-cgroups-mode MODE", "soft (the usual), full, strict or ignore"],
  ["--network-lock METHOD", "iptables, nftables or skip: how packets are kept away meanwhile"],
  ["--empty-ns network", "accepted: what is in a network namespace is never saved"],
];

export const HELP: { readonly [command: string]: Help } = {
  run: {
    words: "CONTAINER",
    about: "create a container, start it, wait for it, delete it",
    options: [
      ...CREATE,
      ["--detach, -d", "do not wait: the container goes on by itself"],
      ["--keep", "do not delete it at its end"],
      ["--kill-on-close FD", "kill it when the other end of this pipe closes"],
    ],
  },
  create: { words: "CONTAINER", about: "make a container that waits for start", options: CREATE },
  start: { words: "CONTAINER", about: "start its program", options: [] },
  state: { words: "CONTAINER", about: "its state as JSON", options: [] },
  kill: {
    words: "CONTAINER [SIGNAL]",
    about: "send a signal (TERM)",
    options: [
      ["--all, -a", "to all of its processes; no error where there is none"],
      [
        "--regex, -r",
        "CONTAINER is an extended regular expression: to each container that it describes",
      ],
    ],
  },
  delete: {
    words: "CONTAINER...",
    about: "remove what is left of it",
    options: [
      ["--force, -f", "kill it first; no error where there is none"],
      [
        "--regex, -r",
        "CONTAINER is an extended regular expression: each container that it describes",
      ],
    ],
  },
  exec: {
    words: "CONTAINER COMMAND [WORD...] | --process FILE CONTAINER",
    about: "start a further process in it",
    options: [
      ["--process FILE, -p", "the process as a JSON object, in place of COMMAND and flags"],
      ["--detach, -d", "do not wait for its end"],
      ["--pid-file FILE", "gets its pid"],
      ["--console-socket PATH", "unix socket that is sent the terminal"],
      ["--pidfd-socket PATH", "unix socket that is sent a pidfd of it"],
      ["--cwd DIR", "working directory, absolute"],
      ["--env NAME=VALUE, -e", "add a variable; may be given again"],
      ["--user UID[:GID], -u", "who it runs as"],
      ["--additional-gids GID, -g", "add a group; may be given again"],
      ["--tty, -t", "give it a terminal"],
      ["--process-label LABEL", "SELinux label"],
      ["--apparmor PROFILE", "AppArmor profile"],
      ["--no-new-privs", "programs with set-user-ID gain nothing"],
      ["--cap NAME, -c", "add a capability; may be given again"],
      ["--preserve-fds N", "pass N descriptors on, from 3 upwards"],
      ["--ignore-paused", "also in a paused container, where it waits"],
      [
        "--cgroup PATH",
        "a cgroup below the container's; CONTROLLER:PATH on v1, may be given again",
      ],
      ["--no-subreaper", "accepted; the runtime is never a subreaper"],
    ],
  },
  list: {
    words: "",
    about: "all containers",
    options: [
      ["--format FORMAT, -f", "table or json"],
      ["--quiet, -q", "ids only"],
    ],
  },
  pause: { words: "CONTAINER", about: "stop all of its processes until resume", options: [] },
  resume: { words: "CONTAINER", about: "let its processes go on", options: [] },
  update: {
    words: "CONTAINER",
    about: "change its limits",
    options: [
      ["--resources FILE, -r", "a JSON object like linux.resources; - is standard input"],
      ["--memory SIZE", "limit of memory, as 200M; -1 for none"],
      ["--memory-reservation SIZE", "what is left to it when memory is short"],
      ["--memory-swap SIZE", "limit of memory and swap together; -1 for none"],
      ["--kernel-memory SIZE", "accepted, without effect"],
      ["--kernel-memory-tcp SIZE", "accepted, without effect"],
      ["--cpu-period N", "microseconds of a period"],
      ["--cpu-quota N", "microseconds of CPU in each period; -1 for no limit"],
      ["--cpu-burst N", "microseconds of quota that may be saved up"],
      ["--cpu-share N, --cpu-shares", "part of the CPU time against others, 1024 is the usual"],
      ["--cpu-rt-period N", "microseconds of a realtime period"],
      ["--cpu-rt-runtime N", "microseconds for realtime processes in each of them"],
      ["--cpu-idle 0|1", "run only when nobody else wants the CPU"],
      ["--cpuset-cpus LIST", "processors it may use, as 0-2,7"],
      ["--cpuset-mems LIST", "memory nodes it may use"],
      ["--pids-limit N", "number of processes and threads; -1 for no limit"],
      ["--blkio-weight N", "part of the disk time against others, 1 to 1000"],
      ["--l3-cache-schema LINE", "of Intel RDT, as L3:0=ff"],
      ["--mem-bw-schema LINE", "of Intel RDT, as MB:0=50"],
    ],
  },
  events: {
    words: "CONTAINER",
    about: "tell what it uses, and when it runs out of memory, until it ends",
    options: [
      ["--interval DURATION", "how often, as 100ms (5s)"],
      ["--stats", "tell once what it uses"],
    ],
  },
  mounts: {
    words: "add|remove CONTAINER FILE",
    about: "mount or unmount in it; FILE has a JSON array like mounts of config.json",
    options: [],
  },
  ps: {
    words: "CONTAINER [OPTIONS OF ps(1)]",
    about: "its processes",
    options: [["--format FORMAT, -f", "table, of the host's ps(1) (-ef), or json, a list of pids"]],
  },
  checkpoint: {
    words: "CONTAINER",
    about: "save it as files, by criu, and remove it",
    options: [
      ...CRIU,
      ["--parent-path DIR", "image files of a --pre-dump, relative to those of this one"],
      ["--leave-running", "it goes on"],
      ["--tcp-skip-in-flight", "pass over connections that are just being made"],
      ["--link-remap", "give unlinked files a name again"],
      ["--status-fd FD", "gets a zero byte when pages can be fetched"],
      ["--page-server ADDRESS:PORT", "who takes the pages"],
      ["--pre-dump", "save memory only; it goes on"],
    ],
  },
  restore: {
    words: "CONTAINER",
    about: "make it again from such files, wait for it, delete it",
    options: [
      ...CRIU,
      ["--bundle DIR, -b", "directory of config.json (the current one)"],
      ["--detach, -d", "do not wait: the container goes on by itself"],
      ["--pid-file FILE", "gets the pid of the container's first process"],
      ["--console-socket PATH", "unix socket that is sent the container's terminal"],
      ["--tcp-close", "TCP connections come back closed"],
      ["--no-subreaper", "accepted; the runtime is never a subreaper"],
      ["--no-pivot", "accepted; criu decides"],
      ["--lsm-profile TYPE:NAME", "another AppArmor profile or SELinux label"],
      ["--lsm-mount-context LABEL", "another SELinux label for its mounts"],
    ],
  },
  spec: {
    words: "",
    about: "write a config.json to start from",
    options: [
      ["--bundle DIR, -b", "where to (the current directory)"],
      ["--rootless", "for the caller without privileges"],
    ],
  },
  features: { words: "", about: "what this runtime can do, as JSON", options: [] },
};

const GLOBAL: Help["options"] = [
  ["--root DIR", "where states are kept (/run/tare-runtime)"],
  ["--log FILE", "append errors to it"],
  ["--log-format FORMAT", "text or json"],
  ["--log-level LEVEL", "debug, warning or error"],
  ["--debug", "the same as --log-level debug"],
  ["--systemd-cgroup", "the same as --cgroup-manager systemd"],
  ["--cgroup-manager NAME", "cgroupfs, systemd or disabled"],
  ["--rootless auto|true|false", "pass over cgroups that may not be made (auto: unless root)"],
  ["--version, -v", "print the version"],
  ["--help, -h", "print this, or the help of a command"],
];

/** The text for a command of `program`; for the program itself where none is named. */
export function helpText(program: string, name?: string): string {
  if (name === undefined) return programHelp(program);
  const help = Object.hasOwn(HELP, name) ? HELP[name] : undefined;
  if (help === undefined) {
    throw new TareError("bad_input", `Cannot help: No help topic for '${name}'`, {
      hint: `Use one of ${Object.keys(HELP).join(", ")}`,
    });
  }
  // In crun's order for who looks for crun's words.
  const named = program === "crun" ? ["[OPTION...]", name] : [name, "[OPTION...]"];
  const usage = [program, ...named, help.words];
  const options: Help["options"] = [...help.options, ["--help, -h", "print this"]];
  const line = usage.filter((word) => word !== "").join(" ");
  return `NAME:\n   ${program} ${name} - ${help.about}\n\nUsage: ${line}\n\nOPTIONS:\n${rows(options)}`;
}

function programHelp(program: string): string {
  const commands = Object.entries(HELP).map(
    ([name, { words, about }]) => [`${name} ${words}`.trim(), about] as const,
  );
  return [
    `NAME:\n   ${program} - Open Container Initiative runtime\n`,
    `Usage: ${program} [GLOBAL OPTION...] COMMAND [OPTION...] [WORD...]\n`,
    `COMMANDS:\n${rows(commands)}`,
    `GLOBAL OPTIONS:\n${rows(GLOBAL)}`,
  ].join("\n");
}

function rows(list: readonly (readonly [string, string])[]): string {
  const width = Math.max(...list.map(([name]) => name.length)) + 2;
  return list.map(([name, meaning]) => `   ${name.padEnd(width)}${meaning}\n`).join("");
}
