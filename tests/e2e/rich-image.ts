/** An image with everything in it that a layer can hold, made and listed for round trips. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { mustSucceed } from "../harness/fixtures.ts";
import { run } from "../harness/run.ts";
import type { Cli } from "./cli-scene.ts";

/** The name of the image. */
export const RICH = "example.test/rich:1";

const TREE = `
  mkdir -p etc empty sticky deep/$(printf 'd%.0s' $(seq 200))/x
  chmod 1777 sticky; chmod 711 empty
  echo root:x:0: > etc/group; echo root:x:0:0::/: > etc/passwd
  echo far > deep/$(printf 'd%.0s' $(seq 200))/x/$(printf 'n%.0s' $(seq 200))
  echo s > suid; chown 12:34 suid; chmod 6755 suid; ln suid hard; ln -s ../../suid link
  ln -s $(printf 't/%.0s' $(seq 100)) long-link
  mknod null c 1 3; mknod disk b 8 1; mkfifo pipe
  echo big > ids; chown 3000000:4000000 ids
  setfattr -n user.note -v "two words" suid
  setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 ids
  printf x > "$(printf 'bytes-\\377\\376')"; echo u > über
  head -c 200000 /dev/urandom > random; truncate -s 2M holes
  touch -d '2001-02-03 04:05:06.123456789' etc/passwd; touch -d '1969-12-31 23:59:58' old
  touch -h -d '2010-01-01 00:00:00.5' link; touch -d '2002-02-02 02:02:02' empty`;

/** Imports the tree, and commits what a container changes in it. */
export async function makeRichImage(cli: Cli): Promise<void> {
  const tree = join(cli.scene.dir, "rich");
  const tar = join(cli.scene.dir, "rich.tar");
  mustSucceed(await run(["mkdir", tree]));
  mustSucceed(await run(["sh", "-ec", TREE], { cwd: tree }));
  mustSucceed(await run(["sh", "-ec", "mkdir bin && cp /bin/busybox bin/sh"], { cwd: tree }));
  const pack = ["tar", "--format=pax", "--xattrs", "--xattrs-include=*", "-C", tree, "-cf", tar];
  mustSucceed(await run([...pack, "."]));
  mustSucceed(await run([...pack, "."]));
  mustSucceed(await cli.tare(["import", "-c", 'CMD ["sh"]', tar, "example.test/base:1"]));
  const line =
    "rm -r empty etc/group; mkdir empty; echo new > empty/new; chmod 700 sticky; ln hard hard2";
  const flags = ["--name", "rich", "--cgroup-parent", cli.cgroupParent, "-w", "/"];
  mustSucceed(await cli.tare(["run", ...flags, "example.test/base:1", "sh", "-ec", busybox(line)]));
  mustSucceed(await cli.tare(["commit", "-m", "changed", "rich", RICH]));
  mustSucceed(await cli.tare(["rm", "rich"]));
}

/** The applets by the shell's own name: there is one program in the image. */
function busybox(line: string): string {
  return line.replaceAll(/\b(rm|mkdir|chmod|ln) /g, "busybox $1 ");
}

/** The id that a store has for the image. */
export async function imageId(cli: Cli, name = RICH): Promise<string> {
  const row = mustSucceed(await cli.tare(["images", "-q", "--no-trunc", name]));
  return row.stdout.trim();
}

/** All that the file system says of every file in every unpacked layer of the store. */
export async function listLayers(cli: Cli): Promise<string> {
  const layers = join(cli.dataRoot, "layers");
  const listed = readdirSync(layers).sort();
  const script = `for layer in "$@"; do cd "${layers}/$layer"; echo "$layer"
    find . -printf '%p %y %m %U %G %n %l ' \\( -type d -printf '%T@\\n' -o -printf '%s %T@\\n' \\) | LC_ALL=C sort
    find . -type f -exec sha256sum {} + | LC_ALL=C sort; getfattr -R -h -d -m - -e hex . | LC_ALL=C sort; done`;
  const { stdout } = mustSucceed(await run(["sh", "-ec", script, "sh", ...listed]));
  // No archive tells the time of a deletion, and this one's layers do not name their roots.
  const lines = stdout.split("\n").filter((line) => !line.startsWith(". d "));
  return lines.map((line) => line.replace(/ c 0 0 0 1 .*/, " deleted")).join("\n");
}
