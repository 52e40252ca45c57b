/**
 * Runs a program to its end: output, exit code or signal, time, with a limit on the time.
 * `run` uses pipes or files, `runOnTerminal` a pseudo-terminal.
 * A program whose children outlive it (`create`) needs `output: "files"`: a pipe would stay open.
 */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { patiently, stubbornly } from "./places.ts";

const TIMEOUT_MS = 30_000;

export type Ran = {
  readonly stdout: string;
  readonly stderr: string;
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly wallMs: number;
  readonly timedOut: boolean;
};

export type RunOptions = {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly timeoutMs?: number;
  /** Called with the pid as soon as the program runs. */
  readonly onStart?: (pid: number) => void;
};

/** Runs argv in a session of its own; at the time limit the whole session's process group dies. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const began = performance.now();
  const child = Bun.spawn([...argv], {
    cwd: options.cwd ?? "/",
    env: { ...process.env, ...options.env },
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    detached: true,
  });
  options.onStart?.(child.pid);
  const limit = limitTime(child.pid, patiently(options.timeoutMs ?? TIMEOUT_MS));
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, ...limit.finish(child), wallMs: performance.now() - began };
}

/** Output that goes on growing after the program ended, because children write to it. */
export class OutputFiles implements Disposable {
  readonly #dir = mkdtempSync(join(tmpdir(), "tare-e2e-output-"));
  readonly stdoutPath = join(this.#dir, "stdout");
  readonly stderrPath = join(this.#dir, "stderr");

  /** What was written to standard output until now. */
  stdout(): string {
    return readFileSync(this.stdoutPath, "utf8");
  }

  stderr(): string {
    return readFileSync(this.stderrPath, "utf8");
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** As `run`, with output to files; returns when the program ended, whatever its children do. */
export async function runToFiles(
  argv: readonly string[],
  files: OutputFiles,
  options: RunOptions = {},
): Promise<Ran> {
  const began = performance.now();
  const stdout = openSync(files.stdoutPath, "a");
  const stderr = openSync(files.stderrPath, "a");
  try {
    const child = Bun.spawn([...argv], {
      cwd: options.cwd ?? "/",
      env: { ...process.env, ...options.env },
      stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
      stdout,
      stderr,
      detached: true,
    });
    options.onStart?.(child.pid);
    const limit = limitTime(child.pid, patiently(options.timeoutMs ?? TIMEOUT_MS));
    await child.exited;
    const ended = limit.finish(child);
    const wallMs = performance.now() - began;
    return { stdout: files.stdout(), stderr: files.stderr(), ...ended, wallMs };
  } finally {
    closeSync(stdout);
    closeSync(stderr);
  }
}

export type TerminalOptions = RunOptions & {
  readonly columns?: number;
  readonly rows?: number;
  /** Called once the program runs; types and resizes. */
  readonly act?: (terminal: TypedTerminal) => Promise<void>;
};

export type TypedTerminal = {
  readonly type: (text: string) => void;
  readonly resize: (columns: number, rows: number) => void;
  /** Closes the other end, as a window does that is shut. */
  readonly hangUp: () => void;
  /** Waits until the output contains `text`; throws after `timeoutMs`. */
  readonly waitFor: (text: string, timeoutMs?: number) => Promise<void>;
};

/** Runs argv with a new pseudo-terminal as its controlling terminal; stdout is what it showed. */
export async function runOnTerminal(
  argv: readonly string[],
  options: TerminalOptions = {},
): Promise<Ran> {
  const began = performance.now();
  const decoder = new TextDecoder();
  let shown = "";
  const child = Bun.spawn([...argv], {
    cwd: options.cwd ?? "/",
    env: { ...process.env, TERM: "xterm", ...options.env },
    terminal: {
      cols: options.columns ?? 80,
      rows: options.rows ?? 24,
      data: (_terminal, bytes) => {
        shown += decoder.decode(bytes, { stream: true });
      },
    },
  });
  options.onStart?.(child.pid);
  const limit = limitTime(child.pid, patiently(options.timeoutMs ?? TIMEOUT_MS));
  const { terminal } = child;
  if (terminal === undefined) throw new Error("Cannot run on a terminal: Bun made none");
  try {
    await options.act?.({
      type: (text) => terminal.write(text),
      resize: (columns, rows) => terminal.resize(columns, rows),
      hangUp: () => terminal.close(),
      waitFor: (text, timeoutMs = 5_000) =>
        until(
          () => shown.includes(text),
          timeoutMs,
          () => `"${text}" on the terminal: ${shown}`,
        ),
    });
    await child.exited;
    await Bun.sleep(20); // The last bytes of the pty come after the exit notice.
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    terminal.close();
  }
  const wallMs = performance.now() - began;
  return { stdout: shown, stderr: "", ...limit.finish(child), wallMs };
}

/** Waits until `test` holds, looking every 10 ms; throws with `what` long after the time limit. */
export async function until(
  test: () => boolean,
  timeoutMs: number,
  what: () => string,
): Promise<void> {
  const limitMs = stubbornly(timeoutMs);
  const end = performance.now() + limitMs;
  while (!test()) {
    if (performance.now() > end) throw new Error(`Waited ${limitMs} ms in vain for ${what()}`);
    await Bun.sleep(10);
  }
}

type Ended = { readonly exitCode: number | null; readonly signalCode: string | number | null };

function limitTime(pid: number, timeoutMs: number) {
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // It ended in the same moment.
    }
  }, timeoutMs);
  return {
    finish(child: Ended): Pick<Ran, "code" | "signal" | "timedOut"> {
      clearTimeout(timer);
      const signal = child.signalCode === null ? null : String(child.signalCode);
      return { code: signal === null ? child.exitCode : null, signal, timedOut };
    },
  };
}
