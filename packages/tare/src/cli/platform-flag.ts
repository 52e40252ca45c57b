/** `--platform`, of the commands that choose one image of several. */
import { type Platform, parsePlatform } from "@tare/spec/platform.ts";
import { BadValue } from "./flag.ts";

/** The flag of all commands that choose of an index. */
export const PLATFORM_FLAG = {
  name: "platform",
  arg: "OS/ARCH[/VARIANT]",
  help: "Platform to choose, as linux/arm64 (default this machine's)",
  parse: parsePlatformFlag,
} as const;

function parsePlatformFlag(text: string): Platform {
  try {
    return parsePlatform(text);
  } catch {
    throw new BadValue("want OS/ARCH or OS/ARCH/VARIANT, as linux/arm/v7");
  }
}
