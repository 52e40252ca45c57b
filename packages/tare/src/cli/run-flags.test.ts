import { describe, expect, test } from "bun:test";
import { TareError } from "@tare/spec/error.ts";
import { parseLine } from "./flag.ts";
import { RUN_FLAGS, toRequest } from "./run-flags.ts";

const FILES = new Map([
  ["vars", "# a comment\n\nA=1\nHOME\nUNSET\n  B=two words\nC=\r\n"],
  ["bad", "A=1\nB C=2\n"],
]);

function request(...words: string[]) {
  const { values, positionals } = parseLine(RUN_FLAGS, words, {
    interspersed: false,
    shortHelp: false,
  });
  return toRequest(values, positionals, {
    env: new Map([["HOME", "/root"]]),
    directory: "/here",
    readFile: (path) => FILES.get(path) ?? "",
  });
}

describe("toRequest", () => {
  test("the first word is the image, the rest the command", () => {
    expect(request("debian", "ls", "-l")).toMatchObject({
      root: { kind: "image", reference: "debian" },
      command: ["ls", "-l"],
      network: "none",
      remove: false,
    });
  });

  test("@host is the machine itself", () => {
    expect(request("@host").root).toEqual({ kind: "host" });
  });

  test("--rootfs leaves every word to the command", () => {
    expect(request("--rootfs", "fs", "ls")).toMatchObject({
      root: { kind: "directory", path: "/here/fs" },
      command: ["ls"],
    });
  });

  test("variables come from files, then flags; a name alone takes the caller's", () => {
    expect(
      request("--env-file", "vars", "-e", "X=y", "-e", "HOME", "-e", "UNSET", "i").env,
    ).toEqual(["A=1", "HOME=/root", "B=two words", "C=", "X=y", "HOME=/root", "UNSET"]);
  });

  test("an empty entrypoint is none", () => {
    expect(request("--entrypoint", "", "i").entrypoint).toEqual([]);
    expect(request("--entrypoint", "/x", "i").entrypoint).toEqual(["/x"]);
    expect(request("i").entrypoint).toBeUndefined();
  });

  test("security options", () => {
    expect(request("i")).toMatchObject({ seccomp: { kind: "default" }, noNewPrivileges: false });
    expect(request("--privileged", "i").seccomp).toEqual({ kind: "unconfined" });
    expect(
      request("--security-opt", "seccomp=unconfined", "--security-opt", "no-new-privileges", "i"),
    ).toMatchObject({ seccomp: { kind: "unconfined" }, noNewPrivileges: true });
    expect(request("--security-opt", "no-new-privileges:false", "i").noNewPrivileges).toBeFalse();
    expect(request("--security-opt", "seccomp=vars", "i").seccomp).toMatchObject({
      kind: "profile",
      origin: "vars",
    });
  });

  test("user namespaces", () => {
    expect(request("--userns", "auto", "i").userNamespace).toEqual({ kind: "auto" });
    expect(request("--userns", "100000:65536", "i").userNamespace).toEqual({
      kind: "range",
      first: 100000,
      size: 65536,
    });
  });

  const refused: [words: string[], message: RegExp][] = [
    [[], /no image is given/],
    [["--rm"], /no image is given/],
    [["-m", "lots", "i"], /-m "lots": want a size/],
    [["--cpus", "two", "i"], /--cpus "two"/],
    [["--network", "bridge", "i"], /want none or host/],
    [["--pull", "often", "i"], /want missing, always or never/],
    [["-w", "rel", "i"], /want an absolute path/],
    [["-h", "a b", "i"], /-h "a b"/],
    [["-e", "=x", "i"], /has no name/],
    [["--env-file", "bad", "i"], /line 2 of "bad": the name "B C" has a space/],
    [["--security-opt", "apparmor=x", "i"], /not known/],
    [["--security-opt", "seccomp", "i"], /not known/],
    [["-v", "/a:/b", "--tmpfs", "/b", "i"], /"\/b" twice/],
    [["--userns", "0:65536", "i"], /want host, auto/],
    [["--userns", "4294967290:10", "i"], /want host, auto/],
    [["--cgroup-parent", "../x", "i"], /below the root of the cgroups/],
    [["--name", "../x", "i"], /--name/],
    [["--device", "kvm", "i"], /--device "kvm"/],
  ];
  test.each(refused)("refuses %j", (words, message) => {
    let error: unknown;
    try {
      request(...words);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(TareError);
    expect((error as TareError).message).toMatch(message);
    expect((error as TareError).code).toBe("bad_input");
  });

  test("every flag has a help text, and names and letters are used once", () => {
    const flags = Object.values(RUN_FLAGS);
    const letters = flags.flatMap((flag) => ("short" in flag ? [flag.short] : []));
    expect(new Set(letters).size).toBe(letters.length);
    expect(new Set(flags.map((flag) => flag.name)).size).toBe(flags.length);
    for (const flag of flags) expect(flag.help.length).toBeGreaterThan(10);
  });
});
