/**
 * An archive's image in the form of skopeo's `dir:`, from where it goes to a registry byte for byte: out
 * of an archive skopeo would decompress the layers and compress them anew.
 */
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cached, mustSucceed } from "../../tests/harness/fixtures.ts";
import { run } from "../../tests/harness/run.ts";
import type { ImageArchive } from "./image-archives.ts";

const TYPE = "application/vnd.docker";
const HASH_TIMEOUT_MS = 600_000;

/** Answers the directory; the layers in it are links. */
export function asDirectory(archive: ImageArchive): Promise<string> {
  const recipe = [dirname(archive.path), readFileSync(import.meta.path)];
  return cached("bench-directory", recipe, async (dir) => {
    const config = join(dirname(archive.path), "0.json");
    const manifest = {
      schemaVersion: 2,
      mediaType: `${TYPE}.distribution.manifest.v2+json`,
      config: await place(config, `${TYPE}.container.image.v1+json`, dir),
      layers: await Promise.all(
        archive.layers.map((path) => place(path, `${TYPE}.image.rootfs.diff.tar.gzip`, dir)),
      ),
    };
    writeFileSync(join(dir, "manifest.json"), JSON.stringify(manifest));
    writeFileSync(join(dir, "version"), "Directory Transport Version: 1.1\n");
  });
}

/** Puts a file under its digest; answers its descriptor. */
async function place(path: string, mediaType: string, dir: string): Promise<object> {
  const said = mustSucceed(await run(["sha256sum", path], { timeoutMs: HASH_TIMEOUT_MS }));
  const hex = said.stdout.slice(0, 64);
  symlinkSync(path, join(dir, hex));
  return { mediaType, size: statSync(path).size, digest: `sha256:${hex}` };
}
