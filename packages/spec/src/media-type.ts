/**
 * Media types of images. Source: image-spec 1.1, media-types.md; Docker's are those of
 * distribution's "Image Manifest V 2, Schema 2".
 */

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
/** The config of an artifact that has none: the two bytes `{}`. */
export const OCI_EMPTY = "application/vnd.oci.empty.v1+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";

/** How a layer's tar stream is packed. */
export type Compression = "none" | "gzip" | "zstd";

/** What a client says it takes, the richer forms first: the `Accept` header of a manifest request. */
export const MANIFEST_TYPES: readonly string[] = [
  OCI_INDEX,
  DOCKER_LIST,
  OCI_MANIFEST,
  DOCKER_MANIFEST,
];

const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";

const COMPRESSIONS: ReadonlyMap<string, Compression> = new Map<string, Compression>([
  [OCI_LAYER, "none"],
  [`${OCI_LAYER}+gzip`, "gzip"],
  [`${OCI_LAYER}+zstd`, "zstd"],
  [OCI_FOREIGN_LAYER, "none"],
  [`${OCI_FOREIGN_LAYER}+gzip`, "gzip"],
  [`${OCI_FOREIGN_LAYER}+zstd`, "zstd"],
  [DOCKER_LAYER, "none"],
  [`${DOCKER_LAYER}.gzip`, "gzip"],
  [`${DOCKER_LAYER}.zstd`, "zstd"],
  [`${DOCKER_FOREIGN_LAYER}.gzip`, "gzip"],
]);

/** Whether it names an image manifest, of either family. */
export function isManifestType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

/** Whether it names a list of manifests, of either family. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

/** Whether it names the configuration of a container image, of either family. */
export function isConfigType(mediaType: string): boolean {
  return mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;
}

/** How a layer is packed; undefined for what is no layer of a container image. */
export function layerCompression(mediaType: string): Compression | undefined {
  return COMPRESSIONS.get(mediaType);
}

/** Whether it names a layer that registries must not serve and descriptors give URLs for. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.startsWith(OCI_FOREIGN_LAYER) || mediaType.startsWith(DOCKER_FOREIGN_LAYER);
}

/** The specification's name of a layer that is packed so. */
export function layerType(compression: Compression): string {
  return compression === "none" ? OCI_LAYER : `${OCI_LAYER}+${compression}`;
}
