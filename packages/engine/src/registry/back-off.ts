/** When to ask again: which answers are worth it, and how long to wait before. Pure but for the clock it is given. */

const BASE_MS = 500;
const WAIT_MS_MAX = 30_000;
/** However long a server would like us to stay away. */
const RETRY_AFTER_MS_MAX = 60_000;

/** Whether a status says "not now" and not "no". */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

/**
 * Milliseconds to wait before attempt `attempt` + 1, counted from 1: half a second and twice as much
 * each time, some of it by chance (`random` in 0..1), so that many clients do not come back at once.
 * What the server wished comes first.
 */
export function waitMs(attempt: number, random: number, retryAfterMs: number | undefined): number {
  if (retryAfterMs !== undefined) return Math.min(retryAfterMs, RETRY_AFTER_MS_MAX);
  const full = Math.min(BASE_MS * 2 ** (attempt - 1), WAIT_MS_MAX);
  return Math.round(full / 2 + (full / 2) * random);
}

/** A Retry-After in milliseconds from `nowMs`: seconds, or a date. Undefined for what is neither. */
export function parseRetryAfter(text: string | null, nowMs: number): number | undefined {
  const trimmed = text?.trim() ?? "";
  if (trimmed === "" || trimmed.length > 64) return undefined;
  if (/^[0-9]+$/.test(trimmed)) return Math.min(Number(trimmed) * 1000, RETRY_AFTER_MS_MAX);
  const date = Date.parse(trimmed);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.min(date - nowMs, RETRY_AFTER_MS_MAX));
}
