/** The tags of a repository, all pages. Source: distribution-spec 1.1, "Listing Tags". */
import { TareError } from "@tare/spec/error.ts";
import { isTag, type Reference, repositoryName } from "@tare/spec/reference.ts";
import type { RegistryClient } from "./client.ts";
import { readPages } from "./pages.ts";
import { Sources } from "./sources.ts";

const TAGS_MAX = 100_000;

/**
 * In the order in which the registry gives them.
 * @throws TareError `not_found`, `no_permission`, `bad_input`, `system`
 */
export async function listTags(
  client: RegistryClient,
  repository: Pick<Reference, "domain" | "path">,
  signal: AbortSignal,
): Promise<string[]> {
  const name = repositoryName(repository);
  const what = `Cannot list the tags of "${name}"`;
  const sources = new Sources(client, repository, { signal });
  return await sources.resolve(async (session) => {
    const tags: string[] = [];
    for await (const page of readPages(session, session.path("tags/list"), what)) {
      const more = tagsOf(page, what);
      if (tags.length + more.length > TAGS_MAX)
        throw new TareError("bad_input", `${what}: more than ${TAGS_MAX}`);
      for (const tag of more) tags.push(tag);
    }
    return tags;
  });
}

/** A repository without tags may have null there. */
function tagsOf(page: object, what: string): string[] {
  const { tags } = page as { tags?: unknown };
  const list: unknown[] = Array.isArray(tags) ? tags : [];
  if (list.every((tag): tag is string => typeof tag === "string" && isTag(tag))) return list;
  throw new TareError("bad_input", `${what}: the registry names one that is none`);
}
