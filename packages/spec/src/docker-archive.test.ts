import { expect, test } from "bun:test";
import { parseArchiveManifest } from "./docker-archive.ts";
import { TareError } from "./error.ts";

test("the images of an archive", () => {
  const text = JSON.stringify([
    {
      Config: "a.json",
      RepoTags: ["alpine:3", "quay.io/a/b:c"],
      Layers: ["l/layer.tar", "blobs/sha256/x"],
      LayerSources: { x: {} },
    },
    { Config: "b.json", RepoTags: null, Layers: [] },
  ]);
  expect(parseArchiveManifest(text)).toEqual([
    {
      config: "a.json",
      names: ["alpine:3", "quay.io/a/b:c"],
      layers: ["l/layer.tar", "blobs/sha256/x"],
    },
    { config: "b.json", names: [], layers: [] },
  ]);
  expect(parseArchiveManifest("[]")).toEqual([]);
});

const bad: [text: string, message: string][] = [
  ["{}", "Cannot read manifest.json: want an array, got an object"],
  ["null", "Cannot read manifest.json: want an array, got null"],
  ["[[]]", "Cannot read manifest.json: [0]: want an object, got an array"],
  ["[{}]", "Cannot read manifest.json: [0].Config: want a string, got nothing"],
  ['[{"Config":"/etc/passwd"}]', '[0].Config: "/etc/passwd" is no path inside'],
  ['[{"Config":"a/../../b"}]', '[0].Config: "a/../../b" is no path inside'],
  ['[{"Config":"a","Layers":["b",".."]}]', '[0].Layers[1]: ".." is no path inside'],
  ['[{"Config":"a","Layers":[""]}]', '[0].Layers[0]: "" is no path inside'],
  ['[{"Config":"a","Layers":["b\\u0000"]}]', '"b\\u0000" has a NUL in it'],
  ['[{"Config":"a","RepoTags":"x"}]', '[0].RepoTags: want an array of strings, got "x"'],
  ["[", "Cannot read manifest.json: not valid JSON"],
];

test.each(bad)("%s is refused", (text, message) => {
  expect(() => parseArchiveManifest(text)).toThrow(TareError);
  expect(() => parseArchiveManifest(text)).toThrow(message);
});
