import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { passwordCredential } from "./credential.ts";
import { Credentials } from "./credentials.ts";

let dir = "";
let file = "";

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tare-credentials-"));
  file = join(dir, "sub/config.json");
});

afterEach(() => rmSync(dir, { recursive: true }));

function open(config?: object, env: Record<string, string> = {}): Credentials {
  if (config !== undefined) {
    mkdirSync(join(dir, "sub"), { recursive: true });
    writeFileSync(file, JSON.stringify(config));
  }
  return new Credentials({ file, env });
}

const auth = (text: string) => ({ auth: Buffer.from(text).toString("base64") });
const password = (username: string, word: string) => ({
  kind: "password" as const,
  username,
  password: word,
});

describe("docker's file", () => {
  test("is written only once nobody else holds its directory", async () => {
    const credentials = open({ auths: { "a.example": auth("u:p") } });
    const child = Bun.spawn(["flock", join(dir, "sub"), "sh", "-c", "echo held; cat"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await child.stdout.getReader().read();
    const written = credentials.keep("b.example", password("v", "w"));
    await Bun.sleep(50);
    expect(await credentials.find("b.example")).toBeUndefined();
    // What the other writes in the meantime stays.
    writeFileSync(file, JSON.stringify({ auths: { "c.example": auth("x:y") } }));
    await child.stdin.end();
    await written;
    expect(await credentials.find("b.example")).toEqual(password("v", "w"));
    expect(await credentials.find("c.example")).toEqual(password("x", "y"));
  });

  test("is read by host and port, and nothing else fits", async () => {
    const credentials = open({
      auths: { "a.example": auth("u:p:q"), "a.example:5000": auth("v:w") },
    });
    expect(await credentials.find("a.example")).toEqual(password("u", "p:q"));
    expect(await credentials.find("a.example:5000")).toEqual(password("v", "w"));
    for (const other of [
      "b.example",
      "a.example:443",
      "sub.a.example",
      "example",
      "a.example.evil",
    ]) {
      expect(await credentials.find(other)).toBeUndefined();
    }
  });

  test("has older spellings, and the hub's", async () => {
    const credentials = open({
      auths: { "https://a.example/v1/": auth("u:p"), "https://index.docker.io/v1/": auth("h:i") },
    });
    expect(await credentials.find("a.example")).toEqual(password("u", "p"));
    expect(await credentials.find("docker.io")).toEqual(password("h", "i"));
  });

  test("of podman has parts of registries, the narrowest wins", async () => {
    const credentials = open({
      auths: { "q.io": auth("a:1"), "q.io/team": auth("b:2"), "docker.io": auth("c:3") },
    });
    expect(await credentials.find("q.io", "team/app")).toEqual(password("b", "2"));
    expect(await credentials.find("q.io", "teams/app")).toEqual(password("a", "1"));
    expect(await credentials.find("docker.io", "library/x")).toEqual(password("c", "3"));
  });

  test("may hold an identity token", async () => {
    const credentials = open({ auths: { "a.example": { ...auth("u:"), identitytoken: "t" } } });
    expect(await credentials.find("a.example")).toEqual({
      kind: "identity-token",
      username: "u",
      token: "t",
    });
  });

  test("may be absent, and odd entries are no credentials", async () => {
    expect(await open().find("a.example")).toBeUndefined();
    const odd = {
      auths: { "a.example": 1, "b.example": { auth: "@@" }, "c.example": {}, "d.example": null },
    };
    for (const host of ["a.example", "b.example", "c.example", "d.example"]) {
      expect(await open(odd).find(host)).toBeUndefined();
    }
  });

  test("that is no JSON is an error", async () => {
    mkdirSync(join(dir, "sub"));
    writeFileSync(file, "{");
    await expect(open().find("a.example")).rejects.toThrow("no JSON object");
  });

  test("is written whole, for its owner alone, and keeps what else is in it", async () => {
    const credentials = open({
      auths: { "b.example": auth("x:y") },
      credsStore: "",
      more: { a: 1 },
    });
    chmodSync(file, 0o644);
    expect(await credentials.keep("docker.io", password("ü", "p"))).toBeUndefined();
    const written = JSON.parse(readFileSync(file, "utf8"));
    expect(written.more).toEqual({ a: 1 });
    expect(Object.keys(written.auths)).toEqual(["b.example", "https://index.docker.io/v1/"]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await credentials.find("docker.io")).toEqual(password("ü", "p"));
    expect(await credentials.drop("docker.io")).toBe(true);
    expect(await credentials.drop("docker.io")).toBe(false);
    expect(await credentials.find("b.example")).toEqual(password("x", "y"));
  });

  test("is made where it is missing, and a link stays one", async () => {
    const credentials = open();
    await credentials.keep("a.example", password("u", "p"));
    expect(statSync(join(dir, "sub")).mode & 0o777).toBe(0o700);
    const link = join(dir, "link.json");
    symlinkSync(file, link);
    await new Credentials({ file: link, env: {} }).keep("b.example", password("u", "p"));
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(Object.keys(JSON.parse(readFileSync(file, "utf8")).auths)).toHaveLength(2);
  });
});

describe("a credential helper", () => {
  /** Keeps what it is given in a directory, a file a registry. */
  const HELPER = `#!/bin/sh
    read -r input; name=$(printf %s "$input" | tr -c 'a-zA-Z0-9' _)
    case $1 in
      get) if [ -e "$KEPT/$name" ]; then cat "$KEPT/$name"; else echo "credentials not found in native keychain"; exit 1; fi;;
      store) key=$(printf %s "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/' | tr -c 'a-zA-Z0-9' _); printf %s "$input" > "$KEPT/$key";;
      erase) rm "$KEPT/$name";;
    esac`;

  function withHelper(config: object): Credentials {
    const bin = join(dir, "bin");
    mkdirSync(bin);
    mkdirSync(join(dir, "kept"));
    writeFileSync(join(bin, "docker-credential-test"), HELPER, { mode: 0o755 });
    writeFileSync(join(bin, "docker-credential-broken"), "#!/bin/sh\necho no key; exit 3", {
      mode: 0o755,
    });
    return open(config, { PATH: `${bin}:/usr/bin:/bin`, KEPT: join(dir, "kept") });
  }

  test("keeps, gives and forgets; nothing of it is in the file", async () => {
    const credentials = withHelper({ credsStore: "test" });
    expect(await credentials.find("a.example")).toBeUndefined();
    expect(await credentials.keep("a.example", password("u", 'p"\\x'))).toBe("test");
    expect(await credentials.find("a.example")).toEqual(password("u", 'p"\\x'));
    expect(readFileSync(file, "utf8")).not.toContain("a.example");
    expect(await credentials.drop("a.example")).toBe(true);
    expect(await credentials.find("a.example")).toBeUndefined();
  });

  test("is chosen by the registry, and passes identity tokens", async () => {
    const credentials = withHelper({
      credHelpers: { "a.example": "test" },
      auths: { "b.example": auth("x:y") },
    });
    await credentials.keep("a.example", { kind: "identity-token", username: "", token: "t" });
    expect(await credentials.find("a.example")).toEqual({
      kind: "identity-token",
      username: "",
      token: "t",
    });
    expect(await credentials.find("b.example")).toEqual(password("x", "y"));
  });

  test("that fails is an error, and so is one that is not there", async () => {
    const credentials = withHelper({ credHelpers: { a: "broken", b: "absent" } });
    await expect(credentials.find("a")).rejects.toThrow("docker-credential-broken: no key");
    await expect(credentials.find("b")).rejects.toThrow(
      "there is no program docker-credential-absent",
    );
  });

  test("is a name, never a path", async () => {
    const credentials = withHelper({
      credsStore: "../../bin/sh",
      credHelpers: { "a.example": "a/b" },
    });
    expect(await credentials.find("a.example")).toBeUndefined();
  });
});

test("names and passwords that would end a header are refused", () => {
  expect(() => passwordCredential("", "p")).toThrow("no user name");
  expect(() => passwordCredential("a:b", "p")).toThrow("no user name");
  expect(() => passwordCredential("a", "")).toThrow("empty");
  expect(() => passwordCredential("a", "p\nq")).toThrow("lines");
  expect(passwordCredential("a", "p:q")).toEqual(password("a", "p:q"));
});
