/**
 * The configuration of an image: what its layers are and how a container of it runs by default. A
 * stranger's document: defaults are data, nothing in it may choose policy.
 * Source: image-spec 1.1, config.md; Docker's own fields are those of its image specification 1.2.
 * Texts are at most 4 MiB (JSON_LENGTH_MAX).
 */
import { type Digest, isDigest } from "./digest.ts";
import { TareError } from "./error.ts";
import { quoteJson } from "./json.ts";
import {
  failAt,
  fieldTable,
  type Place,
  readBoolean,
  readFields,
  readJson,
  readObject,
  readObjects,
  readOptionalInt64,
  readOptionalInteger,
  readOptionalObject,
  readOptionalString,
  readString,
  readStringMap,
  readStrings,
} from "./json-read.ts";

export type ImageConfig = {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  /** RFC 3339; as it was found. */
  readonly created?: string;
  readonly author?: string;
  readonly defaults: ImageDefaults;
  /** Digests of the layers' uncompressed tar streams, the lowest first. */
  readonly diffIds: readonly Digest[];
  readonly history: readonly History[];
};

/** What a container does unless its creator says otherwise. */
export type ImageDefaults = {
  /** `user`, `uid`, each with an optional `:group`; resolveUser of user.ts reads it. */
  readonly user?: string;
  /** Each `NAME=value`; entries of another form are left out. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir?: string;
  /** As in `80/tcp`. */
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
  readonly stopSignal?: string;
  readonly healthcheck?: Healthcheck;
  readonly onBuild: readonly string[];
  readonly shell: readonly string[];
};

/** Times in nanoseconds; what is absent is the engine's choice. */
export type Healthcheck = {
  /** `["NONE"]`, `["CMD", ...]` or `["CMD-SHELL", line]`; empty inherits. */
  readonly test: readonly string[];
  readonly intervalNs?: bigint;
  readonly timeoutNs?: bigint;
  readonly startPeriodNs?: bigint;
  readonly startIntervalNs?: bigint;
  readonly retries?: number;
};

export type History = {
  readonly created?: string;
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  /** The step made no layer. */
  readonly emptyLayer: boolean;
};

const CONFIG_FIELDS = fieldTable<Pick<ImageConfig, "variant" | "created" | "author">>({
  variant: readOptionalString,
  created: readOptionalString,
  author: readOptionalString,
});

const HISTORY_FIELDS = fieldTable<Pick<History, "created" | "author" | "comment">>({
  created: readOptionalString,
  author: readOptionalString,
  comment: readOptionalString,
});

/** The configuration of an image. Throws `bad_input`. */
export function parseImageConfig(text: string): ImageConfig {
  return readJson(text, "the image configuration", (place) => ({
    architecture: readString(place, "architecture"),
    os: readString(place, "os"),
    defaults: readDefaults(readOptionalObject(place, "config")),
    diffIds: readDiffIds(readObject(place, "rootfs")),
    history: readObjects(place, "history", readHistory),
    ...readFields(place, CONFIG_FIELDS),
  }));
}

/** Throws `corrupt` unless the manifest has as many layers as the configuration has hashes for. */
export function checkLayerCount(layers: number, config: ImageConfig): void {
  if (layers === config.diffIds.length) return;
  throw new TareError(
    "corrupt",
    `Cannot use the image: its manifest has ${layers} layers, its configuration ${config.diffIds.length}`,
  );
}

function readDiffIds(place: Place): readonly Digest[] {
  const type = readString(place, "type");
  if (type !== "layers") failAt(place, "type", `want "layers", got ${quoteJson(type)}`);
  const texts = readStrings(place, "diff_ids");
  return texts.map((text, index) =>
    isDigest(text) ? text : failAt(place, "diff_ids", `${quoteJson(text)} is no digest`, index),
  );
}

function readDefaults(config: Place | undefined): ImageDefaults {
  const place = config ?? { fields: {}, key: "config", index: -1, parent: undefined };
  const user = readOptionalString(place, "User");
  const workingDir = readOptionalString(place, "WorkingDir");
  const stopSignal = readOptionalString(place, "StopSignal");
  const healthcheck = readHealthcheck(place);
  return {
    env: readEnv(place),
    entrypoint: readWords(place, "Entrypoint"),
    cmd: readWords(place, "Cmd"),
    exposedPorts: readKeys(place, "ExposedPorts"),
    volumes: readKeys(place, "Volumes"),
    labels: readStringMap(place, "Labels"),
    onBuild: readStrings(place, "OnBuild"),
    shell: readWords(place, "Shell"),
    ...(user === undefined ? undefined : { user }),
    ...(workingDir === undefined ? undefined : { workingDir }),
    ...(stopSignal === undefined ? undefined : { stopSignal }),
    ...(healthcheck === undefined ? undefined : { healthcheck }),
  };
}

/**
 * A name alone is dropped, as Docker does: there are such images, and somewhere further down it would
 * copy the variable of whoever starts the container (CVE-2026-57231).
 */
function readEnv(place: Place): readonly string[] {
  return readStrings(place, "Env").filter((entry) => entry.indexOf("=") > 0);
}

/** An array of strings, or one string: images of Docker's first years have those. */
function readWords(place: Place, key: string): readonly string[] {
  const value = place.fields[key];
  if (typeof value === "string") return value === "" ? [] : [value];
  return readStrings(place, key);
}

/** The keys of an object whose values say nothing: Go's way to write a set. */
function readKeys(place: Place, key: string): readonly string[] {
  const set = readOptionalObject(place, key);
  return set === undefined ? [] : Object.keys(set.fields);
}

function readHealthcheck(place: Place): Healthcheck | undefined {
  const inner = readOptionalObject(place, "Healthcheck");
  if (inner === undefined) return undefined;
  const intervalNs = readDuration(inner, "Interval");
  const timeoutNs = readDuration(inner, "Timeout");
  const startPeriodNs = readDuration(inner, "StartPeriod");
  const startIntervalNs = readDuration(inner, "StartInterval");
  const retries = readOptionalInteger(inner, "Retries", 0, 0x7fffffff);
  return {
    test: readStrings(inner, "Test"),
    ...(intervalNs === undefined ? undefined : { intervalNs }),
    ...(timeoutNs === undefined ? undefined : { timeoutNs }),
    ...(startPeriodNs === undefined ? undefined : { startPeriodNs }),
    ...(startIntervalNs === undefined ? undefined : { startIntervalNs }),
    ...(retries === undefined || retries === 0 ? undefined : { retries }),
  };
}

/** Nanoseconds; 0 is absent, as in Docker. */
function readDuration(place: Place, key: string): bigint | undefined {
  const duration = readOptionalInt64(place, key);
  if (duration === undefined || duration === 0n) return undefined;
  if (duration < 0n) failAt(place, key, `want no negative time, got ${duration}`);
  return duration;
}

function readHistory(place: Place): History {
  const createdBy = readOptionalString(place, "created_by");
  const step = {
    emptyLayer: readBoolean(place, "empty_layer"),
    ...readFields(place, HISTORY_FIELDS),
  };
  return createdBy === undefined ? step : { ...step, createdBy };
}
