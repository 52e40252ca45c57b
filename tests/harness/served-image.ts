/** Images made in memory, and the answers of a registry that has them: for registries that lie. */
import { createHash } from "node:crypto";
import type { Handler, Reply } from "../../packages/engine/src/registry/made-server.ts";
import { type Entry, tarball } from "./tarball.ts";

const TYPES = "application/vnd.oci.image.";
export const MANIFEST = `${TYPES}manifest.v1+json`;
export const INDEX = `${TYPES}index.v1+json`;

export type Descriptor = { mediaType: string; digest: string; size: number; platform?: object };

/** Documents and blobs by digest, and tags. */
export class Served {
  readonly content = new Map<string, { readonly bytes: Buffer; readonly mediaType: string }>();
  readonly tags = new Map<string, string>();

  add(content: string | Buffer, mediaType: string): Descriptor {
    const bytes = Buffer.from(content);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    this.content.set(digest, { bytes, mediaType });
    return { mediaType, digest, size: bytes.length };
  }

  /** An image of layers with these entries; `spoil` changes its manifest. */
  image(
    layers: readonly (readonly Entry[])[],
    options: { platform?: object; diffIds?: string[]; spoil?: (manifest: Manifest) => object } = {},
  ): Descriptor {
    const { platform = { os: "linux", architecture: "amd64" }, spoil = (manifest) => manifest } =
      options;
    const parts = layers.map((entries) => this.add(tarball(entries), `${TYPES}layer.v1.tar`));
    const diff_ids = options.diffIds ?? parts.map(({ digest }) => digest);
    const config = { ...platform, config: {}, rootfs: { type: "layers", diff_ids } };
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: this.add(JSON.stringify(config), `${TYPES}config.v1+json`),
      layers: parts,
    };
    return { ...this.add(JSON.stringify(spoil(manifest)), MANIFEST), platform };
  }

  index(manifests: readonly object[]): Descriptor {
    return this.add(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }), INDEX);
  }

  tag(name: string, { digest }: Descriptor): void {
    this.tags.set(name, digest);
  }

  /** Answers as a registry does, but where `odd` does. */
  handler(odd: (path: string) => Reply | undefined = () => undefined): Handler {
    return ({ path }) => {
      const reply = odd(path);
      if (reply !== undefined) return reply;
      const name = path.slice(path.lastIndexOf("/") + 1);
      if (path.endsWith("/tags/list"))
        return { body: JSON.stringify({ tags: [...this.tags.keys()] }) };
      // As a registry of before version 1.1 of the specification.
      if (path.includes("/referrers/")) return { status: 404 };
      const found = this.content.get(this.tags.get(name) ?? name);
      if (found === undefined) return { status: path === "/v2/" ? 200 : 404 };
      return { body: found.bytes, headers: { "Content-Type": found.mediaType } };
    };
  }
}

export type Manifest = {
  schemaVersion: number;
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
};
