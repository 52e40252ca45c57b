/**
 * System calls that 32-bit and old ABIs also reach through socketcall(2) and ipc(2): the inner call
 * is the first argument. Numbers: <linux/net.h> SYS_*, <linux/ipc.h>.
 */

import type { SeccompArg } from "@tare/spec/oci-runtime.ts";

export type Multiplexed = {
  readonly call: "socketcall" | "ipc";
  /** Chooses the inner call. The kernel takes a version from the upper half of ipc's number. */
  readonly selects: SeccompArg;
};

const SOCKETCALL =
  "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom " +
  "shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";

const IPC: readonly (readonly [first: number, names: string])[] = [
  [1, "semop semget semctl semtimedop"],
  [11, "msgsnd msgrcv msgget msgctl"],
  [21, "shmat shmdt shmget shmctl"],
];

let known: ReadonlyMap<string, Multiplexed> | undefined;

/** How `name` is reached through a multiplexer; undefined where no ABI does so. */
export function multiplexed(name: string): Multiplexed | undefined {
  known ??= readAll();
  return known.get(name);
}

function readAll(): Map<string, Multiplexed> {
  const all = new Map<string, Multiplexed>();
  addGroup(all, "socketcall", 1, SOCKETCALL);
  for (const [first, names] of IPC) addGroup(all, "ipc", first, names);
  return all;
}

function addGroup(
  all: Map<string, Multiplexed>,
  call: Multiplexed["call"],
  first: number,
  names: string,
): void {
  for (const [offset, name] of names.split(" ").entries()) {
    const value = BigInt(first + offset);
    all.set(name, { call, selects: { index: 0, value, valueTwo: 0n, op: "SCMP_CMP_EQ" } });
  }
}
