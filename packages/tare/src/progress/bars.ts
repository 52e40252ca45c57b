/**
 * Bars on a terminal: a block of lines that is written over in place, some times a second. What does not
 * fit on the screen is left out while it goes on: lines that have scrolled away cannot be reached again.
 */
import { humanSize } from "../cli/table.ts";
import type { PartState, Progress, Screen } from "./progress.ts";

const INTERVAL_MS = 100;
const BAR_WIDTH = 40;
/** Of the screen, for what is above and the cursor. */
const ROWS_SPARED = 2;

/** Draws at most ten times a second; `schedule` calls back after a time and answers how to cancel that. */
export function barProgress(
  screen: Screen,
  schedule: (run: () => void, ms: number) => () => void,
): Progress {
  const parts = new Map<string, PartState>();
  let drawn = 0;
  let cancel: (() => void) | undefined;
  const draw = () => {
    cancel?.();
    cancel = undefined;
    const { columns, rows } = screen.size();
    const lines = chooseParts([...parts.values()], Math.max(1, rows - ROWS_SPARED)).map((part) =>
      formatPart(part, columns),
    );
    screen.write(overwrite(drawn, lines));
    drawn = lines.length;
  };
  return {
    line: (text) => {
      draw();
      // What is drawn stays above; the parts that follow make a block of their own.
      parts.clear();
      drawn = 0;
      screen.write(`${text}\n`);
    },
    part: (state) => {
      const before = parts.get(state.id);
      parts.set(state.id, state);
      if (before?.status !== state.status && !isMoving(state)) draw();
      else cancel ??= schedule(draw, INTERVAL_MS);
    },
    end: () => {
      if (cancel !== undefined) draw();
    },
  };
}

function isMoving({ current }: PartState): boolean {
  return current !== undefined;
}

/** Up over the lines that are there, then each line with its rest erased. */
function overwrite(drawn: number, lines: readonly string[]): string {
  const up = drawn === 0 ? "" : `\x1b[${drawn}A`;
  const text = lines.map((line) => `\r${line}\x1b[K\n`).join("");
  // Fewer than before: the lines below them go.
  return lines.length < drawn ? `${up}${text}\x1b[J` : `${up}${text}`;
}

/** Those that move first, in the order in which they were named. */
function chooseParts(parts: readonly PartState[], count: number): readonly PartState[] {
  if (parts.length <= count) return parts;
  const moving = parts.filter(isMoving).slice(0, count);
  const others = parts
    .filter((part) => !isMoving(part))
    .slice(-(count - moving.length) || parts.length);
  const chosen = new Set(moving.length >= count ? moving : [...moving, ...others]);
  return parts.filter((part) => chosen.has(part));
}

/** `4abcf2066143: Downloading [====>     ]  1.2MB/3.4MB`, cut at the edge of the screen. */
export function formatPart(part: PartState, columns: number): string {
  const { id, status, current, total } = part;
  const head = `${id}: ${status}`;
  if (current === undefined) return head.slice(0, columns);
  const sizes =
    total === undefined ? humanSize(current) : `${humanSize(current)}/${humanSize(total)}`;
  const whole = `${head} ${bar(current, total)} ${sizes}`;
  return whole.length <= columns ? whole : `${head} ${sizes}`.slice(0, columns);
}

function bar(current: number, total: number | undefined): string {
  const share = total === undefined || total === 0 ? 0 : Math.min(1, current / total);
  const filled = Math.floor(share * BAR_WIDTH);
  const head = filled < BAR_WIDTH ? ">" : "=";
  return `[${("=".repeat(filled) + head).slice(0, BAR_WIDTH).padEnd(BAR_WIDTH)}]`;
}
