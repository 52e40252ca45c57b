/** The text of manifest lists. */
import { expect, test } from "bun:test";
import type { Digest } from "@tare/spec/digest.ts";
import { OCI_MANIFEST } from "@tare/spec/media-type.ts";
import { addMember, annotateList, changeMember, newList, removeMember } from "./list-edit.ts";

const ONE = `sha256:${"1".repeat(64)}` as Digest;
const TWO = `sha256:${"2".repeat(64)}` as Digest;

function member(digest: Digest, changes = {}) {
  return { mediaType: OCI_MANIFEST, digest, size: 7, changes };
}

test("a member is added once, and described anew where it stands", () => {
  const first = addMember(addMember(newList(), member(ONE, { architecture: "arm" })), member(TWO));
  const again = addMember(first, member(ONE, { os: "other", architecture: "amd64" }));
  expect(JSON.parse(again).manifests).toEqual([
    {
      mediaType: OCI_MANIFEST,
      digest: ONE,
      size: 7,
      platform: { os: "other", architecture: "amd64" },
    },
    { mediaType: OCI_MANIFEST, digest: TWO, size: 7 },
  ]);
});

test("what others wrote stays", () => {
  const theirs = JSON.stringify({
    schemaVersion: 2,
    manifests: [
      { ...member(ONE), urls: [], platform: { os: "linux", architecture: "arm", features: ["x"] } },
    ],
    strange: { deep: [1] },
  });
  const changed = JSON.parse(changeMember(theirs, ONE, { variant: "v7" }));
  expect(changed.strange).toEqual({ deep: [1] });
  expect(changed.manifests[0].platform).toEqual({
    os: "linux",
    architecture: "arm",
    features: ["x"],
    variant: "v7",
  });
});

test("annotations are added, the same key replaced; a key is no property of ours", () => {
  const once = annotateList(newList(), [
    ["a", "1"],
    ["__proto__", "2"],
  ]);
  const twice = annotateList(once, [["a", "3"]]);
  expect(JSON.parse(twice).annotations).toEqual(JSON.parse('{"a":"3","__proto__":"2"}'));
});

test("a member that is not there is told, and no text that is no index is changed", () => {
  expect(() => changeMember(newList(), ONE, {})).toThrow("the list does not have it");
  expect(() => removeMember(newList(), ONE)).toThrow("the list does not have it");
  const one = addMember(newList(), member(ONE));
  expect(() => changeMember(one, ONE, { os: "linux" })).toThrow("architecture");
  expect(() => addMember('{"schemaVersion":2}', member(ONE))).toThrow("Cannot read");
});
