/**
 * Options of the driver `local`, which are those of mount(8): `type`, `device`, `o`. Without them a
 * volume is a directory of the store. Pure. Source: Docker's documentation of `volume create`.
 */
import { TareError } from "@tare/spec/error.ts";

/** How a volume gets into a container. */
export type VolumeForm =
  /** Its own directory of the store, with at most so many bytes in it. */
  | { readonly kind: "directory"; readonly bytesMax: bigint | undefined }
  /** A directory of the host. */
  | { readonly kind: "bind"; readonly source: string; readonly options: readonly string[] }
  /** A file system, mounted for each container that uses the volume. */
  | {
      readonly kind: "filesystem";
      readonly type: string;
      readonly source: string;
      readonly options: readonly string[];
    };

export const DRIVER = "local";

const KEYS: readonly string[] = ["type", "device", "o", "size"];

/** @throws TareError `bad_input`, `unsupported` */
export function volumeForm(options: ReadonlyMap<string, string>): VolumeForm {
  for (const key of options.keys()) {
    if (!KEYS.includes(key)) {
      throw new TareError("bad_input", `Cannot use --opt "${key}": there is no such option`, {
        hint: "Options are those of mount(8): type=, device=, o=; and size=",
      });
    }
  }
  const [type = "", device = ""] = [options.get("type"), options.get("device")];
  const words = (options.get("o") ?? "").split(",").filter((word) => word !== "");
  const isBind = words.includes("bind") || words.includes("rbind");
  const size = options.get("size");
  const isOwn = !isBind && (type === "" || type === "none");
  if (size !== undefined && !isOwn) {
    throw notThis("size= limits a directory of the store", "A tmpfs takes o=size=");
  }
  if (isOwn) return directoryForm(device, size === undefined ? words : [...words, `size=${size}`]);
  if (isBind) return bindForm(device, words);
  if (type === "overlay") throw notThis('type "overlay" would name directories of the host');
  return { kind: "filesystem", type, source: device === "" ? type : device, options: words };
}

function bindForm(device: string, words: readonly string[]): VolumeForm {
  if (device.startsWith("/")) return { kind: "bind", source: device, options: words };
  throw new TareError("bad_input", `Cannot use o=bind: device "${device}" is no absolute path`);
}

/** docker writes `size=1g`, podman `o=size=1g`. */
function directoryForm(device: string, words: readonly string[]): VolumeForm {
  const [size, ...sizes] = words.filter((word) => word.startsWith(SIZE));
  if (sizes.length > 0) throw notThis("it has two sizes");
  const other = words.find((word) => !word.startsWith(SIZE));
  if (other !== undefined) throw notThis(`o=${other} wants a type`);
  if (device !== "") throw notThis("a device wants a type, or o=bind");
  const bytesMax = size === undefined ? undefined : parseSize(size.slice(SIZE.length));
  return { kind: "directory", bytesMax };
}

const SIZE = "size=";
const UNITS = "bkmgtp";
const LIMIT_MAX = 1n << 60n;

/** `512m`: digits and perhaps one of b, k, m, g, t, p, with "b" or "ib" behind it. */
function parseSize(text: string): bigint {
  const match = /^([0-9]{1,15})([bkmgtp]?)(?:i?b)?$/.exec(text.toLowerCase());
  const unit = BigInt(Math.max(0, UNITS.indexOf(match?.[2] || "b")) * 10);
  const bytes = BigInt(match?.[1] ?? 0) << unit;
  if (bytes > 0n && bytes <= LIMIT_MAX) return bytes;
  throw notThis(`"${text}" is no size`, "Want one such as 512m or 10g");
}

function notThis(why: string, hint?: string): TareError {
  const options = hint === undefined ? {} : { hint };
  return new TareError("bad_input", `Cannot use the options of the volume: ${why}`, options);
}
