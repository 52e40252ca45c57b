/**
 * Names of a container's unit: `linux.cgroupsPath` in systemd's form, "slice:prefix:name", to a scope
 * and the slice that it is in. Pure.
 * Sources: systemd.slice(5), systemd.unit(5), systemd-escape(1); the form is runc's.
 */

import { TareError } from "@tare/spec/error.ts";

export type ScopeName = {
  /** As in "tare-runtime-web.scope". */
  readonly unit: string;
  /** As in "machine-a.slice". */
  readonly slice: string;
  /** Cgroups from systemd's own root on, the scope last. */
  readonly components: readonly string[];
};

const FIELD = "linux.cgroupsPath";
const PREFIX = "tare-runtime";
/** UNIT_NAME_MAX of systemd, without the NUL. */
const UNIT_LENGTH_MAX = 255;
/** The root of all slices. */
const ROOT_SLICE = "-.slice";

/**
 * The unit for a container. Without a path, or with empty fields of one, it is
 * `tare-runtime-ID.scope` in `system.slice`; of a user's systemd, in `user.slice`.
 * @throws TareError `bad_input` for another form, or for what is no unit's name.
 */
export function nameScope(
  cgroupsPath: string | undefined,
  { id, isUser }: { readonly id: string; readonly isUser: boolean },
): ScopeName {
  const path = cgroupsPath ?? "";
  const fields = path === "" ? ["", PREFIX, escapeName(id)] : path.split(":");
  const [slice = "", prefix, name] = fields;
  if (prefix === undefined || name === undefined || fields.length !== 3) {
    throw bad(path, "with the systemd cgroup manager it is to be slice:prefix:name", {
      hint: "As in system.slice:web:1, or :web:1; or leave --systemd-cgroup out",
    });
  }
  if (name === "") throw bad(path, "the name is empty");
  if (name.endsWith(".slice")) throw bad(path, "a container is a scope, and this names a slice");
  const unit = prefix === "" ? `${name}.scope` : `${prefix}-${name}.scope`;
  checkName(path, unit);
  const parent = slice === "" ? (isUser ? "user.slice" : "system.slice") : slice;
  return { unit, slice: fullSlice(parent), components: [...expandSlice(path, parent), unit] };
}

/** "-" alone is short for the root of all slices. */
function fullSlice(slice: string): string {
  return slice === "-" ? ROOT_SLICE : slice;
}

/** `a-b.slice` lies in `a.slice`: both, the outer one first. */
function expandSlice(path: string, slice: string): readonly string[] {
  const full = fullSlice(slice);
  if (full === ROOT_SLICE) return [];
  if (!full.endsWith(".slice")) throw bad(path, `the slice "${full}" does not end in ".slice"`);
  checkName(path, full);
  const parts = full.slice(0, -".slice".length).split("-");
  if (parts.includes("")) throw bad(path, `the slice "${full}" has an empty part`);
  return parts.map((_part, index) => `${parts.slice(0, index + 1).join("-")}.slice`);
}

/** Whether a text can be the name of a unit; a "/" cannot be in it. */
export function isUnitName(name: string): boolean {
  return name.length <= UNIT_LENGTH_MAX && [...name].every(isUnitCharacter);
}

function isUnitCharacter(character: string): boolean {
  return isAlphanumeric(character) || ":-_.\\@".includes(character);
}

function isAlphanumeric(character: string): boolean {
  const isLetter = (character >= "a" && character <= "z") || (character >= "A" && character <= "Z");
  return isLetter || (character >= "0" && character <= "9");
}

function checkName(path: string, name: string): void {
  if (name.length > UNIT_LENGTH_MAX) {
    throw bad(path, `a unit's name has ${UNIT_LENGTH_MAX} characters at most`);
  }
  if (!isUnitName(name)) throw bad(path, `"${name}" cannot be the name of a unit`);
}

/** What a container's id may have and a unit's name may not is written as systemd-escape(1) does it. */
function escapeName(id: string): string {
  return id.replaceAll("+", "\\x2b");
}

function bad(path: string, why: string, options: { readonly hint?: string } = {}): TareError {
  const shown = path.replaceAll("\0", "\\0").replaceAll("\n", "\\n").slice(0, 512);
  return new TareError("bad_input", `Cannot use ${FIELD} "${shown}": ${why}`, options);
}
