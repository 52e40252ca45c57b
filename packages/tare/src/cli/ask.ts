/** Questions on a terminal; the answer to a hidden one is never echoed. */
import { ReadStream } from "node:tty";
import { TareError } from "@tare/spec/error.ts";

const ANSWER_LENGTH_MAX = 4096;
const INTERRUPT = 3;
const END = 4;
const LINE_FEED = 10;
const RETURN = 13;
const BACKSPACE = 127;

/** An answer in the line editing of the terminal itself. */
export async function ask(question: string, print: (text: string) => void): Promise<string> {
  print(question);
  return await readAnswer(new ReadStream(0));
}

/** As `ask`; the terminal shows nothing of it. */
export async function askHidden(question: string, print: (text: string) => void): Promise<string> {
  print(question);
  const stream = new ReadStream(0);
  stream.setRawMode(true);
  try {
    return await readAnswer(stream);
  } finally {
    stream.setRawMode(false);
    print("\n");
  }
}

function readAnswer(stream: ReadStream): Promise<string> {
  const line = new Line();
  return new Promise((resolve, reject) => {
    const finish = (error: Error | undefined) => {
      stream.destroy();
      if (error === undefined) resolve(line.text());
      else reject(error);
    };
    stream.on("end", () => finish(undefined));
    stream.on("error", finish);
    stream.on("data", (chunk: Buffer) => {
      try {
        if (line.take(chunk)) finish(undefined);
      } catch (error) {
        finish(error as Error);
      }
    });
  });
}

/** What was typed, without what was taken back. */
class Line {
  readonly #bytes: number[] = [];

  /** Whether the line has ended. */
  take(chunk: Uint8Array): boolean {
    for (const byte of chunk) {
      if (byte === INTERRUPT) throw new TareError("system", "Interrupted");
      if (byte === LINE_FEED || byte === RETURN || byte === END) return true;
      if (byte === BACKSPACE) this.#bytes.pop();
      else this.#bytes.push(byte);
    }
    if (this.#bytes.length <= ANSWER_LENGTH_MAX) return false;
    throw new TareError("bad_input", "Cannot read the answer: it is too long");
  }

  text(): string {
    return new TextDecoder().decode(Uint8Array.from(this.#bytes));
  }
}
