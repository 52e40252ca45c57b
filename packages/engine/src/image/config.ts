/** Which images this machine and this store can use, of all those that the formats allow. */
import { type Digest, digestAlgorithm } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { isConfigType, layerCompression } from "@tare/spec/media-type.ts";
import type { Manifest } from "@tare/spec/oci-image.ts";
import { type ImageConfig, parseImageConfig } from "@tare/spec/oci-image-config.ts";
import { fitsPlatform, formatPlatform, type Platform } from "@tare/spec/platform.ts";

/** More layers than any union file system mounts. */
const LAYERS_MAX = 500;

/** What images have to be for. */
export function machinePlatform(): Platform {
  return { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" };
}

/**
 * The configuration of an image that can run here, or on what was asked for.
 * @throws TareError `bad_input`; `unsupported` for another platform's.
 */
export function readUsableConfig(text: string, asked?: Platform): ImageConfig {
  const config = parseImageConfig(text);
  const wanted = asked ?? machinePlatform();
  if (!fitsPlatform(config, wanted)) {
    const [is, want] = [formatPlatform(config), formatPlatform(wanted)];
    const here = asked === undefined ? `this machine is ${want}` : `${want} was asked for`;
    throw new TareError("unsupported", `Cannot use the image: it is for ${is}, ${here}`);
  }
  if (config.diffIds.length > LAYERS_MAX) {
    throw new TareError(
      "unsupported",
      `Cannot use the image: it has more than ${LAYERS_MAX} layers`,
    );
  }
  config.diffIds.forEach(checkAlgorithm);
  return config;
}

/** Labels of a stored image; one whose configuration cannot be read has none: it must not stop the others. */
export function labelsOf(config: string): ReadonlyMap<string, string> {
  try {
    return parseImageConfig(config).defaults.labels;
  } catch {
    return new Map();
  }
}

/** @throws TareError `unsupported` for what is no container image, such as a signature. */
export function checkImageManifest(manifest: Manifest): void {
  const { mediaType } = manifest.config;
  if (!isConfigType(mediaType)) {
    throw new TareError(
      "unsupported",
      `Cannot use the image: it is an artifact of type ${mediaType}`,
    );
  }
  for (const layer of manifest.layers) {
    if (layerCompression(layer.mediaType) === undefined) {
      throw new TareError(
        "unsupported",
        `Cannot use the image: a layer has the type ${layer.mediaType}`,
      );
    }
  }
}

/** The store hashes with SHA-256; nothing else could be checked. */
export function checkAlgorithm(digest: Digest): void {
  if (digestAlgorithm(digest) === "sha256") return;
  throw new TareError("unsupported", `Cannot use digest "${digest}": only sha256 is supported`);
}
