/** Whether two directories hold the same: names, kinds, owners, modes, times, links and content. */
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from "node:fs";

const CHUNK_BYTES = 256 * 1024;

/** What differs first, as a path and a word; undefined where nothing does. */
export function treeDifference(left: string, right: string): string | undefined {
  const stack: Buffer[] = [Buffer.alloc(0)];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const [a, b] = [join(left, at), join(right, at)];
    const word = nodeDifference(a, b);
    if (word !== undefined) return `${word} of "/${at.toString()}"`;
    if (!lstatSync(a).isDirectory()) continue;
    const [names, others] = [sortedNames(a), sortedNames(b)];
    const odd = names.find((name, index) => others[index]?.equals(name) !== true);
    if (odd !== undefined || names.length !== others.length) return `names in "/${at.toString()}"`;
    for (const name of names) stack.push(at.length === 0 ? name : Buffer.concat([at, SLASH, name]));
  }
  return undefined;
}

const SLASH = Buffer.from("/");

function join(root: string, path: Buffer): Buffer {
  return path.length === 0 ? Buffer.from(root) : Buffer.concat([Buffer.from(root), SLASH, path]);
}

function sortedNames(path: Buffer): Buffer[] {
  return readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
}

function nodeDifference(left: Buffer, right: Buffer): string | undefined {
  const a = lstatSync(left, { bigint: true });
  const b = lstatSync(right, { bigint: true });
  const word = FIELDS.find((field) => a[field] !== b[field]);
  if (word !== undefined) return word === "uid" || word === "gid" ? "owner" : WORDS[word];
  // The time of a directory or a whiteout is that of unpacking where the archive says none.
  if (!a.isFile() && !a.isSymbolicLink()) return undefined;
  if (a.mtimeNs !== b.mtimeNs) return "time";
  if (a.isSymbolicLink()) return sameLink(left, right) ? undefined : "target";
  return a.size === b.size && sameContent(left, right, a) ? undefined : "content";
}

const FIELDS = ["mode", "uid", "gid", "rdev"] as const;
const WORDS = { mode: "mode", rdev: "device" } as const;

function sameLink(left: Buffer, right: Buffer): boolean {
  const read = (path: Buffer) => readlinkSync(path, { encoding: "buffer" });
  return read(left).equals(read(right));
}

function sameContent(left: Buffer, right: Buffer, { size }: BigIntStats): boolean {
  const files = [openSync(left, "r"), openSync(right, "r")] as const;
  try {
    const [a, b] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)];
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      const [m, n] = [
        readSync(files[0], a, 0, CHUNK_BYTES, at),
        readSync(files[1], b, 0, CHUNK_BYTES, at),
      ];
      if (m !== n || !a.subarray(0, m).equals(b.subarray(0, n))) return false;
    }
    return true;
  } finally {
    for (const fd of files) closeSync(fd);
  }
}
