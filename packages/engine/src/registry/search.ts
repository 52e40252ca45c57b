/**
 * Search: the hub's own way, which some registries have too; of others the list of repositories is
 * looked through. Sources: Docker's Index API (`/v1/search`); distribution's `/v2/_catalog`.
 */
import { TareError } from "@tare/spec/error.ts";
import type { RegistryClient } from "./client.ts";
import { registryEndpoint } from "./endpoints.ts";
import { readPages } from "./pages.ts";
import { Session } from "./session.ts";
import { ruleOf } from "./settings.ts";

export type FoundRepository = {
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly official: boolean;
};

const HUB = "docker.io";
const HUB_INDEX = "https://index.docker.io";
const TEXT_LENGTH_MAX = 2000;

/**
 * Repositories with the term in their name or description, at most `limit`.
 * @throws TareError `no_permission`, `bad_input`, `system`; `unsupported` where a registry has no list
 */
export async function searchRegistry(
  client: RegistryClient,
  registry: string,
  term: string,
  options: { readonly limit: number; readonly signal: AbortSignal },
): Promise<FoundRepository[]> {
  const session = openSession(client, registry, options.signal);
  const what = `Cannot search "${registry}"`;
  try {
    const query = new URLSearchParams({ q: term, n: `${options.limit}` });
    for await (const page of readPages(session, `/v1/search?${query}`, what)) {
      return readResults(page, what).slice(0, options.limit);
    }
    return [];
  } catch (error) {
    if (!(error instanceof TareError) || error.code !== "not_found") throw error;
    return await searchCatalog(session, term, options.limit, what);
  }
}

function openSession(client: RegistryClient, registry: string, signal: AbortSignal): Session {
  const endpoint = registryEndpoint(client.settings, registry, "");
  const isHub = registry === HUB && ruleOf(client.settings, HUB).url === undefined;
  const origins = isHub ? [HUB_INDEX] : endpoint.origins;
  return new Session(client, { ...endpoint, origins }, { access: "pull", signal });
}

function readResults(page: object, what: string): FoundRepository[] {
  const { results } = page as { results?: unknown };
  if (!Array.isArray(results)) throw new TareError("bad_input", `${what}: the answer is no list`);
  return results.flatMap((result: unknown) => {
    const { name, description, star_count, is_official } = (result ?? {}) as Record<
      string,
      unknown
    >;
    if (typeof name !== "string") return [];
    return [
      {
        name: name.slice(0, TEXT_LENGTH_MAX),
        description: typeof description === "string" ? description.slice(0, TEXT_LENGTH_MAX) : "",
        stars: typeof star_count === "number" ? star_count : 0,
        official: is_official === true,
      },
    ];
  });
}

async function searchCatalog(
  session: Session,
  term: string,
  limit: number,
  what: string,
): Promise<FoundRepository[]> {
  const found: FoundRepository[] = [];
  for await (const page of readPages(session, "/v2/_catalog?n=1000", what)) {
    const { repositories } = page as { repositories?: unknown };
    for (const name of Array.isArray(repositories) ? repositories : []) {
      if (typeof name !== "string" || !name.includes(term)) continue;
      found.push({
        name: name.slice(0, TEXT_LENGTH_MAX),
        description: "",
        stars: 0,
        official: false,
      });
      if (found.length >= limit) return found;
    }
  }
  return found;
}
