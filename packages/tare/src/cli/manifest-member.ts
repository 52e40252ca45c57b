/** The flags that say what a member of a manifest list is, as docker and podman name them. */
import type { MemberChanges } from "@tare/engine/image/list-edit.ts";
import type { FlagValues } from "./flag.ts";
import { parsePair, parseSwitch, parseText } from "./values.ts";

/** Of `add` and `annotate`. */
export const MEMBER_FLAGS = {
  os: { name: "os", arg: "NAME", help: "Its operating system, as linux", parse: parseText },
  arch: { name: "arch", arg: "NAME", help: "Its architecture, as arm64", parse: parseText },
  variant: { name: "variant", arg: "NAME", help: "Its variant, as v8", parse: parseText },
  osVersion: {
    name: "os-version",
    arg: "VERSION",
    help: "The version of the system that it wants",
    parse: parseText,
  },
  osFeatures: {
    name: "os-features",
    arg: "NAME[,NAME...]",
    help: "Features of the system that it wants",
    repeat: true,
    parse: parseText,
  },
  annotation: {
    name: "annotation",
    arg: "KEY=VALUE",
    help: "An annotation; may come several times",
    repeat: true,
    parse: parsePair,
  },
} as const;

/** Of `create` and `add`. */
export const ALL_FLAG = {
  name: "all",
  help: "Of an index take all members, not only that for this machine",
  parse: parseSwitch,
} as const;

/** What the flags say. */
export function memberChanges(values: FlagValues<typeof MEMBER_FLAGS>): MemberChanges {
  const { os, arch, variant, osVersion, osFeatures, annotation } = values;
  const features = osFeatures.flatMap((text) => text.split(","));
  return {
    os,
    architecture: arch,
    variant,
    osVersion,
    osFeatures: features.length === 0 ? undefined : features,
    annotations: annotation,
  };
}
