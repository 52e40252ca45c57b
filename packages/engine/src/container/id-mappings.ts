/** `--userns` to id maps: user 0 inside is an unprivileged user outside. */
import { readFileSync } from "node:fs";
import { TareError } from "@tare/spec/error.ts";
import type { IdMapping } from "@tare/spec/oci-runtime.ts";
import type { UserNamespaceRequest } from "./request.ts";

export type IdMappings = {
  readonly uid: readonly IdMapping[];
  readonly gid: readonly IdMapping[];
};

const HOST_IDS: IdMappings = { uid: [], gid: [] };

/** Owners to look for in /etc/subuid, in this order. */
const OWNERS = ["tare", "root", "0"];

/** Ids that a distribution's image wants at least. */
const RANGE_SIZE_MIN = 65_536;

/**
 * The maps of a request.
 * @throws TareError `bad_input` where `auto` finds no range.
 */
export function idMappings(request: UserNamespaceRequest): IdMappings {
  switch (request.kind) {
    case "host":
      return HOST_IDS;
    case "range": {
      const map = { containerID: 0, hostID: request.first, size: request.size };
      return { uid: [map], gid: [map] };
    }
    case "auto":
      return {
        uid: [subordinateRange(readFile("/etc/subuid"), "/etc/subuid")],
        gid: [subordinateRange(readFile("/etc/subgid"), "/etc/subgid")],
      };
  }
}

/** The first range of an owner's in the text of subuid(5), `name:first:size` a line. */
export function subordinateRange(text: string, path: string): IdMapping {
  const lines = text.split("\n").map((line) => line.split(":"));
  for (const owner of OWNERS) {
    for (const [name, first, size] of lines) {
      if (name !== owner || Number(size) < RANGE_SIZE_MIN || !(Number(first) > 0)) continue;
      return { containerID: 0, hostID: Number(first), size: Number(size) };
    }
  }
  throw new TareError("bad_input", `Cannot use --userns auto: ${path} has no range for root`, {
    hint: `Add the line "root:100000:65536" to /etc/subuid and /etc/subgid, or give --userns 100000:65536`,
  });
}

function readFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
