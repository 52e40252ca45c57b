import { describe, expect, test } from "bun:test";
import { type Listing, labelTitle, printInspected, printListing } from "./format.ts";

const ROWS = [
  { ID: "a1", CreatedSince: "2 days ago", Label: (key: unknown) => `${key}=1` },
  { ID: "b", CreatedSince: "now", Label: () => "" },
];

const LISTING: Listing<(typeof ROWS)[number]> = {
  titles: { ID: "IMAGE ID", CreatedSince: "CREATED", Label: labelTitle },
  columns: ["ID", "CreatedSince"],
};

const TABLE = "IMAGE ID   CREATED\na1         2 days ago\nb          now\n";

/** What docker prints of the same rows. */
const CASES: readonly (readonly [format: string | undefined, output: string])[] = [
  [undefined, TABLE],
  ["", TABLE],
  ["table", TABLE],
  ["table {{.ID}}\\t{{.CreatedSince}}", TABLE],
  ["{{.ID}}", "a1\nb\n"],
  ["{{.ID}}\\t{{.CreatedSince}}", "a1\t2 days ago\nb\tnow\n"],
  ["json", '{"ID":"a1","CreatedSince":"2 days ago"}\n{"ID":"b","CreatedSince":"now"}\n'],
  ["{{json .ID}}", '"a1"\n"b"\n'],
  [
    'table {{.ID}}\\t{{.Label "com.some-key"}}',
    "IMAGE ID   some key\na1         com.some-key=1\nb          \n",
  ],
];

describe("a listing", () => {
  for (const [format, output] of CASES) {
    test(`${format}`, async () => expect(await printListing(format, ROWS, LISTING)).toBe(output));
  }

  test("without rows still has heads, and any of them", async () => {
    expect(await printListing("table {{.CreatedSince}}", [], LISTING)).toBe("CREATED\n");
    expect(await printListing(undefined, [], LISTING)).toBe("IMAGE ID   CREATED\n");
    expect(await printListing("{{.ID}}", [], LISTING)).toBe("");
  });

  test("tells which fields there are", async () => {
    const printed = printListing("table {{.Nope}}", [], LISTING);
    await expect(printed).rejects.toThrow('no field "Nope"; there are ID, CreatedSince, Label');
  });
});

test("inspect prints a list, a line for each, or a template of each", async () => {
  const objects = [{ Id: "x" }, { Id: "y" }];
  expect(await printInspected("{{.Id}}", objects)).toBe("x\ny\n");
  expect(await printInspected("json", objects)).toBe('[{"Id":"x"},{"Id":"y"}]\n');
  expect(JSON.parse(await printInspected(undefined, objects))).toEqual(objects);
});
