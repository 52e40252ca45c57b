/** What compressed streams are told by, and how far they may expand. */
import { expect, test } from "bun:test";
import { checkExpansion, decompress, detectCompression } from "./compression.ts";

const KNOWN: [name: string, head: number[]][] = [
  ["gzip", [0x1f, 0x8b, 8]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["zstd", [0x5a, 0x2a, 0x4d, 0x18]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
  ["plain", [0x60, 0x2a, 0x4d, 0x18]],
  ["plain", []],
];
for (const [name, head] of KNOWN) {
  test(`${head.join(" ") || "nothing"} is ${name}`, () => {
    expect(detectCompression(Uint8Array.from(head))).toBe(name as never);
  });
}

const GIB = 1024 ** 3;
const EXPANSIONS: [plain: number, compressed: number, isFine: boolean][] = [
  [8 * GIB, 10, true],
  [8 * GIB + 1, 10, false],
  [100 * GIB, GIB, true],
  [501 * GIB, GIB, false],
];
for (const [plain, compressed, isFine] of EXPANSIONS) {
  test(`${compressed} bytes may ${isFine ? "" : "not "}become ${plain}`, () => {
    const check = () => checkExpansion(plain, compressed);
    if (isFine) expect(check).not.toThrow();
    else expect(check).toThrow(`${compressed} bytes have become`);
  });
}

const ZEROS = new Uint8Array(1024 * 1024);
const PACKED: [name: "gzip" | "zstd", pack: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array][] = [
  ["gzip", (bytes) => Bun.gzipSync(bytes)],
  ["zstd", (bytes) => Bun.zstdCompressSync(bytes)],
];
for (const [name, pack] of PACKED) {
  test(`${name} is opened as far as it may expand, and no further`, async () => {
    const bytes = pack(ZEROS);
    const open = async (ratioMax: number): Promise<number> => {
      const source = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
      let size = 0;
      for await (const chunk of decompress(source, name, { freeBytes: 1024, ratioMax })) {
        size += chunk.length;
      }
      return size;
    };
    expect(await open(ZEROS.length)).toBe(ZEROS.length);
    await expect(open(2)).rejects.toThrow("have become more than");
  });
}

test.each([
  ["xz", "xz"],
  ["bzip2", "bzip2"],
] as const)(
  "%s is opened by its program as far as it may expand, and no further",
  async (compression, program) => {
    const plain = 8 * 1024 * 1024;
    const made = Bun.spawnSync([program, "-1", "-c"], { stdin: new Uint8Array(plain) });
    const limit = { freeBytes: 256 * 1024, ratioMax: 100 };
    let got = 0;
    const work = async () => {
      const source = (async function* () {
        yield new Uint8Array(made.stdout);
      })();
      for await (const chunk of decompress(source, compression, limit)) got += chunk.length;
    };
    expect(made.stdout.length * limit.ratioMax).toBeLessThan(plain / 4);
    await expect(work()).rejects.toThrow("have become more than");
    expect(got).toBeLessThan(plain / 2);
  },
  60_000,
);
