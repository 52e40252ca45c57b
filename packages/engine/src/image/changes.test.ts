import { describe, expect, test } from "bun:test";
import { splitWords } from "./change-words.ts";
import { applyChanges, type RunConfig } from "./changes.ts";
import { parseDuration } from "./duration.ts";

const BASE: RunConfig = {
  Env: ["PATH=/bin", "A=1"],
  Cmd: ["old"],
  WorkingDir: "/srv",
  Labels: { kept: "yes" },
  Unknown: { stays: true },
};

const CASES: readonly (readonly [changes: string[], expected: RunConfig])[] = [
  [['CMD ["a", "b c"]'], { Cmd: ["a", "b c"] }],
  [["cmd echo $A"], { Cmd: ["/bin/sh", "-c", "echo $A"] }],
  [["CMD [not json"], { Cmd: ["/bin/sh", "-c", "[not json"] }],
  [['ENTRYPOINT ["/x"]'], { Entrypoint: ["/x"], Cmd: undefined }],
  [['CMD ["new"]', 'ENTRYPOINT ["/x"]'], { Entrypoint: ["/x"], Cmd: ["new"] }],
  [["ENV B=2"], { Env: ["PATH=/bin", "A=1", "B=2"] }],
  [["ENV A=3 B='x y'"], { Env: ["PATH=/bin", "A=3", "B=x y"] }],
  [["ENV PATH=/opt:$PATH"], { Env: ["PATH=/opt:/bin", "A=1"] }],
  [["ENV B two words"], { Env: ["PATH=/bin", "A=1", "B=two words"] }],
  [
    ["ENV B=1", "ENV C=$B-$" + "{NONE:-x}$" + "{A:+y}"],
    { Env: ["PATH=/bin", "A=1", "B=1", "C=1-xy"] },
  ],
  [["EXPOSE 80 53/udp"], { ExposedPorts: { "80/tcp": {}, "53/udp": {} } }],
  [["EXPOSE 8000-8002"], { ExposedPorts: { "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {} } }],
  [['LABEL a=b "c d"="e f"'], { Labels: { kept: "yes", a: "b", "c d": "e f" } }],
  [["ONBUILD RUN make"], { OnBuild: ["RUN make"] }],
  [["STOPSIGNAL SIGINT"], { StopSignal: "SIGINT" }],
  [["USER 1000:1000"], { User: "1000:1000" }],
  [["VOLUME /a /b"], { Volumes: { "/a": {}, "/b": {} } }],
  [['VOLUME ["/a b"]'], { Volumes: { "/a b": {} } }],
  [["WORKDIR x"], { WorkingDir: "/srv/x" }],
  [["WORKDIR /x/../y/"], { WorkingDir: "/y" }],
  [["HEALTHCHECK NONE"], { Healthcheck: { Test: ["NONE"] } }],
  [
    ["HEALTHCHECK --interval=1m30s --retries=2 CMD curl x"],
    { Healthcheck: { Interval: 90e9, Retries: 2, Test: ["CMD-SHELL", "curl x"] } },
  ],
  [['HEALTHCHECK CMD ["a"]'], { Healthcheck: { Test: ["CMD", "a"] } }],
];

describe("a change does what the instruction does in a Dockerfile", () => {
  for (const [changes, expected] of CASES) {
    test(changes.join("; "), () => {
      const changed = applyChanges(BASE, changes);
      const wanted: Record<string, unknown> = { ...BASE, ...expected };
      for (const key of Object.keys(wanted)) if (wanted[key] === undefined) delete wanted[key];
      expect(changed).toEqual(wanted);
    });
  }
});

test("what is no such change is refused with a reason", () => {
  for (const [change, why] of [
    ["RUN make", "no such instruction"],
    ["", "no such instruction"],
    ["CMD", "nothing stands behind it"],
    ["ENV A", "want KEY=VALUE"],
    ["ENV =x y=z", "is no KEY=VALUE"],
    ["ENV A='x", "is not closed"],
    ["ENV A=$" + "{B", "is not closed"],
    ["ENV A=$" + "{B:?x}", "only :- and :+"],
    ["EXPOSE 0", "want a port"],
    ["EXPOSE 70000", "want a port"],
    ["EXPOSE 9-1", "want a port"],
    ["EXPOSE 80/x", "want a port"],
    ["USER a b", "want one word"],
    ["ONBUILD ONBUILD RUN x", "may not stand"],
    ["HEALTHCHECK --x=1 CMD y", "no flag of a health check"],
    ["HEALTHCHECK --interval=1x CMD y", "Cannot read duration"],
    ["HEALTHCHECK echo", "want CMD"],
  ] as const) {
    expect(() => applyChanges({}, [change])).toThrow(why);
  }
});

test("words keep what quotes and backslashes say", () => {
  const variables = new Map([["V", "a b"]]);
  for (const [text, words] of [
    ['a "b c" d', ["a", "b c", "d"]],
    ["a\\ b", ["a b"]],
    ["'$V' \"$V\" $V", ["$V", "a b", "a b"]],
    ['"" x', ["", "x"]],
    ['"a\\"b\\n"', ['a"b\\n']],
    ["$ $- cost$", ["$", "$-", "cost$"]],
    ["\\", ["\\"]],
  ] as const) {
    expect([text, splitWords(text, variables)]).toEqual([text, [...words]]);
  }
});

test("durations are Go's", () => {
  for (const [text, ns] of [
    ["0", 0],
    ["1.5s", 1.5e9],
    ["1h2m3s4ms5us6ns", 3_723_004_005_006],
    ["100µs", 100_000],
  ] as const) {
    expect(parseDuration(text)).toBe(ns);
  }
  for (const text of ["", "1", "s", "1.2.3s", "-1s", "99999999999h"]) {
    expect(() => parseDuration(text)).toThrow("Cannot read duration");
  }
});
