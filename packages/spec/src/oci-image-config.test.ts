import { describe, expect, test } from "bun:test";
import { TareError } from "./error.ts";
import { checkLayerCount, parseImageConfig } from "./oci-image-config.ts";

type Json = Record<string, unknown>;

const digest = `sha256:${"b".repeat(64)}`;
const minimal: Json = {
  architecture: "amd64",
  os: "linux",
  rootfs: { type: "layers", diff_ids: [digest] },
};

function textOf(more: Json): string {
  return JSON.stringify({ ...minimal, ...more });
}

function faultOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (!(error instanceof TareError)) throw error;
    return error.message.replace("Cannot read the image configuration: ", "");
  }
  return "no error";
}

test("a minimal configuration has empty defaults", () => {
  const want = {
    architecture: "amd64",
    os: "linux",
    defaults: {
      env: [],
      entrypoint: [],
      cmd: [],
      exposedPorts: [],
      volumes: [],
      labels: new Map(),
      onBuild: [],
      shell: [],
    },
    diffIds: [digest],
    history: [],
  };
  expect(parseImageConfig(textOf({})) as unknown).toStrictEqual(want);
  const nulls = textOf({ config: null, history: null, created: null, author: "" });
  expect(parseImageConfig(nulls) as unknown).toStrictEqual(want);
});

test("every field arrives", () => {
  const config = parseImageConfig(
    textOf({
      variant: "v3",
      created: "2015-10-31T22:22:56.015925234Z",
      author: "a",
      config: {
        User: "1000:1000",
        ExposedPorts: { "80/tcp": {}, "53/udp": null },
        Env: ["PATH=/bin", "EMPTY=", "A=b=c"],
        Entrypoint: ["/e"],
        Cmd: ["c", ""],
        Volumes: { "/v": {} },
        WorkingDir: "/w",
        Labels: JSON.parse('{"__proto__":"x","a":""}'),
        StopSignal: "SIGKILL",
        OnBuild: ["RUN x"],
        Shell: ["/bin/sh", "-c"],
        ArgsEscaped: true,
        Healthcheck: {
          Test: ["CMD-SHELL", "true"],
          Interval: 30_000_000_000,
          Timeout: 0,
          StartInterval: 5,
          Retries: 3,
        },
      },
      history: [
        { created: "c", created_by: "ADD x", author: "h", comment: "k" },
        { created_by: "ENV y", empty_layer: true },
      ],
    }),
  );
  const { labels, ...defaults } = config.defaults;
  expect(defaults).toStrictEqual({
    env: ["PATH=/bin", "EMPTY=", "A=b=c"],
    entrypoint: ["/e"],
    cmd: ["c", ""],
    exposedPorts: ["80/tcp", "53/udp"],
    volumes: ["/v"],
    onBuild: ["RUN x"],
    shell: ["/bin/sh", "-c"],
    user: "1000:1000",
    workingDir: "/w",
    stopSignal: "SIGKILL",
    healthcheck: {
      test: ["CMD-SHELL", "true"],
      intervalNs: 30_000_000_000n,
      startIntervalNs: 5n,
      retries: 3,
    },
  });
  expect([...labels]).toEqual([
    ["__proto__", "x"],
    ["a", ""],
  ]);
  expect(config.history).toStrictEqual([
    { emptyLayer: false, created: "c", author: "h", comment: "k", createdBy: "ADD x" },
    { emptyLayer: true, createdBy: "ENV y" },
  ]);
  const { variant, created, author } = config;
  expect([variant, created, author]).toEqual(["v3", "2015-10-31T22:22:56.015925234Z", "a"]);
});

test("an old command of one string is one word", () => {
  const { defaults } = parseImageConfig(textOf({ config: { Cmd: "/bin/sh", Entrypoint: "" } }));
  expect([defaults.cmd, defaults.entrypoint]).toEqual([["/bin/sh"], []]);
});

const faults: [more: Json, message: string][] = [
  [{ os: undefined }, "os: want a string, got nothing"],
  [{ architecture: "" }, "architecture: must not be empty"],
  [{ rootfs: undefined }, "rootfs: want an object, got nothing"],
  [{ rootfs: { type: "tar", diff_ids: [] } }, 'rootfs.type: want "layers", got "tar"'],
  [{ rootfs: { type: "layers", diff_ids: [digest, "x"] } }, 'rootfs.diff_ids[1]: "x" is no digest'],
  [{ config: [] }, "config: want an object, got an array"],
  [{ config: { Env: "A=1" } }, 'config.Env: want an array of strings, got "A=1"'],
  [{ config: { Env: ["A=\0"] } }, 'config.Env[0]: "A=\\u0000" has a NUL in it'],
  [{ config: { Cmd: [1] } }, "config.Cmd[0]: want a string, got 1"],
  [{ config: { Labels: { a: 1 } } }, "config.Labels.a: want a string, got 1"],
  [{ config: { Volumes: ["/v"] } }, "config.Volumes: want an object, got an array"],
  [{ config: { User: 0 } }, "config.User: want a string, got 0"],
  [
    { config: { Healthcheck: { Interval: -1 } } },
    "config.Healthcheck.Interval: want no negative time, got -1",
  ],
  [{ history: [1] }, "history[0]: want an object, got 1"],
];

test.each(faults)("%j is refused", (more, message) => {
  expect(faultOf(() => parseImageConfig(textOf(more)))).toBe(message);
});

test("what is no NAME=value is dropped from Env, never looked up", () => {
  const Env = ["A=1", "AWS_SECRET", "*", "=x", "", "B="];
  expect(parseImageConfig(textOf({ config: { Env } })).defaults.env).toEqual(["A=1", "B="]);
});

describe("checkLayerCount", () => {
  test("wants as many layers as hashes", () => {
    const config = parseImageConfig(textOf({}));
    checkLayerCount(1, config);
    const message = "Cannot use the image: its manifest has 2 layers, its configuration 1";
    expect(() => checkLayerCount(2, config)).toThrow(message);
  });
});
