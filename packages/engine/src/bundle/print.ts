/**
 * `Config` as the text of a `config.json`: maps become objects, 64-bit values become digits, and
 * what is empty is left out, since some runtimes tell "empty" from "absent" where the specification does not.
 */
import type { Config } from "@tare/spec/oci-runtime.ts";

/** Fields that the specification wants even when they are empty, or that mean something then. */
const KEPT: ReadonlySet<string> = new Set(["args", "mounts"]);

/** The JSON text. */
export function printConfig(config: Config): string {
  return JSON.stringify(config, (key, value: unknown) => {
    if (typeof value === "bigint") return rawNumber(value);
    const plain = value instanceof Map ? Object.fromEntries(value) : value;
    return !KEPT.has(key) && key !== "" && isEmpty(plain) ? undefined : plain;
  });
}

/** An object whose every field is left out prints as `{}`, which every runtime takes for absent. */
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

/** A JavaScript number would round what is above 2^53. */
function rawNumber(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value.toString());
}
