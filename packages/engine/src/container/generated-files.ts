/** The three files of /etc that the engine writes for each container, as Docker does. */
import { existsSync, readFileSync } from "node:fs";
import type { ContainerRequest } from "./request.ts";

const HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
`;

/** Text of each file by its name in /etc. */
export function generatedFiles(
  request: ContainerRequest,
  hostname: string,
): ReadonlyMap<string, string> {
  const hosts = request.network === "host" ? readHost("/etc/hosts") : HOSTS;
  return new Map([
    ["hosts", hosts],
    ["hostname", `${hostname}\n`],
    ["resolv.conf", readHost("/etc/resolv.conf")],
  ]);
}

/** A directory of the caller's gets no new names: only what it has is covered. */
export function generatedTargets(request: ContainerRequest, names: readonly string[]): string[] {
  const { root } = request;
  if (root.kind !== "directory") return [...names];
  return names.filter((name) => existsSync(`${root.path}/etc/${name}`));
}

function readHost(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
