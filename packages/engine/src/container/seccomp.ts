/** Chooses the seccomp profile of a container. */
import type { Seccomp } from "@tare/spec/oci-runtime.ts";
import { chooseCapabilities } from "../bundle/capabilities.ts";
import type { HostFacts } from "../host/facts.ts";
import type { ContainerRequest } from "./request.ts";

/** Undefined: no filter. Rules of a profile that ask for a capability see the container's. */
export async function chooseSeccomp(
  request: ContainerRequest,
  host: HostFacts,
): Promise<Seccomp | undefined> {
  if (request.seccomp.kind === "unconfined") return undefined;
  const capabilities = chooseCapabilities({
    add: request.capAdd,
    drop: request.capDrop,
    privileged: request.privileged,
    available: host.capabilities,
  });
  const facts = { architecture: host.architecture, capabilities, kernel: host.kernel };
  if (request.seccomp.kind === "default") {
    const { defaultProfile } = await import("../seccomp/default-profile.ts");
    return defaultProfile(facts);
  }
  const { parseDockerProfile } = await import("../seccomp/docker-profile.ts");
  return parseDockerProfile(request.seccomp.text, facts);
}
