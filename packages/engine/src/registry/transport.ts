/**
 * HTTP as registries need it, on Bun's fetch: redirects are followed by hand, so that what authorises us
 * goes to the origin it is for and nowhere else; bodies that stop moving are given up; nothing is
 * decompressed on the way, since digests are of the bytes as they are sent.
 */
import { TareError } from "@tare/spec/error.ts";
import { parseRetryAfter } from "./back-off.ts";
import { type ProxySettings, proxyFor } from "./proxy.ts";
import { type Timing, Transient } from "./transient.ts";
import type { Trust } from "./trust.ts";
import { Watch } from "./watch.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

export type Outgoing = {
  readonly method: Method;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to `url`'s origin alone. */
  readonly authorization?: string | undefined;
  readonly body?: string | Blob | ReadableStream<Uint8Array>;
  /** Certificates need not hold there, and http is fine after https. */
  readonly insecure: boolean;
  readonly signal?: AbortSignal | undefined;
};

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** Whether a redirect led away from the origin that was asked. */
  readonly foreign: boolean;
  /** The body in pieces; must be read to its end or cancelled. */
  readonly body: Body;
};

const REDIRECTS_MAX = 10;
/** Of an answer's beginning; a registry may look for a blob in slow storage. */
const FIRST_ANSWER_MS = 60_000;

export type TransportOptions = {
  readonly trust: Trust;
  /** Throws for a host that must not be spoken to, wherever its name comes from. */
  readonly checkAllowed: (host: string) => void;
  readonly proxies: ProxySettings;
  readonly stallMs: number;
  readonly userAgent: string;
  readonly timing: Timing;
};

export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /**
   * Sends and follows redirects of GET and HEAD.
   * @throws Transient where nothing was answered; TareError `no_permission` for a redirect to http, and
   *   for a host that the settings block
   */
  async send(outgoing: Outgoing): Promise<Answer> {
    let url = outgoing.url;
    for (let hops = 0; hops <= REDIRECTS_MAX; hops++) {
      const answer = await this.#once(outgoing, url);
      const location = redirectOf(outgoing.method, answer);
      if (location === undefined) return answer;
      answer.body.cancel();
      url = nextUrl(url, location, outgoing);
    }
    throw new TareError(
      "system",
      `Cannot ask ${outgoing.url.host}: more than ${REDIRECTS_MAX} redirects`,
    );
  }

  async #once(outgoing: Outgoing, url: URL): Promise<Answer> {
    const { method, body, insecure } = outgoing;
    const { trust, proxies, stallMs, userAgent, timing } = this.#options;
    this.#options.checkAllowed(url.host);
    const foreign = url.origin !== outgoing.url.origin;
    const watch = new Watch(stallMs, outgoing.signal);
    watch.expect(FIRST_ANSWER_MS);
    try {
      const response = await fetch(url.href, {
        method,
        redirect: "manual",
        decompress: false,
        timeout: false,
        proxy: proxyFor(url, proxies) ?? false,
        signal: watch.signal,
        headers: {
          "User-Agent": userAgent,
          "Accept-Encoding": "identity",
          ...outgoing.headers,
          ...(outgoing.authorization === undefined || foreign
            ? undefined
            : { Authorization: outgoing.authorization }),
        },
        ...(body === undefined ? undefined : { body: watch.sending(body) }),
        // What is insecure is the registry: where it sends us, certificates must hold.
        ...(url.protocol === "https:"
          ? { tls: trust.optionsFor(url, insecure && !foreign) }
          : undefined),
      } as RequestInit);
      const { status, headers } = response;
      const retryAfterMs = parseRetryAfter(headers.get("retry-after"), timing.nowMs());
      return {
        status,
        headers,
        url,
        foreign,
        body: new Body(response, watch, url.host, retryAfterMs),
      };
    } catch (error) {
      watch.end();
      throw faultOf(error, url.host, watch);
    }
  }
}

/** The body of an answer. */
export class Body {
  readonly retryAfterMs: number | undefined;
  readonly #response: Response;
  readonly #watch: Watch;
  readonly #host: string;

  constructor(response: Response, watch: Watch, host: string, retryAfterMs: number | undefined) {
    this.#response = response;
    this.#watch = watch;
    this.#host = host;
    this.retryAfterMs = retryAfterMs;
    watch.end();
  }

  /** The bytes as they come. @throws Transient where they end before their time, or stall. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const watch = this.#watch;
    const reader = this.#response.body?.getReader();
    let whole = reader === undefined;
    try {
      while (!whole && reader !== undefined) {
        const { value, done } = await watch.during(() => reader.read());
        if (done) whole = true;
        else if (watch.moved(value.length)) yield value;
      }
    } catch (error) {
      throw faultOf(error, this.#host, watch);
    } finally {
      if (whole) watch.end();
      else watch.abort();
    }
  }

  /** All of it. @throws TareError `corrupt` where it is longer than `bytesMax` */
  async bytes(bytesMax: number, what: string): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.chunks()) {
      length += chunk.length;
      if (length > bytesMax) {
        throw new TareError("corrupt", `Cannot read ${what}: it is larger than ${bytesMax} bytes`);
      }
      pieces.push(chunk);
    }
    return Buffer.concat(pieces);
  }

  /** Ends it without reading. */
  cancel(): void {
    if (this.#response.body !== null) this.#watch.abort();
  }
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

function redirectOf(method: Method, answer: Answer): string | undefined {
  const isRead = method === "GET" || method === "HEAD";
  const location = answer.headers.get("location");
  return isRead && REDIRECTS.has(answer.status) && location !== null ? location : undefined;
}

/** Where a redirect leads; never from https to plain text, but for a registry that is insecure anyway. */
function nextUrl(from: URL, location: string, outgoing: Outgoing): URL {
  const url = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  const isWeb = url?.protocol === "https:" || url?.protocol === "http:";
  if (url === undefined || !isWeb) {
    throw new TareError(
      "system",
      `Cannot ask ${from.host}: it sends us to no address: "${location.slice(0, 200)}"`,
    );
  }
  if (url.protocol === "http:" && from.protocol === "https:" && !outgoing.insecure) {
    throw new TareError(
      "no_permission",
      `Cannot ask ${from.host}: it sends us to ${url.host} without TLS`,
    );
  }
  // Names and passwords in an address would be sent as its own.
  url.username = "";
  url.password = "";
  return url;
}

/** Codes of Bun's fetch, and what they are in words. */
const REASONS: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "connection refused"],
  ["ECONNRESET", "the connection was cut"],
  ["ENOTFOUND", "there is no such host"],
  ["EPROTO", "it does not speak TLS"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "its certificate is self-signed"],
  ["SELF_SIGNED_CERT_IN_CHAIN", "its certificate is signed by an unknown authority"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "its certificate is signed by an unknown authority"],
  ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "its certificate is signed by an unknown authority"],
  ["CERT_HAS_EXPIRED", "its certificate has expired"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "its certificate is for another name"],
]);

/** What asking again cannot change. */
const LASTING: ReadonlySet<string> = new Set(
  [...REASONS.keys()].filter((code) => code !== "ECONNRESET"),
);

function faultOf(error: unknown, host: string, watch: Watch): Error {
  if (watch.outer?.aborted === true) return asError(watch.outer.reason);
  if (watch.stalled) {
    return new Transient(new TareError("system", `Cannot talk to ${host}: it has stopped sending`));
  }
  if (!(error instanceof Error) || error instanceof TareError) return asError(error);
  const { code } = error as { code?: unknown };
  const word = typeof code === "string" ? code : "";
  const reason = REASONS.get(word) ?? error.message.split(". For more information")[0] ?? "";
  const hint = word.includes("CERT") || word.startsWith("UNABLE") ? CERTIFICATE_HINT : undefined;
  const options = hint === undefined ? { cause: error } : { cause: error, hint };
  const fault = new Unreachable(`Cannot talk to ${host}: ${reason}`, word, options);
  return LASTING.has(word) ? fault : new Transient(fault);
}

const CERTIFICATE_HINT =
  "Put the authority's certificate into /etc/docker/certs.d/HOST/ca.crt, or mark the registry as insecure in the settings";

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

/** No answer came; another address of the same registry may give one. */
export class Unreachable extends TareError {
  /** Of Bun's fetch, such as `ECONNREFUSED`; empty where there is none. */
  readonly reason: string;

  constructor(message: string, reason: string, options: { cause: unknown; hint?: string }) {
    super("system", message, options);
    this.reason = reason;
  }
}
