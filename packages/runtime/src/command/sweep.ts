/** One action on many containers: on those whose ids a pattern describes, or on all that are named. */

import { parseContainerId } from "@tare/spec/container-id.ts";
import { TareError, toReport } from "@tare/spec/error.ts";
import { listIds } from "../container/store.ts";
import { type Context, deed } from "./context.ts";
import { compilePattern } from "./pattern.ts";

/** As crun has it: each failure is told as a warning, and the exit status is 0. */
export function forMatching(context: Context, act: (id: string) => void): number {
  const { sys, root, args, log } = context;
  const [pattern = ""] = args.words;
  if (pattern === "") {
    throw new TareError("bad_input", `Cannot ${deed(args)}: the pattern is missing`);
  }
  const isMeant = compilePattern(pattern);
  for (const id of (listIds(sys, root) ?? []).filter(isMeant)) {
    const failure = attempt(act, id);
    if (failure !== undefined) log.warn(failure.message);
  }
  return 0;
}

/** Each is tried; the first failure is the command's, the others are told before it. */
export function forAll({ args, log }: Context, act: (id: string) => void): number {
  const ids = args.words.map((word) => parseContainerId(word));
  const failures = ids.flatMap((id) => attempt(act, id) ?? []);
  for (const failure of failures.slice(1)) log.warn(failure.message);
  const [first] = failures;
  if (first !== undefined) throw first;
  return 0;
}

function attempt(act: (id: string) => void, id: string): TareError | undefined {
  try {
    act(id);
    return undefined;
  } catch (error) {
    const { code, message, hint } = toReport(error);
    return new TareError(code, message, { cause: error, ...(hint === undefined ? {} : { hint }) });
  }
}
