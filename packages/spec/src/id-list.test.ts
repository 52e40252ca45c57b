import { describe, expect, test } from "bun:test";
import { idMask, LISTED_ID_MAX } from "./id-list.ts";

/** The numbers whose bits are set. */
function ids(mask: Uint8Array | undefined): number[] | undefined {
  if (mask === undefined) return undefined;
  return Array.from({ length: mask.length * 8 }, (_, id) => id).filter(
    (id) => ((mask[id >> 3] ?? 0) & (1 << (id & 7))) !== 0,
  );
}

describe("a list of processors or nodes", () => {
  const cases: [text: string, want: number[]][] = [
    ["", []],
    [" , ,", []],
    ["0", [0]],
    ["0-3,7", [0, 1, 2, 3, 7]],
    ["7,0-3", [0, 1, 2, 3, 7]],
    ["1,1,1-2", [1, 2]],
    [" 2 - 3 , 5,", [2, 3, 5]],
    ["63-65", [63, 64, 65]],
    [`${LISTED_ID_MAX}`, [LISTED_ID_MAX]],
  ];
  test.each(cases)("%j", (text, want) => {
    expect(ids(idMask(text))).toEqual(want);
  });

  test("comes in whole words of 64 bits", () => {
    expect(["", "0", "63", "64"].map((text) => idMask(text)?.length)).toEqual([0, 8, 8, 16]);
  });

  test.each([
    "-",
    "1-",
    "-1",
    "3-1",
    "a",
    "1.5",
    "0x1",
    "1e2",
    "1 2",
    "1-2-3",
    "8192",
    "99999",
    "٣",
  ])("%j is none", (text) => {
    expect(idMask(text)).toBeUndefined();
  });

  test("an endless text is refused at once", () => {
    expect(idMask("1,".repeat(100_000))).toBeUndefined();
  });
});
