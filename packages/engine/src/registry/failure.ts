/** What a registry's refusal becomes: its own words, cut and on one line, and a code of ours. */
import { type ErrorCode, TareError } from "@tare/spec/error.ts";
import { isPassing } from "./back-off.ts";
import { Transient } from "./transient.ts";
import type { Answer } from "./transport.ts";

const BODY_BYTES_MAX = 64 * 1024;
const WORDS_MAX = 500;

/** For what was refused and is no login. */
export const LOGIN_HINT = "The repository may not exist, or want a login: tare login";

const CODES: ReadonlyMap<number, ErrorCode> = new Map([
  [401, "no_permission"],
  [403, "no_permission"],
  [404, "not_found"],
  [409, "conflict"],
]);

/**
 * The error for an answer that is none of those that were hoped for; reads its body. A status that may
 * pass is Transient. `what` begins the sentence, such as `Cannot pull "alpine"`.
 */
export async function refusal(what: string, answer: Answer): Promise<TareError | Transient> {
  const said = await words(answer);
  const status = `${answer.url.host} answers ${answer.status}`;
  const error = new TareError(
    CODES.get(answer.status) ?? "system",
    `${what}: ${said === "" ? status : `${status}: ${said}`}`,
    answer.status === 401 || answer.status === 403 ? { hint: LOGIN_HINT } : {},
  );
  return isPassing(answer.status) ? new Transient(error, answer.body.retryAfterMs) : error;
}

/** The messages in a body of the specification's form, or nothing. */
async function words(answer: Answer): Promise<string> {
  try {
    const text = new TextDecoder().decode(await answer.body.bytes(BODY_BYTES_MAX, "an answer"));
    return messages(JSON.parse(text)).join("; ").slice(0, WORDS_MAX);
  } catch {
    // No body, or one of another form: the status has to do.
    return "";
  }
}

function messages(body: unknown): string[] {
  const { errors } = (body ?? {}) as { errors?: unknown };
  if (!Array.isArray(errors)) return [];
  return errors.slice(0, 5).flatMap((entry) => {
    const { code, message } = (entry ?? {}) as { code?: unknown; message?: unknown };
    const said = [code, message].filter((part) => typeof part === "string" && part !== "");
    return said.length === 0 ? [] : [said.join(": ")];
  });
}
