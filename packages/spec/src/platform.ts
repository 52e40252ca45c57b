/**
 * Platforms of images and which of several fits a machine. Names and order of preference are those
 * of github.com/containerd/platforms, which the other engines follow.
 */
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";

/** In Go's names: `linux`, `amd64`, and a variant such as `v7` where the architecture has some. */
export type Platform = {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
};

/** As an index has it, with what it asks of the system. */
export type ImagePlatform = Platform & {
  readonly osVersion?: string;
  /** Each of them mandatory. */
  readonly osFeatures: readonly string[];
};

const PART_LENGTH_MAX = 64;

const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ["x86_64", "amd64"],
  ["x86-64", "amd64"],
  ["aarch64", "arm64"],
  ["i386", "386"],
  ["i686", "386"],
  ["armhf", "arm"],
  ["armel", "arm"],
]);

/** A version of ARM's 64-bit architecture has all of the 8.x that is five minors above its own. */
const ARM_9_HAS_8 = 5;
const ARM_8_MINOR_MAX = 9;

/** The platform of `os/architecture[/variant]` or an architecture alone. Throws `bad_input`. */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  const isGood = parts.length <= 3 && parts.every(isPart);
  if (!isGood) {
    throw new TareError(
      "bad_input",
      `Cannot parse platform ${quoteJson(text)}: want os/architecture or os/architecture/variant`,
    );
  }
  const [first = "", architecture, variant] = parts;
  if (architecture === undefined) return normalizePlatform({ os: "linux", architecture: first });
  const platform = { os: first, architecture };
  return normalizePlatform(variant === undefined ? platform : { ...platform, variant });
}

/** `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** One spelling for each platform: Go's names, and no variant where it is the architecture's first. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const spelled = platform.architecture.toLowerCase();
  const architecture = ARCHITECTURES.get(spelled) ?? spelled;
  const variant = normalizeVariant(spelled, architecture, platform.variant?.toLowerCase() ?? "");
  return variant === "" ? { os, architecture } : { os, architecture, variant };
}

/**
 * The entry of an index that fits `wanted` best, the first of equals; undefined where none does. One
 * that asks for features of the system does not fit. One without a platform fits last: what it is
 * for stands in its configuration.
 */
export function selectPlatform<T extends { readonly platform?: ImagePlatform }>(
  entries: readonly T[],
  wanted: Platform,
): T | undefined {
  const plain = entries.filter(({ platform }) => (platform?.osFeatures.length ?? 0) === 0);
  const spellings = plain.map(({ platform }) =>
    platform === undefined ? "" : formatPlatform(normalizePlatform(platform)),
  );
  for (const candidate of acceptedPlatforms(normalizePlatform(wanted))) {
    const found = spellings.indexOf(formatPlatform(candidate));
    if (found >= 0) return plain[found];
  }
  return plain[spellings.indexOf("")];
}

/** Whether an image for `platform` runs on a machine of `wanted`. */
export function fitsPlatform(platform: Platform, wanted: Platform): boolean {
  const spelling = formatPlatform(normalizePlatform(platform));
  const accepted = acceptedPlatforms(normalizePlatform(wanted));
  return accepted.some((candidate) => formatPlatform(candidate) === spelling);
}

function isPart(part: string): boolean {
  return part.length <= PART_LENGTH_MAX && /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(part);
}

function normalizeVariant(spelled: string, architecture: string, variant: string): string {
  if (spelled === "armhf") return "v7";
  if (spelled === "armel") return "v6";
  const name = variant === "" || variant.startsWith("v") ? variant : `v${variant}`;
  switch (architecture) {
    case "amd64":
      return name === "v1" ? "" : name;
    case "386":
      return "";
    case "arm":
      return name === "" ? "v7" : name;
    case "arm64":
      if (name === "v8" || name === "v8.0") return "";
      return name === "v9.0" ? "v9" : name;
    default:
      return variant;
  }
}

/** What a machine runs, best first; of a normalized platform. */
function acceptedPlatforms(wanted: Platform): readonly Platform[] {
  const { os, architecture, variant = "" } = wanted;
  const named = (name: string, variants: readonly string[]) =>
    variants.map((each) =>
      each === "" ? { os, architecture: name } : { os, architecture: name, variant: each },
    );
  switch (architecture) {
    case "amd64":
      return [...named("amd64", [...countDown(variant, 2), ""]), ...named("386", [""])];
    case "arm":
      return named("arm", countDown(variant, 5));
    case "arm64":
      return [...named("arm64", arm64Variants(variant)), ...named("arm", countDown("v8", 5))];
    default:
      return [wanted];
  }
}

/** `v4` with a last of 2 is v4, v3, v2; what is no such version is itself, if it is anything. */
function countDown(variant: string, last: number): readonly string[] {
  if (!/^v[1-9]$/.test(variant)) return variant === "" ? [] : [variant];
  const version = Number(variant.slice(1));
  const count = Math.max(version - last + 1, 1);
  return Array.from({ length: count }, (_, i) => `v${version - i}`);
}

function arm64Variants(variant: string): readonly string[] {
  const match = /^v([89])(?:\.([0-9]))?$/.exec(variant === "" ? "v8" : variant);
  if (match === null) return [variant, ""];
  const minor = Number(match[2] ?? 0);
  if (match[1] === "8") return minors(8, minor);
  return [...minors(9, minor), ...minors(8, Math.min(minor + ARM_9_HAS_8, ARM_8_MINOR_MAX))];
}

/** From `major.minor` down to `major`; 8 itself is spelled without a variant. */
function minors(major: number, minor: number): readonly string[] {
  const first = major === 8 ? "" : `v${major}`;
  return Array.from({ length: minor + 1 }, (_, i) =>
    i === minor ? first : `v${major}.${minor - i}`,
  );
}
