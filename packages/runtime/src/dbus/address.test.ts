import { describe, expect, test } from "bun:test";
import { parseAddress, systemdAddresses } from "./address.ts";
import { answerLine } from "./auth.ts";

const NAME = "DBUS_SYSTEM_BUS_ADDRESS";

describe("addresses", () => {
  test.each([
    ["unix:path=/run/bus", ["/run/bus"]],
    ["unix:path=/run/bus,guid=0123", ["/run/bus"]],
    ["unix:guid=1,path=/a%20b%2fc", ["/a b/c"]],
    ["tcp:host=x,port=1;unix:path=/b", ["/b"]],
    ["unix:path=/a;unix:path=/b", ["/a", "/b"]],
    ["unix:path=/%c3%a9", ["/é"]],
  ])("%s", (text, paths) => {
    expect(parseAddress(NAME, text).map(({ path }) => path)).toEqual(paths);
  });

  test.each([
    ["tcp:host=localhost", "unix:path="],
    ["unix:abstract=/tmp/x", "unix:path="],
    ["unix:path=relative", "absolute"],
    ["unix:path=/a%", "escape"],
    ["unix:path=/a%0", "escape"],
    ["unix:path=/a%zz", "escape"],
    ["unix:path=/a%00b", "escape"],
    [`unix:path=/${"a".repeat(107)}`, "too long"],
    ["nonsense", "unix:path="],
  ])("%s is refused", (text, why) => {
    expect(() => parseAddress(NAME, text)).toThrow(why);
  });

  test("a list without an end is refused", () => {
    expect(() => parseAddress(NAME, `unix:path=/${"a".repeat(5000)}`)).toThrow("too long");
  });

  const paths = (isUser: boolean, environment: readonly (readonly [string, string])[]) =>
    systemdAddresses({ isUser, environment: new Map(environment) }).map(({ path }) => path);

  test("systemd's own socket comes before the bus, unless the environment names one", () => {
    expect(paths(false, [])).toEqual(["/run/systemd/private", "/run/dbus/system_bus_socket"]);
    expect(paths(false, [[NAME, "unix:path=/x"]])).toEqual(["/x"]);
    const home = ["XDG_RUNTIME_DIR", "/run/user/7"] as const;
    expect(paths(true, [home])).toEqual(["/run/user/7/systemd/private", "/run/user/7/bus"]);
    expect(paths(true, [home, ["DBUS_SESSION_BUS_ADDRESS", "unix:path=/y"]])).toEqual(["/y"]);
    expect(paths(true, [])).toEqual([]);
  });
});

describe("authentication", () => {
  const unnamed = { uid: 1000, isNamed: false };

  test("is done without a name, and with one where it is wanted", () => {
    expect(answerLine("DATA", unnamed)).toEqual({ say: "DATA\r\n", isLast: false });
    expect(answerLine("OK 0123", unnamed)).toEqual({ say: "BEGIN\r\n", isLast: true });
    const named = { say: "AUTH EXTERNAL 31303030\r\n", isLast: false };
    expect(answerLine("REJECTED EXTERNAL", unnamed)).toEqual(named);
    expect(answerLine('ERROR "what?"', unnamed)).toEqual(named);
  });

  test("ends where the name is refused too, or the answer is strange", () => {
    const isNamed = { uid: 1000, isNamed: true };
    expect(() => answerLine("REJECTED EXTERNAL", isNamed)).toThrow("refused");
    expect(() => answerLine("HTTP/1.1 400 Bad Request", unnamed)).toThrow("strange");
    expect(() => answerLine("OKAY", unnamed)).toThrow("strange");
  });
});
