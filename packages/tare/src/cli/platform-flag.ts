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

/** As docker has it: an architecture alone must be one, and "linux" alone is this machine's. */
const ARCHITECTURES =
  "386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x".split(" ");

/** Undefined for what is the default. */
function parsePlatformFlag(text: string): Platform | undefined {
  if (text === "linux") return undefined;
  const platform = tryPlatform(text);
  if (text.includes("/") || ARCHITECTURES.includes(platform.architecture)) return platform;
  throw new BadValue("there is no such architecture; want OS/ARCH or OS/ARCH/VARIANT");
}

function tryPlatform(text: string): Platform {
  try {
    return parsePlatform(text);
  } catch {
    throw new BadValue("want OS/ARCH or OS/ARCH/VARIANT, as linux/arm/v7");
  }
}
