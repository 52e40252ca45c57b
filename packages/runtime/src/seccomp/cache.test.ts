import { describe, expect, test } from "bun:test";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { cacheKey, decodeEntry, encodeEntry, entryName, profileText } from "./cache.ts";

/** 32 bytes that depend on each byte and its place: all that the cache asks of a digest. */
function sha256(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(32);
  let state = 7;
  for (const [index, byte] of [...bytes, bytes.length & 0xff].entries()) {
    state = (Math.imul(state, 31) + byte + 1) >>> 0;
    const place = index % 32;
    digest[place] = (digest[place] ?? 0) ^ (state >>> 8);
    digest[31] = (digest[31] ?? 0) ^ (state & 0xff);
  }
  return digest;
}

const NATIVE = "SCMP_ARCH_X86_64";
const PROGRAM = Uint8Array.of(0x06, 0, 0, 0, 0, 0, 0xff, 0x7f);
const PROFILE: Seccomp = {
  defaultAction: "SCMP_ACT_ERRNO",
  architectures: [NATIVE],
  flags: ["SECCOMP_FILTER_FLAG_LOG"],
  syscalls: [
    {
      names: ["socket"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: 38n, valueTwo: 0n, op: "SCMP_CMP_LT" }],
    },
  ],
};

const key = cacheKey(profileText(PROFILE), NATIVE, sha256);
const entry = encodeEntry(key, PROGRAM, sha256);

describe("an entry", () => {
  test("gives back its program", () => {
    expect(decodeEntry(key, entry, sha256)).toEqual(PROGRAM);
    expect(entryName(key)).toMatch(/^[0-9a-f]{64}$/);
  });

  test("is refused when any byte differs", () => {
    for (let index = 0; index < entry.length; index++) {
      const damaged = entry.with(index, (entry[index] ?? 0) ^ 1);
      expect(decodeEntry(key, damaged, sha256)).toBeUndefined();
    }
  });

  test("is refused at every other length", () => {
    const longer = new Uint8Array(entry.length + 8);
    longer.set(entry);
    for (let length = 0; length <= longer.length; length++) {
      if (length === entry.length) continue;
      expect(decodeEntry(key, longer.subarray(0, length), sha256)).toBeUndefined();
    }
  });

  test("is refused for another profile or architecture", () => {
    const other = cacheKey("{}", NATIVE, sha256);
    const arm = { ...key, native: "SCMP_ARCH_AARCH64" };
    for (const wrong of [other, arm]) expect(decodeEntry(wrong, entry, sha256)).toBeUndefined();
  });
});

describe("the key", () => {
  const changed: [string, Seccomp][] = [
    ["default action", { ...PROFILE, defaultAction: "SCMP_ACT_KILL" }],
    ["default errno", { ...PROFILE, defaultErrnoRet: 1 }],
    ["architectures", { ...PROFILE, architectures: [] }],
    ["rules", { ...PROFILE, syscalls: [] }],
    [
      "a value above 2^53",
      {
        ...PROFILE,
        syscalls: PROFILE.syscalls.map((one) => ({
          ...one,
          args: one.args.map((arg) => ({ ...arg, value: 2n ** 64n - 1n })),
        })),
      },
    ],
  ];
  test.each(changed)("depends on the %s", (_what, profile) => {
    expect(entryName(cacheKey(profileText(profile), NATIVE, sha256))).not.toBe(entryName(key));
  });

  test("does not depend on flags: they are not in the program", () => {
    expect(profileText({ ...PROFILE, flags: [] })).toBe(profileText(PROFILE));
  });

  test("depends on the architecture, and takes bytes as well as text", () => {
    const text = profileText(PROFILE);
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    expect(entryName(cacheKey(bytes, NATIVE, sha256))).toBe(entryName(key));
    const arm = cacheKey(text, "SCMP_ARCH_AARCH64", sha256);
    expect(entryName(arm)).not.toBe(entryName(key));
  });
});
