/**
 * Profiles in Docker's format, as `--security-opt seccomp=FILE` takes them: config.json's object
 * with `archMap`, and with `includes` and `excludes` in each rule.
 */
import {
  failAt,
  hasField,
  type Place,
  readJson,
  readObjects,
  readOptionalObject,
  readOptionalString,
  readString,
  readStrings,
} from "@tare/spec/json-read.ts";
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { readSeccomp } from "@tare/spec/oci-runtime-parse-seccomp.ts";
import { type Condition, findMachine, isWanted, type ProfileFacts } from "./facts.ts";

const WHAT = "the seccomp profile";
const KEY = "profile";

/**
 * The profile that a container gets of this text; undefined where it says nothing at all.
 * `bad_input` with the place of the fault for what is not such a profile.
 */
export function parseDockerProfile(text: string, facts: ProfileFacts): Seccomp | undefined {
  return readJson(text, WHAT, (place) => readProfile(place, facts));
}

function readProfile(place: Place, facts: ProfileFacts): Seccomp | undefined {
  const rules = readObjects(place, "syscalls", (rule) => readRule(rule, facts));
  const architectures = readArchitectures(place, facts);
  const fields = { ...place.fields, syscalls: rules.map((rule) => rule.fields), architectures };
  const seccomp = readSeccomp({ ...place, fields: { [KEY]: fields } }, KEY);
  if (seccomp === undefined) return undefined;
  return { ...seccomp, syscalls: seccomp.syscalls.filter((_, index) => rules[index]?.wanted) };
}

type RuleFields = { readonly fields: Readonly<Record<string, unknown>>; readonly wanted: boolean };

/** The rule with `names` also where it has the `name` of older profiles. */
function readRule(place: Place, facts: ProfileFacts): RuleFields {
  const includes = readCondition(place, "includes");
  const excludes = readCondition(place, "excludes");
  const wanted = isWanted(includes, excludes, facts);
  const name = readOptionalString(place, "name");
  if (name === undefined) return { fields: place.fields, wanted };
  if (readStrings(place, "names").length > 0) failAt(place, "name", 'there is "names" too');
  return { fields: { ...place.fields, names: [name] }, wanted };
}

function readCondition(place: Place, key: string): Condition | undefined {
  const inner = readOptionalObject(place, key);
  if (inner === undefined) return undefined;
  const kernelMin = readOptionalString(inner, "minKernel");
  if (kernelMin !== undefined && !isVersion(kernelMin)) {
    failAt(inner, "minKernel", `want two numbers and a dot, got "${kernelMin}"`);
  }
  return {
    capabilities: readStrings(inner, "caps"),
    machines: readStrings(inner, "arches"),
    ...(kernelMin === undefined ? {} : { kernelMin }),
  };
}

function isVersion(text: string): boolean {
  return /^\d{1,3}\.\d{1,3}$/.test(text);
}

/** The entry of `archMap` for this machine; without one the runtime takes the kernel's own. */
function readArchitectures(place: Place, facts: ProfileFacts): readonly string[] {
  const listed = readStrings(place, "architectures");
  if (!hasField(place, "archMap")) return listed;
  if (listed.length > 0) failAt(place, "archMap", 'there is "architectures" too');
  const [native] = findMachine(facts.architecture).architectures;
  const entries = readObjects(place, "archMap", (entry) => [
    readString(entry, "architecture"),
    ...readStrings(entry, "subArchitectures"),
  ]);
  return entries.find(([architecture]) => architecture === native) ?? [];
}
