/** The endpoints of one repository, asked one after the other until one gives what is wanted. */
import { toReport } from "@tare/spec/error.ts";
import type { Reference } from "@tare/spec/reference.ts";
import type { RegistryClient } from "./client.ts";
import { endpointsOf } from "./endpoints.ts";
import { Session, type SessionOptions } from "./session.ts";
import { ruleOf } from "./settings.ts";

export type SourceOptions = Omit<SessionOptions, "access"> & {
  /** Told why a mirror could not help. */
  readonly onMirrorFailure?: (mirror: string, why: string) => void;
  /** Leaves mirrors out. */
  readonly withoutMirrors?: boolean;
};

export class Sources {
  readonly #sessions: readonly Session[];
  readonly #mirrorTags: boolean;
  readonly #options: SourceOptions;

  /** @throws TareError `no_permission` for a blocked registry */
  constructor(
    client: RegistryClient,
    reference: Pick<Reference, "domain" | "path">,
    options: SourceOptions,
  ) {
    const purpose = options.withoutMirrors === true ? "push" : "fetch";
    const endpoints = endpointsOf(client.settings, reference, purpose);
    this.#sessions = endpoints.map(
      (endpoint) => new Session(client, endpoint, { ...options, access: "pull" }),
    );
    this.#mirrorTags = ruleOf(client.settings, reference.domain).mirrorTags;
    this.#options = options;
  }

  /** Asks what a tag is, or for a list of tags: of mirrors only those that are believed. */
  async resolve<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const asked = this.#sessions.filter(({ endpoint }) => this.#mirrorTags || !endpoint.mirror);
    return await this.#each(asked, work);
  }

  /** All of them, for what is a stream and may go on elsewhere. */
  get sessions(): readonly Session[] {
    return this.#sessions;
  }

  /** Asks for what a digest names. @throws what the registry itself said, where no mirror has it */
  async fetch<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return await this.#each(this.#sessions, work);
  }

  async #each<T>(sessions: readonly Session[], work: (session: Session) => Promise<T>): Promise<T> {
    for (const session of sessions.slice(0, -1)) {
      try {
        return await work(session);
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        const { registry } = session.endpoint;
        this.#options.onMirrorFailure?.(registry, toReport(error).message);
      }
    }
    const [own] = sessions.slice(-1);
    if (own === undefined) throw new RangeError("a repository has an endpoint");
    return await work(own);
  }
}
