/** Id mappings, which mounts and user namespaces share. Source: config-linux.md, "User namespace mappings". */
import { failAt, type Place, readInteger, readObjects, UINT32_MAX } from "./json-read.ts";
import type { IdMapping } from "./oci-runtime.ts";

/** user_namespaces(7): the kernel takes no more lines (Linux 4.15). */
const MAPPINGS_MAX = 340;

/** The mappings of a field; empty where it is absent. */
export function readIdMappings(place: Place, key: string): readonly IdMapping[] {
  const mappings = readObjects(place, key, readIdMapping);
  if (mappings.length > MAPPINGS_MAX) {
    failAt(place, key, `${mappings.length} entries, the kernel takes ${MAPPINGS_MAX}`);
  }
  return mappings;
}

function readIdMapping(place: Place): IdMapping {
  const containerID = readInteger(place, "containerID", 0, UINT32_MAX);
  const hostID = readInteger(place, "hostID", 0, UINT32_MAX);
  const size = readInteger(place, "size", 1, UINT32_MAX);
  if (Math.max(containerID, hostID) + size > UINT32_MAX + 1) {
    failAt(place, undefined, "the range ends above 4294967295");
  }
  return { containerID, hostID, size };
}
