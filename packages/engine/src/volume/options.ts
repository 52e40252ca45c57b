/**
 * Options of the driver `local`, which are those of mount(8): `type`, `device`, `o`. Without them a
 * volume is a directory of the store. Pure. Source: Docker's documentation of `volume create`.
 */
import { TareError } from "@tare/spec/error.ts";

/** How a volume gets into a container. */
export type VolumeForm =
  /** Its own directory of the store. */
  | { readonly kind: "directory" }
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

const KEYS: readonly string[] = ["type", "device", "o"];

/** @throws TareError `bad_input`, `unsupported` */
export function volumeForm(options: ReadonlyMap<string, string>): VolumeForm {
  for (const key of options.keys()) {
    if (!KEYS.includes(key)) {
      throw new TareError("bad_input", `Cannot use --opt "${key}": there is no such option`, {
        hint: "Options are those of mount(8): type=, device=, o=",
      });
    }
  }
  const [type = "", device = ""] = [options.get("type"), options.get("device")];
  const words = (options.get("o") ?? "").split(",").filter((word) => word !== "");
  const isBind = words.includes("bind") || words.includes("rbind");
  if (isBind) return bindForm(device, words);
  if (type === "" || type === "none") return directoryForm(device, words);
  if (type === "overlay") throw notThis('type "overlay" would name directories of the host');
  return { kind: "filesystem", type, source: device === "" ? type : device, options: words };
}

function bindForm(device: string, words: readonly string[]): VolumeForm {
  if (device.startsWith("/")) return { kind: "bind", source: device, options: words };
  throw new TareError("bad_input", `Cannot use o=bind: device "${device}" is no absolute path`);
}

function directoryForm(device: string, words: readonly string[]): VolumeForm {
  const size = words.find((word) => word.startsWith("size="));
  if (size !== undefined) {
    throw new TareError("unsupported", `Cannot limit a volume to "${size.slice(5)}"`, {
      hint: "Project quotas are not used; type=tmpfs takes o=size=, and a file system of its own has its own size",
    });
  }
  const [word] = words;
  if (word !== undefined) throw notThis(`o=${word} wants a type`);
  if (device !== "") throw notThis("a device wants a type, or o=bind");
  return { kind: "directory" };
}

function notThis(why: string): TareError {
  return new TareError("bad_input", `Cannot use the options of the volume: ${why}`);
}
