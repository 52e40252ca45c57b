/**
 * `bun tests/vm/run.ts [--runtime NAME] [--systemd] [FILE...]`: runs end-to-end test files in a virtual
 * machine with Debian's kernel, cgroup v2 alone and AppArmor. Prints what the tests print, and
 * `N passed, N failed, N skipped` last; the exit code is 0 only if none failed and all ran.
 * Without files: the check of the machine itself and what depends on the cgroup version.
 * With --systemd pid 1 of the machine is systemd; without files: what depends on that.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { REPO } from "../harness/places.ts";
import { type Machine, makeMachine } from "./machine.ts";
import { makePayload } from "./payload.ts";

const TIME_LIMIT_MS = 15 * 60_000;
const TEST_TIMEOUT_MS = 180_000;
/** Software emulation is that much slower, and more on a busy machine. */
const PATIENCE = "5";
const MEMORY_MB = 2048;
const DEFAULT_FILES = ["tests/vm/machine.check.ts", "tests/e2e/cgroup.test.ts"];
const SYSTEMD_FILES = ["tests/vm/systemd.check.ts", "tests/vm/podman.check.ts"];
const COMMAND_LINE =
  "console=ttyS0 panic=-1 quiet loglevel=4 cgroup_no_v1=all apparmor=1 security=apparmor";

export type Outcome = {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Of the test runner inside; null if the machine did not get that far. */
  readonly code: number | null;
  readonly wallMs: number;
};

export type VmOptions = {
  readonly files: readonly string[];
  /** Name or path inside the machine; unset: dist/tare-runtime. */
  readonly runtime?: string;
  readonly timeLimitMs?: number;
  /** Pid 1 is systemd. */
  readonly withSystemd?: boolean;
  /** Gets each piece of the tests' output. */
  readonly onOutput?: (text: string) => void;
};

/** Boots a machine, runs the files in it, and powers it off. */
export async function runInVm(options: VmOptions): Promise<Outcome> {
  const began = performance.now();
  const machine = await makeMachine(options.withSystemd);
  const dir = mkdtempSync(join(tmpdir(), "tare-vm-"));
  const remove = () => rmSync(dir, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const payload = await makePayload(dir, {
      files: options.files,
      environment: {
        TEST_TIMEOUT_MS: String(TEST_TIMEOUT_MS),
        TARE_TEST_PATIENCE: PATIENCE,
        ...(options.runtime === undefined ? {} : { TARE_RUNTIME: options.runtime }),
      },
    });
    const consoleLog = join(dir, "console");
    const output = await boot(machine, payload, consoleLog, options);
    const outcome = { ...readOutcome(output), wallMs: performance.now() - began };
    if (outcome.code === null) options.onOutput?.(tailOf(consoleLog));
    return outcome;
  } finally {
    remove();
    process.off("exit", remove);
  }
}

/** Runs QEMU to its end; answers what came over the second serial port. */
async function boot(
  { kernel, initramfs, rootDisk }: Machine,
  payload: string,
  consoleLog: string,
  options: VmOptions,
): Promise<string> {
  const disks = [rootDisk, payload].flatMap((file, index) => [
    ...["-drive", `if=none,id=disk${index},file=${file},format=raw,snapshot=on`],
    ...["-device", `virtio-blk-pci,drive=disk${index}`],
  ]);
  const argv = [
    // The machine must not outlive us, however we end.
    ...["setpriv", "--pdeathsig", "KILL"],
    "qemu-system-x86_64",
    ...["-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"],
    ...["-m", String(MEMORY_MB), "-display", "none", "-no-reboot", "-nodefaults"],
    ...["-serial", `file:${consoleLog}`, "-serial", "stdio"],
    ...["-kernel", kernel, "-initrd", initramfs, "-append", COMMAND_LINE],
    ...disks,
  ];
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.timeLimitMs ?? TIME_LIMIT_MS);
  const decoder = new TextDecoder();
  let output = "";
  for await (const bytes of child.stdout) {
    const text = decoder.decode(bytes, { stream: true });
    output += text;
    options.onOutput?.(text);
  }
  await child.exited;
  clearTimeout(timer);
  const complaints = await new Response(child.stderr).text();
  if (complaints !== "") options.onOutput?.(complaints);
  return output;
}

/** Counts from the test runner's summary, and the exit code from init's last line. */
export function readOutcome(output: string): Omit<Outcome, "wallMs"> {
  const [, code] = /^tare-vm-exit (\d+)$/m.exec(output) ?? [];
  return {
    passed: count(output, "pass"),
    failed: count(output, "fail"),
    skipped: count(output, "skip"),
    code: code === undefined ? null : Number(code),
  };
}

function count(output: string, word: string): number {
  const found = Array.from(output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm")));
  return Number(found.at(-1)?.[1] ?? 0);
}

function tailOf(path: string): string {
  const lines = readFileSync(path, "utf8").split("\n");
  return `\nThe machine's console ends with:\n${lines.slice(-40).join("\n")}\n`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { runtime: { type: "string" }, systemd: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const names =
    positionals.length > 0
      ? positionals
      : (values.systemd ? SYSTEMD_FILES : DEFAULT_FILES).map((name) => join(REPO, name));
  const outcome = await runInVm({
    files: names.map((name) => resolve(name)),
    withSystemd: values.systemd,
    ...(values.runtime === undefined ? {} : { runtime: values.runtime }),
    onOutput: (text) => process.stdout.write(text),
  });
  const broken = outcome.code !== 0 && outcome.failed === 0;
  if (broken) console.error(`The machine ended before the tests did (exit ${outcome.code})`);
  const failed = outcome.failed + (broken ? 1 : 0);
  console.log(`${outcome.passed} passed, ${failed} failed, ${outcome.skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  process.exit(await main());
}
