import { describe, expect, test } from "bun:test";
import { subordinateRange } from "./id-mappings.ts";
import { parseRuntimeLog } from "./runtime-log.ts";

describe("parseRuntimeLog", () => {
  const cases: [name: string, text: string, code: string | undefined][] = [
    [
      "ours",
      '{"level":"error","msg":"Cannot execute \\"x\\"","code":"command_not_found"}\n',
      "command_not_found",
    ],
    [
      "runc",
      '{"level":"error","msg":"exec: \\"x\\": executable file not found in $PATH"}',
      "command_not_found",
    ],
    [
      "crun",
      '{"msg":"executable file `x` not found in $PATH: No such file or directory","level":"error"}',
      "command_not_found",
    ],
    [
      "permission",
      '{"level":"error","msg":"exec /x: permission denied"}',
      "command_not_executable",
    ],
    ["something else", '{"level":"error","msg":"cgroup is full"}', "system"],
    ["words that are no JSON", "panic: oh\n", "system"],
    ["a warning only", '{"level":"warning","msg":"old kernel"}', undefined],
    ["nothing", "", undefined],
  ];
  test.each(cases)("%s", (_name, text, code) => {
    expect(parseRuntimeLog(text).failure?.code).toBe(code as never);
  });

  test("the last error counts, warnings are kept", () => {
    const text =
      '{"level":"warning","msg":"w"}\n{"level":"error","msg":"a"}\n{"level":"error","msg":"b"}\n';
    const log = parseRuntimeLog(text);
    expect(log.failure?.message).toBe("b");
    expect(log.warnings).toEqual(["w"]);
    expect(log.printed).toBeTrue();
  });

  test("only the helper leaves printing to us", () => {
    expect(parseRuntimeLog('{"level":"error","msg":"a","printed":false}').printed).toBeFalse();
  });
});

describe("subordinateRange", () => {
  test("takes the first range of root that is large enough", () => {
    const text = "me:1:65536\nroot:5:10\nroot:200000:65536\nroot:9:65536\n";
    expect(subordinateRange(text, "/etc/subuid")).toEqual({
      containerID: 0,
      hostID: 200000,
      size: 65536,
    });
  });

  test.each(["", "root", "root:x:65536", "root:0:65536", "root:100:1"])("refuses %j", (text) => {
    expect(() => subordinateRange(text, "/etc/subuid")).toThrow(/no range for root/);
  });
});
