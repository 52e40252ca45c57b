/**
 * Project quotas: a directory and all that is made in it belong to a project, whose blocks the file system
 * limits. ext4 and XFS have them, where they are mounted so.
 * Sources: quotactl(2), ioctl_xfs_fsgetxattr(2); linux/fs.h, linux/quota.h, linux/dqblk_xfs.h.
 */
import { TareError } from "@tare/spec/error.ts";
import { ENOENT } from "../sys/abi-errno.ts";
import { AT_EMPTY_PATH, AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../sys/abi-file.ts";
import { check, errnoOf } from "../sys/check.ts";
import { openAt } from "../sys/file.ts";
import { OwnedFd } from "../sys/owned-fd.ts";
import { statAt } from "../sys/stat.ts";
import type { Fd, Sys } from "../sys/types.ts";

/** struct fsxattr, and its fields that we look at. */
const FSXATTR_BYTES = 28;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const XFLAGS_AT = 0;
const PROJID_AT = 12;
const FS_XFLAG_PROJINHERIT = 0x200;

/** Commands for the quotas of projects. */
const GET_LIMIT = 0x80000702;
const SET_LIMIT = 0x80000802;
const GET_STATE = 0x580502;

/** struct if_dqblk. */
const LIMIT_BYTES = 72;
const HARD_AT = 0;
const SOFT_AT = 8;
const INODES_AT = 40;
const VALID_AT = 64;
const QIF_BLIMITS = 1;
const BLOCK_BYTES = 1024n;

/** struct fs_quota_stat. */
const STATE_BYTES = 80;
const FLAGS_AT = 2;
const FS_QUOTA_PDQ_ENFD = 0x20;

/** Ours begin here: administrators number theirs from the other end. */
const PROJECT_BASE = 0x4000_0000;
const PROJECT_MASK = 0x3fff_ffff;
const TRIES_MAX = 1000;

/**
 * Limits what may lie in an empty directory to so many bytes, rounded up to a KiB.
 * @throws TareError `unsupported`, which says what the file system lacks
 */
export function limitDirectory(sys: Sys, path: string, bytes: bigint): void {
  using directory = open(sys, path);
  const attributes = readAttributes(sys, directory.fd, path);
  checkEnforced(sys, directory.fd, path);
  const project = freeProject(sys, directory.fd, path);
  const limit = new DataView(new ArrayBuffer(LIMIT_BYTES));
  const blocks = (bytes + BLOCK_BYTES - 1n) / BLOCK_BYTES;
  limit.setBigUint64(HARD_AT, blocks, true);
  limit.setBigUint64(SOFT_AT, blocks, true);
  limit.setUint32(VALID_AT, QIF_BLIMITS, true);
  check(quotactl(sys, directory.fd, SET_LIMIT, project, limit), "quotactl_fd", path);
  join(sys, directory.fd, attributes, project, path);
}

/** Makes an empty directory part of the project of `like`, so that files can move from one to the other. */
export function joinProject(sys: Sys, path: string, like: string): void {
  using model = open(sys, like);
  const project = readAttributes(sys, model.fd, like).getUint32(PROJID_AT, true);
  using directory = open(sys, path);
  join(sys, directory.fd, readAttributes(sys, directory.fd, path), project, path);
}

function open(sys: Sys, path: string): OwnedFd {
  const ret = openAt(sys, AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  return new OwnedFd(sys, check(ret, "openat2", path));
}

function readAttributes(sys: Sys, fd: Fd, path: string): DataView {
  const bytes = new Uint8Array(FSXATTR_BYTES);
  if (errnoOf(sys.ioctl_bytes(fd, FS_IOC_FSGETXATTR, bytes)) !== 0) {
    throw lacking(path, "its file system has no projects", "ext4 and XFS have project quotas");
  }
  return new DataView(bytes.buffer);
}

function join(sys: Sys, fd: Fd, attributes: DataView, project: number, path: string): void {
  attributes.setUint32(PROJID_AT, project, true);
  const flags = attributes.getUint32(XFLAGS_AT, true) | FS_XFLAG_PROJINHERIT;
  attributes.setUint32(XFLAGS_AT, flags, true);
  const bytes = new Uint8Array(attributes.buffer);
  check(sys.ioctl_bytes(fd, FS_IOC_FSSETXATTR, bytes), "FS_IOC_FSSETXATTR", path);
}

/** A file system may count without limiting, or not even that. */
function checkEnforced(sys: Sys, fd: Fd, path: string): void {
  const state = new DataView(new ArrayBuffer(STATE_BYTES));
  const errno = errnoOf(quotactl(sys, fd, GET_STATE, 0, state));
  const isOn = (state.getUint16(FLAGS_AT, true) & FS_QUOTA_PDQ_ENFD) !== 0;
  if (errno === 0 && isOn) return;
  throw lacking(
    path,
    "project quotas are not on for its file system",
    'Mount it with "prjquota"; ext4 is first given the feature: tune2fs -O project,quota -Q prjquota DEVICE',
  );
}

/** One that has no files: by the directory's inode, which mostly nobody else has. */
function freeProject(sys: Sys, fd: Fd, path: string): number {
  const first = Number(statAt(sys, fd, "", AT_EMPTY_PATH).ino & BigInt(PROJECT_MASK));
  for (let add = 0; add < TRIES_MAX; add++) {
    const project = PROJECT_BASE + ((first + add) & PROJECT_MASK);
    const usage = new DataView(new ArrayBuffer(LIMIT_BYTES));
    const ret = quotactl(sys, fd, GET_LIMIT, project, usage);
    if (errnoOf(ret) === ENOENT) return project;
    check(ret, "quotactl_fd", path);
    if (usage.getBigUint64(INODES_AT, true) === 0n) return project;
  }
  throw new TareError("system", `Cannot limit "${path}": no project is free`);
}

function quotactl(sys: Sys, fd: Fd, command: number, id: number, argument: DataView) {
  return sys.quotactl_fd(fd, command, id, new Uint8Array(argument.buffer));
}

function lacking(path: string, why: string, hint: string): TareError {
  return new TareError("unsupported", `Cannot limit "${path}": ${why}`, { hint });
}
