import { expect, test } from "bun:test";
import { COMMANDS, findCommand } from "./commands.ts";
import { nearestToRunFlag, noCommand } from "./not-yet.ts";
import { RUN_FLAGS } from "./run-flags.ts";

const NAMES = COMMANDS.flatMap(({ name, aliases = [] }) => [name, ...aliases]);

test.each([
  [["exec", "-it", "x"], 'Cannot run "exec": tare has no such command yet', "tare run"],
  [["container", "exec", "x"], 'Cannot run "container exec": tare has no such command yet', "run"],
  [["image", "build", "."], 'Cannot run "image build": tare has no such command yet', "commit"],
  [["network", "ls"], 'Cannot run "network": tare has no such command yet', "--network host"],
  [["imagse"], 'Cannot run "imagse": there is no such command', 'Did you mean "tare images"?'],
  [["volume", "lss"], 'Cannot run "volume lss": there is no such command', "tare volume ls"],
  [["frobnicate"], 'Cannot run "frobnicate": there is no such command', 'listed by "tare help"'],
  [["volume", "frobnicate"], 'Cannot run "volume frobnicate"', 'listed by "tare help volume"'],
  [["x".repeat(100_000)], "there is no such command", "tare help"],
] as const)("%p", (words, message, hint) => {
  const error = noCommand(words, NAMES);
  expect(error.message).toContain(message);
  expect(error.hint).toContain(hint);
});

test("a flag of docker's run is told what comes nearest, one that nobody has is not", () => {
  expect(nearestToRunFlag("-p")).toContain("--network host");
  expect(nearestToRunFlag("--detach")).toContain("foreground");
  expect(nearestToRunFlag("--frobnicate")).toBeUndefined();
});

/** What docker 20.10 and podman 4.3 print of themselves. */
const DOCKER = `attach build commit cp create diff events exec export history images import info inspect
  kill load login logout logs pause port ps pull push rename restart rm rmi run save search start stats
  stop tag top unpause update version wait builder config container context image manifest network node
  plugin secret service stack swarm system trust volume`;
const PODMAN = `generate healthcheck init kube machine mount pod unmount unshare untag`;

test("each word of docker's and podman's is a command, a group, or told what comes nearest", () => {
  for (const word of `${DOCKER} ${PODMAN}`.split(/\s+/)) {
    const isThere =
      findCommand([word]) !== undefined || NAMES.some((it) => it.startsWith(`${word} `));
    const isTold = noCommand([word], NAMES).code === "unsupported";
    expect([word, isThere !== isTold]).toEqual([word, true]);
  }
});

const DOCKER_RUN = `add-host attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns
  cidfile cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems detach
  detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps
  device-write-iops disable-content-trust dns dns-option dns-search domainname entrypoint env env-file
  expose gpus group-add health-cmd health-interval health-retries health-start-period health-timeout
  hostname init interactive ip ip6 ipc isolation kernel-memory label label-file link link-local-ip
  log-driver log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount name
  network network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit platform privileged
  publish publish-all pull read-only restart rm runtime security-opt shm-size sig-proxy stop-signal
  stop-timeout storage-opt sysctl tmpfs tty ulimit user userns uts volume volume-driver volumes-from workdir`;

test("each flag of docker's run is there, or told what comes nearest", () => {
  const ours = Object.values(RUN_FLAGS).map(({ name }): string => name);
  for (const flag of DOCKER_RUN.split(/\s+/)) {
    expect([flag, ours.includes(flag) !== (nearestToRunFlag(`--${flag}`) !== undefined)]).toEqual([
      flag,
      true,
    ]);
  }
});
