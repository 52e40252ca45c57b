/**
 * `Config` as the text of a `config.json`: maps become objects, 64-bit values become digits, and
 * what is empty is left out, since some runtimes tell "empty" from "absent" where the specification does not.
 */
import type { Config } from "@tare/spec/oci-runtime.ts";

/** Fields that the specification wants even when they are empty. */
const KEPT: ReadonlySet<string> = new Set(["args", "mounts"]);

/** The JSON text. */
export function printConfig(config: Config): string {
  return JSON.stringify(toJson(config));
}

/** Ready for JSON.stringify; a replacer would be called for each of the hundreds of system calls' names. */
function toJson(value: unknown): unknown {
  if (typeof value === "bigint") return rawNumber(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return typeof value[0] === "string" ? value : value.map(toJson);
  const fields: Record<string, unknown> = Object.create(null);
  const entries = value instanceof Map ? value : Object.entries(value);
  for (const [key, field] of entries) {
    if (KEPT.has(key) || !isEmpty(field)) fields[key] = toJson(field);
  }
  return fields;
}

/** An object whose every field is left out prints as `{}`, which every runtime takes for absent. */
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (value instanceof Map) return value.size === 0;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** A JavaScript number would round what is above 2^53. */
function rawNumber(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value.toString());
}
