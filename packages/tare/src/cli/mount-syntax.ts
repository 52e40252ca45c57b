/**
 * The three spellings of a mount, `-v`, `--mount` and `--tmpfs`, to one kind of data. Pure but for
 * the current directory, which is an argument: Docker takes `-v ./data:/data` relative to it.
 */
import type { MountRequest, Propagation } from "@tare/engine/container/request.ts";
import { isVolumeName } from "@tare/engine/volume/records.ts";
import { BadValue } from "./flag.ts";
import { isDigits, parseSize, parseSwitch, parseText } from "./values.ts";

const PROPAGATIONS: readonly Propagation[] = [
  "private",
  "rprivate",
  "shared",
  "rshared",
  "slave",
  "rslave",
];

/** Options of `-v`, besides propagations and `idmap`: of each line at most one. */
const VOLUME_WORDS: readonly (readonly string[])[] = [
  ["ro", "readonly", "rw"],
  ["nocopy", "copy"],
  ["U"],
  ["z", "Z"],
  // Of other systems; here they change nothing.
  ["consistent", "cached", "delegated"],
];

const TMPFS_DEFAULTS = ["nosuid", "nodev", "noexec"];

/** What was typed after a mount flag, read once the current directory is known. */
export type MountText = { readonly flag: "-v" | "--mount" | "--tmpfs"; readonly text: string };

/** @throws BadValue for a text that is no mount. */
export function parseMount(mount: MountText, directory: string): MountRequest {
  const text = parseText(mount.text);
  if (mount.flag === "-v") return parseVolume(text, directory);
  return mount.flag === "--mount" ? parseLongMount(text, directory) : parseTmpfs(text);
}

/** `[SOURCE:]TARGET[:OPTIONS]`. */
function parseVolume(text: string, directory: string): MountRequest {
  const parts = text.split(":");
  if (parts.length > 3 || parts.includes("")) throw new BadValue("want [SOURCE:]TARGET[:OPTIONS]");
  if (parts.length === 1) {
    return { kind: "volume", target: targetPath(parts[0] ?? ""), readonly: false };
  }
  const [source = "", second = "", options] = parts;
  const { readonly, propagation, recursive, noCopy, ...extras } = parseVolumeOptions(options);
  const target = targetPath(second);
  if (!isPath(source)) {
    const name = volumeName(source);
    return { kind: "volume", name, target, readonly, ...(noCopy ? { noCopy } : {}), ...extras };
  }
  return {
    kind: "bind",
    source: absolute(source, directory),
    target,
    readonly,
    recursive,
    propagation,
    createSource: true,
    ...extras,
  };
}

type VolumeOptions = {
  readonly readonly: boolean;
  readonly propagation: Propagation;
  readonly recursive: boolean;
  readonly noCopy: boolean;
  readonly chown?: boolean;
  readonly relabel?: boolean;
  readonly idmap?: string;
};

/** Of two the caller meant one, and which is not for us to guess. */
function refuseTwo([first, second]: readonly string[]): void {
  if (second === undefined) return;
  throw new BadValue(
    first === second
      ? `the option "${first}" stands there twice`
      : `the options "${first}" and "${second}" exclude each other`,
  );
}

function parseVolumeOptions(text: string | undefined): VolumeOptions {
  const words = text === undefined ? [] : text.split(",");
  for (const word of words) {
    const isKnown =
      VOLUME_WORDS.some((each) => each.includes(word)) || isPropagation(word) || isIdmap(word);
    if (!isKnown) throw new BadValue(`there is no option "${word}"`);
  }
  const groups: readonly ((word: string) => boolean)[] = [
    ...VOLUME_WORDS.map((each) => (word: string) => each.includes(word)),
    isPropagation,
    isIdmap,
  ];
  for (const isOne of groups) refuseTwo(words.filter(isOne));
  const idmap = words.find(isIdmap);
  return {
    readonly: words.includes("ro") || words.includes("readonly"),
    propagation: words.find(isPropagation) ?? "rprivate",
    recursive: true,
    noCopy: words.includes("nocopy"),
    ...(words.includes("U") ? { chown: true } : {}),
    ...(words.includes("z") || words.includes("Z") ? { relabel: true } : {}),
    ...(idmap === undefined ? {} : { idmap }),
  };
}

function isIdmap(word: string): boolean {
  return word === "idmap" || word.startsWith("idmap=");
}

/** `type=bind,source=/a,target=/b,readonly`. */
function parseLongMount(text: string, directory: string): MountRequest {
  const fields = new Map<string, string>();
  for (const field of text.split(",")) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    fields.set(LONG_ALIASES.get(key) ?? key, at < 0 ? "true" : field.slice(at + 1));
  }
  const target = targetPath(fields.get("target") ?? "");
  const kind = fields.get("type") ?? "volume";
  if (kind === "tmpfs") return { kind, target, options: longTmpfsOptions(fields) };
  if (kind === "bind") return longBind(fields, target, directory);
  if (kind === "image") return longImage(fields, target);
  if (kind === "volume") return longVolume(fields, target);
  throw new BadValue(`there is no type "${kind}": bind, volume, tmpfs or image`);
}

function longVolume(fields: ReadonlyMap<string, string>, target: string): MountRequest {
  const known = ["type", "source", "target", "readonly", "volume-nocopy", "volume-subpath"];
  refuseUnknown(fields, [...known, "chown", "idmap"]);
  const source = fields.get("source");
  const noCopy = parseSwitch(fields.get("volume-nocopy") ?? "false");
  const subpath = fields.get("volume-subpath");
  return {
    kind: "volume",
    target,
    readonly: parseSwitch(fields.get("readonly") ?? "false"),
    ...(source === undefined ? {} : { name: volumeName(source) }),
    ...(noCopy ? { noCopy } : {}),
    ...(subpath === undefined ? {} : { subpath: relativePath(subpath) }),
    ...longExtras(fields),
  };
}

function longImage(fields: ReadonlyMap<string, string>, target: string): MountRequest {
  refuseUnknown(fields, [
    "type",
    "source",
    "target",
    "readonly",
    "image-subpath",
    "rw",
    "readwrite",
  ]);
  const writes = fields.get("rw") ?? fields.get("readwrite") ?? "false";
  if (parseSwitch(writes) || !parseSwitch(fields.get("readonly") ?? "true")) {
    throw new BadValue("an image is mounted read-only");
  }
  const reference = fields.get("source") ?? "";
  if (reference === "") throw new BadValue("an image mount wants source=IMAGE");
  const subpath = fields.get("image-subpath");
  return {
    kind: "image",
    reference,
    target,
    ...(subpath === undefined ? {} : { subpath: relativePath(subpath) }),
  };
}

/** `chown` and `idmap`, as podman has them; `idmap` alone takes the ids of the user namespace. */
function longExtras(fields: ReadonlyMap<string, string>): { chown?: boolean; idmap?: string } {
  const idmap = fields.get("idmap");
  return {
    ...(parseSwitch(fields.get("chown") ?? "false") ? { chown: true } : {}),
    ...(idmap === undefined ? {} : { idmap: idmap === "true" ? "idmap" : `idmap=${idmap}` }),
  };
}

/** A path in a volume or an image: tare-helper resolves it there, where links lead nowhere else. */
function relativePath(text: string): string {
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  if (text.startsWith("/") || parts.length === 0 || parts.includes("..")) {
    throw new BadValue(`the subpath "${text}" is not a relative path without ".."`);
  }
  return parts.join("/");
}

const LONG_ALIASES = new Map([
  ["src", "source"],
  ["dst", "target"],
  ["destination", "target"],
  ["ro", "readonly"],
]);

function longBind(
  fields: ReadonlyMap<string, string>,
  target: string,
  directory: string,
): MountRequest {
  const known = ["type", "source", "target", "readonly", "bind-propagation", "bind-recursive"];
  refuseUnknown(fields, [...known, "consistency", "chown", "idmap"]);
  const propagation = fields.get("bind-propagation") ?? "rprivate";
  if (!isPropagation(propagation)) throw new BadValue(`there is no propagation "${propagation}"`);
  const recursive = fields.get("bind-recursive") ?? "enabled";
  if (recursive !== "enabled" && recursive !== "disabled") {
    throw new BadValue("bind-recursive is enabled or disabled");
  }
  const source = fields.get("source") ?? "";
  if (source === "") throw new BadValue("a bind mount wants source=PATH");
  if (!isPath(source)) {
    throw new BadValue(`the source "${source}" is no path: want /${source} or ./${source}`);
  }
  return {
    kind: "bind",
    source: absolute(source, directory),
    target,
    readonly: parseSwitch(fields.get("readonly") ?? "false"),
    recursive: recursive === "enabled",
    propagation,
    createSource: false,
    ...longExtras(fields),
  };
}

function longTmpfsOptions(fields: ReadonlyMap<string, string>): string[] {
  refuseUnknown(fields, ["type", "target", "tmpfs-size", "tmpfs-mode", "readonly"]);
  const options = [...TMPFS_DEFAULTS];
  const size = fields.get("tmpfs-size");
  const mode = fields.get("tmpfs-mode");
  if (size !== undefined) options.push(`size=${parseSize(size)}`);
  if (mode !== undefined) options.push(`mode=${octal(mode)}`);
  if (parseSwitch(fields.get("readonly") ?? "false")) options.push("ro");
  return options;
}

/** `TARGET[:OPTIONS]`; the options are those of mount(8), given ones beat the defaults. */
function parseTmpfs(text: string): MountRequest {
  const at = text.indexOf(":");
  const target = targetPath(at < 0 ? text : text.slice(0, at));
  const given =
    at < 0
      ? []
      : text
          .slice(at + 1)
          .split(",")
          .map(tmpfsOption);
  const kept = TMPFS_DEFAULTS.filter((option) => !given.includes(option.slice(2)));
  return { kind: "tmpfs", target, options: [...kept, ...given] };
}

const TMPFS_WORDS = "ro rw exec noexec suid nosuid dev nodev atime noatime sync async".split(" ");

function tmpfsOption(word: string): string {
  if (TMPFS_WORDS.includes(word)) return word;
  const [key = "", value = ""] = word.split("=");
  if (key === "size") return `size=${value.endsWith("%") ? value : parseSize(value)}`;
  if (key === "mode") return `mode=${octal(value)}`;
  if (["uid", "gid", "nr_inodes"].includes(key) && isDigits(value)) return word;
  throw new BadValue(`there is no tmpfs option "${word}"`);
}

function octal(text: string): string {
  const fine = isDigits(text) && text.length <= 5 && [...text].every((c) => c < "8");
  if (fine) return text;
  throw new BadValue(`"${text}" is not an octal mode such as 1777`);
}

function refuseUnknown(fields: ReadonlyMap<string, string>, known: readonly string[]): void {
  for (const key of fields.keys()) {
    if (!known.includes(key)) throw new BadValue(`there is no field "${key}" for this type`);
  }
}

function targetPath(text: string): string {
  if (!text.startsWith("/")) throw new BadValue(`the target "${text}" is not an absolute path`);
  const parts = text.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0) throw new BadValue("the target cannot be /");
  if (parts.includes("..")) throw new BadValue('the target has a ".." in it');
  return `/${parts.join("/")}`;
}

function isPath(text: string): boolean {
  return text.startsWith("/") || text === "." || text.startsWith("./") || text.startsWith("../");
}

function absolute(path: string, directory: string): string {
  return path.startsWith("/") ? path : `${directory}/${path}`;
}

function volumeName(text: string): string {
  if (isVolumeName(text)) return text;
  throw new BadValue(
    `"${text}" is neither a path (/a, ./a) nor a volume name (letters, digits, "_", ".", "-")`,
  );
}

function isPropagation(word: string): word is Propagation {
  return (PROPAGATIONS as readonly string[]).includes(word);
}
