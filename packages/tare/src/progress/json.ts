/** A JSON object on each line, in the form of Docker's API (its `JSONMessage`), for programs. */
import type { PartState, Progress } from "./progress.ts";

/** At most so often for each part while bytes move. */
const INTERVAL_MS = 100;

/** `nowMs` is any clock that goes on. */
export function jsonProgress(write: (text: string) => void, nowMs: () => number): Progress {
  const last = new Map<string, { readonly status: string; readonly atMs: number }>();
  const isDue = ({ id, status, current, total }: PartState) => {
    const before = last.get(id);
    const news = before?.status !== status || (current !== undefined && current === total);
    return news || nowMs() - before.atMs >= INTERVAL_MS;
  };
  return {
    line: (text) => write(`${JSON.stringify({ status: text })}\n`),
    part: (state) => {
      if (!isDue(state)) return;
      const { id, status, current, total } = state;
      last.set(id, { status, atMs: nowMs() });
      const progressDetail = current === undefined ? {} : { current, total };
      write(`${JSON.stringify({ status, progressDetail, id })}\n`);
    },
    end: () => {},
  };
}
