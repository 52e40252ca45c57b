/**
 * `config.json` from text to `Config`: strict on types, errors name the JSON path, unknown fields
 * are ignored, `null` and the empty string count as absent (as the Go tools write them), and what
 * the specification forbids without a look at the host is refused. Checks that need the host, or
 * that weigh one part of the configuration against another, belong to the runtime.
 * Source: runtime-spec 1.3, config.md; its areas are in the files beside this one.
 */
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";
import {
  failAt,
  fieldTable,
  hasField,
  type Place,
  readAbsolutePath,
  readBoolean,
  readFields,
  readJson,
  readJsonArray,
  readObject,
  readObjects,
  readOptionalInteger,
  readOptionalObject,
  readOptionalString,
  readString,
  readStringMap,
  readStrings,
} from "./json-read.ts";
import type { Config, Hook, Hooks, Mount, Resources, Root } from "./oci-runtime.ts";
import { readLinux } from "./oci-runtime-parse-linux.ts";
import { readIdMappings } from "./oci-runtime-parse-mapping.ts";
import { readOptionalProcess } from "./oci-runtime-parse-process.ts";
import { readResources } from "./oci-runtime-parse-resources.ts";

type ConfigFields = Pick<Config, "process" | "hostname" | "domainname">;
type MountFields = Pick<Mount, "type" | "source">;

const CONFIG_FIELDS = fieldTable<ConfigFields>({
  process: readOptionalProcess,
  hostname: readOptionalString,
  domainname: readOptionalString,
});

const MOUNT_FIELDS = fieldTable<MountFields>({
  type: readOptionalString,
  source: readOptionalString,
});

const VERSION_LENGTH_MAX = 64;

/** The configuration of a bundle; `text` is what its `config.json` holds. Throws `bad_input`. */
export function parseConfig(text: string): Config {
  return readJson(text, "config.json", readConfig);
}

/** The resources of an `update --resources` file, the shape of `linux.resources`. */
export function parseResources(text: string, what = "resources.json"): Resources {
  return readJson(text, what, readResources);
}

/** An array of mounts alone, as `mounts add` reads it; `what` names it in errors. */
export function parseMounts(text: string, what: string): readonly Mount[] {
  return readJsonArray(text, what, readMount);
}

function readConfig(place: Place): Config {
  const ociVersion = readVersion(place);
  return {
    ociVersion,
    root: readRoot(readObject(place, "root")),
    mounts: readObjects(place, "mounts", readMount),
    hooks: readHooks(readOptionalObject(place, "hooks")),
    annotations: readAnnotations(place),
    linux: readLinux(readOptionalObject(place, "linux")),
    ...readFields(place, CONFIG_FIELDS),
  };
}

/** 1.x, with whatever follows: within a major version a newer document only has fields to ignore. */
function readVersion(place: Place): string {
  const version = readString(place, "ociVersion");
  const isOne = version.length <= VERSION_LENGTH_MAX && isVersionOne(version);
  if (isOne) return version;
  throw new TareError(
    "bad_input",
    `Cannot read ${place.key}: ociVersion: want 1.x, got ${quoteJson(version)}`,
  );
}

/** The length is bounded, so the expression is too. The patch number is optional, as in crun. */
function isVersionOne(version: string): boolean {
  return /^1\.\d+(?:\.\d+)?(?:[-+][\dA-Za-z.+-]+)?$/.test(version);
}

function readRoot(place: Place): Root {
  return { path: readString(place, "path"), readonly: readBoolean(place, "readonly") };
}

function readMount(place: Place): Mount {
  const uidMappings = readIdMappings(place, "uidMappings");
  const gidMappings = readIdMappings(place, "gidMappings");
  if ((uidMappings.length === 0) !== (gidMappings.length === 0)) {
    failAt(place, undefined, "uidMappings and gidMappings go together");
  }
  return {
    destination: readString(place, "destination"),
    options: readStrings(place, "options"),
    uidMappings,
    gidMappings,
    ...readFields(place, MOUNT_FIELDS),
  };
}

function readHooks(place: Place | undefined): Hooks {
  const read = (name: keyof Hooks) =>
    place === undefined ? [] : readObjects(place, name, readHook);
  return {
    prestart: read("prestart"),
    createRuntime: read("createRuntime"),
    createContainer: read("createContainer"),
    startContainer: read("startContainer"),
    poststart: read("poststart"),
    poststop: read("poststop"),
  };
}

function readHook(place: Place): Hook {
  const timeout = readOptionalInteger(place, "timeout", 1, 0x7fffffff);
  return {
    path: readAbsolutePath(place, "path"),
    args: readStrings(place, "args"),
    ...(hasField(place, "env") ? { env: readStrings(place, "env") } : {}),
    ...(timeout === undefined ? {} : { timeout }),
  };
}

function readAnnotations(place: Place): ReadonlyMap<string, string> {
  const annotations = readStringMap(place, "annotations");
  if (annotations.has("")) failAt(place, "annotations", "a key must not be empty");
  return annotations;
}
