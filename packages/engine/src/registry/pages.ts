/** Lists that registries give in pages, the next one named by a Link header. Source: RFC 8288. */
import { TareError } from "@tare/spec/error.ts";
import { refusal } from "./failure.ts";
import type { Session } from "./session.ts";

const PAGE_BYTES_MAX = 4 * 1024 * 1024;
const PAGES_MAX = 2000;

/** The pages as parsed JSON; each is an object. `what` begins an error's sentence. */
export async function* readPages(
  session: Session,
  path: string,
  what: string,
): AsyncGenerator<object> {
  const seen = new Set<string>();
  for (let next: string | undefined = path; next !== undefined; ) {
    if (seen.size >= PAGES_MAX || seen.has(next))
      throw new TareError("bad_input", `${what}: there is no end to it`);
    seen.add(next);
    const page: Page = await readPage(session, next, what);
    yield page.content;
    next = page.next;
  }
}

type Page = { readonly content: object; readonly next: string | undefined };

async function readPage(session: Session, path: string, what: string): Promise<Page> {
  const read = async (): Promise<Page> => {
    const answer = await session.send({ method: "GET", to: path });
    if (answer.status !== 200) throw await refusal(what, answer);
    const bytes = await answer.body.bytes(PAGE_BYTES_MAX, "a list of the registry");
    const content = parseObject(new TextDecoder().decode(bytes));
    if (content === undefined) throw new TareError("bad_input", `${what}: the answer is no list`);
    return { content, next: nextPath(answer.headers.get("link"), answer.url) };
  };
  return await session.retrying(read);
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The path of `<...>; rel="next"`; a page elsewhere is none of ours. */
function nextPath(link: string | null, base: URL): string | undefined {
  const [open, close] = [link?.indexOf("<") ?? -1, link?.indexOf(">") ?? -1];
  if (link === null || open < 0 || close < open || !link.slice(close).includes("next"))
    return undefined;
  const text = link.slice(open + 1, close);
  const url = URL.canParse(text, base.href) ? new URL(text, base.href) : undefined;
  return url?.host === base.host ? `${url.pathname}${url.search}` : undefined;
}
