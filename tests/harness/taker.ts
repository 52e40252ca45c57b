/** Who takes a terminal from a console socket, by the program `receive-terminal`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Takes one terminal from a socket and holds it, as an engine does. Its name does not bear the mark:
 * the census does not count it.
 */
export class Taker {
  readonly #dir = mkdtempSync(join(tmpdir(), "tare-console-"));
  readonly #child: Bun.Subprocess<"ignore", "pipe", "ignore">;
  readonly #lines: AsyncIterator<string>;

  private constructor(program: string) {
    this.#child = Bun.spawn([program, "socket"], {
      cwd: this.#dir,
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#lines = linesOf(this.#child.stdout);
  }

  /** Answers when it listens. */
  static async listen(program: string): Promise<Taker> {
    const taker = new Taker(program);
    await taker.#lines.next();
    return taker;
  }

  get path(): string {
    return join(this.#dir, "socket");
  }

  /**
   * The next line: first `terminal` or `no terminal`, then what is printed on it; undefined at the end, also
   * where none comes in the time that the program waits.
   */
  async line(): Promise<string | undefined> {
    const { value } = await this.#lines.next();
    return (value as string | undefined)?.replace(/\r+$/, "");
  }

  end(): void {
    this.#child.kill("SIGKILL");
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const lines = (text + decoder.decode(bytes, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}
