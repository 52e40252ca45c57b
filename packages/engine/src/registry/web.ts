/**
 * A file of a web server, for `import`: with the proxies, certificates, time limits and rules for redirects
 * that registries have, and without any password.
 */
import { TareError } from "@tare/spec/error.ts";
import type { RegistryClient } from "./client.ts";
import { checkAllowed } from "./endpoints.ts";
import { refusal } from "./failure.ts";
import { ruleOf } from "./settings.ts";
import { Transient, withRetries } from "./transient.ts";

/**
 * The bytes, asked for now and handed on as they come. What was handed on cannot be taken back, so only
 * the question is asked again.
 * @throws TareError `no_permission` for a host that the settings block; `not_found`, `system`; `corrupt` where
 *   the server ends it before its time
 */
export async function fetchWhole(
  client: RegistryClient,
  url: URL,
  signal?: AbortSignal,
): Promise<AsyncGenerator<Uint8Array>> {
  const { settings, transport, timing } = client;
  checkAllowed(settings, url.host);
  const what = `Cannot fetch "${url.origin}${url.pathname}"`;
  const { insecure } = ruleOf(settings, url.host);
  const answer = await withRetries(
    timing,
    settings.transfer.retries,
    async () => {
      const given = await transport.send({ method: "GET", url, insecure, signal });
      if (given.status === 200) return given;
      throw await refusal(what, given);
    },
    signal,
  );
  const length = answer.headers.get("content-length");
  return whole(answer.body.chunks(), length === null ? undefined : Number(length), what);
}

async function* whole(
  chunks: AsyncGenerator<Uint8Array>,
  promised: number | undefined,
  what: string,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  try {
    for await (const chunk of chunks) {
      size += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw error instanceof Transient ? error.error : error;
  }
  if (promised === undefined || size === promised) return;
  throw new TareError("corrupt", `${what}: it has ${size} bytes, not ${promised}`);
}
