/**
 * Requests to one repository at one endpoint, as whom it wants to know: the first answer tells how (its
 * challenge), and what was agreed holds for the rest. Several requests may run at once.
 */
import { TareError } from "@tare/spec/error.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { RegistryClient } from "./client.ts";
import type { Credential } from "./credential.ts";
import type { Endpoint } from "./endpoints.ts";
import { basicOf, fetchToken, withheldHint } from "./token.ts";
import { withRetries } from "./transient.ts";
import { type Answer, type Outgoing, Unreachable } from "./transport.ts";

export type Access = "pull" | "push";

export type SessionOptions = {
  readonly access: Access;
  /** Other repositories that are read on the way, to mount blobs of theirs. */
  readonly alsoPull?: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** In place of what is kept, as for a login. */
  readonly credential?: Credential;
  /** Asks token servers for an identity token, too. */
  readonly offline?: boolean;
};

export type SessionRequest = Pick<Outgoing, "method" | "headers"> & {
  /** Below the endpoint, as `/v2/...`; or where an answer sent us. */
  readonly to: string | URL;
  /** Made anew for each attempt: a stream can be sent once. */
  readonly body?: () => Outgoing["body"];
  /** Beside the session's. */
  readonly signal?: AbortSignal;
};

const BODY_BYTES_MAX = 64 * 1024;

export class Session {
  readonly client: RegistryClient;
  readonly endpoint: Endpoint;
  readonly signal: AbortSignal | undefined;
  readonly #options: SessionOptions;
  #origin: string | undefined;
  #authorization: string | undefined;
  /** While one request learns it, others wait. */
  #learning: Promise<void> | undefined;
  #credential: Promise<Credential | undefined> | undefined;
  #withheldFrom: string | undefined;
  #identityToken: string | undefined;

  constructor(client: RegistryClient, endpoint: Endpoint, options: SessionOptions) {
    this.client = client;
    this.endpoint = endpoint;
    this.signal = options.signal;
    this.#options = options;
  }

  /** `/v2/<repository>/...`. */
  path(rest: string): string {
    return `/v2/${this.endpoint.repository}/${rest}`;
  }

  /**
   * Sends a request; a challenge is answered once, with a token or a password.
   * @throws TareError `no_permission`, `system`; Transient
   */
  async send(request: SessionRequest): Promise<Answer> {
    const used = this.#authorization;
    const answer = await this.#sendOnce(request, used);
    // Who is asked after a redirect is somebody else: we owe no name there.
    if (answer.status !== 401 || answer.foreign) return answer;
    const header = answer.headers.get("www-authenticate") ?? "";
    const learning = this.#authorization === used ? this.#learnOnce(header, used) : undefined;
    await answer.body.bytes(BODY_BYTES_MAX, "an answer");
    await learning;
    const second = await this.#sendOnce(request, this.#authorization);
    if (second.status === 401) this.#authorization = undefined;
    if (second.status !== 401 && second.status !== 403) return second;
    if (this.#withheldFrom === undefined) return second;
    second.body.cancel();
    throw new TareError("no_permission", `Cannot use ${this.endpoint.registry} as nobody`, {
      hint: withheldHint(this.endpoint.registry, this.#withheldFrom),
    });
  }

  /** How often a request is made again; where there is another endpoint, one more is enough. */
  get retries(): number {
    const { retries } = this.client.settings.transfer;
    return this.endpoint.mirror ? Math.min(retries, 1) : retries;
  }

  /** Tries as often as the settings allow; see `withRetries`. */
  retrying<T>(attempt: () => Promise<T>, signal = this.signal): Promise<T> {
    return withRetries(this.client.timing, this.retries, attempt, signal);
  }

  /** Several requests may be refused at once: one asks for a token, all get it. */
  #learnOnce(header: string, used: string | undefined): Promise<void> {
    if (this.#learning === undefined) {
      this.#learning = this.#learn(header, used !== undefined).finally(() => {
        this.#learning = undefined;
      });
      // Whoever waits for it hears of its failure; until then nobody may.
      this.#learning.catch(() => {});
    }
    return this.#learning;
  }

  /** The token server that was not given the password that there is. */
  get withheldFrom(): string | undefined {
    return this.#withheldFrom;
  }

  /** What the token server gave for later, where it was asked for that. */
  get identityToken(): string | undefined {
    return this.#identityToken;
  }

  async #sendOnce(request: SessionRequest, authorization: string | undefined): Promise<Answer> {
    const { transport } = this.client;
    const make = (origin: string): Outgoing => {
      const url = new URL(request.to, origin);
      const body = request.body?.();
      return {
        method: request.method,
        url,
        // Where an upload goes may be another host: ours alone knows us.
        authorization: url.origin === origin ? authorization : undefined,
        insecure: this.endpoint.insecure && url.origin === origin,
        signal: eitherOf(this.signal, request.signal),
        ...(request.headers === undefined ? undefined : { headers: request.headers }),
        ...(body === undefined ? undefined : { body }),
      };
    };
    const known = this.#origin;
    if (known !== undefined) return await transport.send(make(known));
    return await this.#probe((origin) => transport.send(make(origin)));
  }

  /** The first origin that speaks is the one; only an insecure registry has a second one. */
  async #probe(send: (origin: string) => Promise<Answer>): Promise<Answer> {
    let failure: unknown;
    for (const origin of this.endpoint.origins) {
      try {
        const answer = await send(origin);
        this.#origin = origin;
        return answer;
      } catch (error) {
        // The first tells more: the second is plain http.
        failure ??= error;
        if (!speaksNoTls(error)) throw error;
      }
    }
    throw failure;
  }

  /** The origin that answered; for what comes after an answer. */
  get origin(): string {
    return this.#origin ?? this.endpoint.origins[0] ?? "";
  }

  async #learn(header: string, expired: boolean): Promise<void> {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const credential = await this.#findCredential();
    if (bearer !== undefined) {
      this.#authorization = await this.#bearer(bearer, credential);
      return;
    }
    const basic = challenges.some(({ scheme }) => scheme === "basic")
      ? basicOf(credential)
      : undefined;
    if (basic === undefined || expired) throw this.#denied(credential !== undefined);
    this.#authorization = basic;
  }

  async #bearer(challenge: Challenge, credential: Credential | undefined): Promise<string> {
    const token = await fetchToken(this.client.transport, {
      challenge,
      endpoint: this.endpoint,
      origin: this.origin,
      scopes: this.#scopes(challenge),
      credential,
      offline: this.#options.offline === true,
      signal: this.signal,
    });
    this.#withheldFrom = token.withheldFrom;
    this.#identityToken = token.refresh;
    return `Bearer ${token.text}`;
  }

  /** What we need and what the registry says that it needs: it may know the repository by another name. */
  #scopes(challenge: Challenge): string[] {
    const { access, alsoPull = [] } = this.#options;
    const actions = access === "push" ? "pull,push" : "pull";
    const { repository } = this.endpoint;
    const own = repository === "" ? [] : [`repository:${repository}:${actions}`];
    const others = alsoPull.map((other) => `repository:${other}:pull`);
    const asked =
      challenge.params
        .get("scope")
        ?.split(" ")
        .filter((scope) => scope !== "") ?? [];
    return [...new Set([...own, ...asked, ...others])];
  }

  #findCredential(): Promise<Credential | undefined> {
    const { registry, repository } = this.endpoint;
    this.#credential ??=
      this.#options.credential === undefined
        ? this.client.credentials.find(registry, repository)
        : Promise.resolve(this.#options.credential);
    return this.#credential;
  }

  #denied(hadPassword: boolean): TareError {
    const { registry } = this.endpoint;
    return hadPassword
      ? new TareError(
          "no_permission",
          `Cannot log in at ${registry}: it takes neither name nor password`,
        )
      : new TareError("no_permission", `Cannot use ${registry} without a login`, {
          hint: `tare login ${registry}`,
        });
  }
}

function eitherOf(a: AbortSignal | undefined, b: AbortSignal | undefined): AbortSignal | undefined {
  return a !== undefined && b !== undefined ? AbortSignal.any([a, b]) : (a ?? b);
}

/** Nobody there, or nobody who knows TLS. */
function speaksNoTls(error: unknown): boolean {
  const fault = error instanceof Error && error.name === "Transient" ? error.cause : error;
  const reasons = ["EPROTO", "ECONNREFUSED", "ECONNRESET"];
  return fault instanceof Unreachable && reasons.includes(fault.reason);
}
