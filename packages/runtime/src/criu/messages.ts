/**
 * What is said to criu's service and what it answers, by the names and numbers of its `rpc.proto`.
 * Pure.
 */

import { decodeUtf8Lossy } from "@tare/spec/bytes.ts";
import { decodeFields, encodeFields, type Field, type Value } from "./protobuf.ts";

/** criu_req_type. */
export const REQUEST = { DUMP: 1, RESTORE: 2, PRE_DUMP: 4, NOTIFY: 6 } as const;

/** criu_opts: those that we use. */
const OPTIONS = {
  images_dir_fd: 1,
  pid: 2,
  leave_running: 3,
  ext_unix_sk: 4,
  tcp_established: 5,
  evasive_devices: 6,
  shell_job: 7,
  file_locks: 8,
  log_level: 9,
  log_file: 10,
  ps: 11,
  notify_scripts: 12,
  root: 13,
  parent_img: 14,
  track_mem: 15,
  auto_dedup: 16,
  work_dir_fd: 17,
  link_remap: 18,
  cg_root: 25,
  rst_sibling: 26,
  inherit_fd: 27,
  manage_cgroups_mode: 34,
  external: 37,
  empty_ns: 38,
  join_ns: 39,
  cgroup_dump_controller: 43,
  freeze_cgroup: 44,
  tcp_skip_in_flight: 46,
  lazy_pages: 48,
  orphan_pts_master: 50,
  config_file: 51,
  tcp_close: 52,
  lsm_profile: 53,
  lsm_mount_context: 63,
  network_lock: 64,
} as const;

export type OptionName = keyof typeof OPTIONS;
/** A message inside: its fields in the order of their numbers, from 1. */
export type Parts = readonly (number | string)[];
/** One of criu's options; one that may be repeated stands there more than once. */
export type Option = readonly [name: OptionName, value: number | boolean | string | Parts];

/** criu_cg_mode. */
export const CGROUP_MODES = { ignore: 0, soft: 3, full: 4, strict: 5 } as const;
/** criu_network_lock_method. */
export const NETWORK_LOCKS = { iptables: 1, nftables: 2, skip: 3 } as const;

/** criu_req with its criu_opts. */
export function encodeRequest(type: number, options: readonly Option[]): Uint8Array {
  const fields = options.map(([name, value]): Field => [OPTIONS[name], encodeValue(value)]);
  return encodeFields([
    [1, type],
    [2, encodeFields(fields)],
  ]);
}

function encodeValue(value: Option[1]): Value {
  if (typeof value !== "object") return value;
  return encodeFields(value.map((part, index): Field => [index + 1, part]));
}

/** The word to go on after a notification, or to give up. */
export function encodeNotified(success: boolean): Uint8Array {
  return encodeFields([
    [1, REQUEST.NOTIFY],
    [3, success],
  ]);
}

/** criu_resp. */
export type Answer = {
  readonly type: number;
  readonly success: boolean;
  /** Of a notification: what is done now, as `setup-namespaces`. */
  readonly script?: string;
  /** The first process: of a notification, or of a restore that is done. */
  readonly pid?: number;
  /** The first error of criu's log. */
  readonly complaint?: string;
};

/** @throws TareError `corrupt` */
export function decodeAnswer(bytes: Uint8Array): Answer {
  const fields = decodeFields(bytes);
  const restored = asMessage(fields.get(4));
  const notified = asMessage(fields.get(5));
  const script = asText(notified.get(1));
  const pid = restored.get(1) ?? notified.get(2);
  const complaint = asText(fields.get(9));
  return {
    type: asNumber(fields.get(1)),
    success: asNumber(fields.get(2)) !== 0,
    ...(script === undefined ? {} : { script }),
    ...(pid === undefined ? {} : { pid: asNumber(pid) }),
    ...(complaint === undefined ? {} : { complaint }),
  };
}

function asMessage(value: number | Uint8Array | undefined) {
  return decodeFields(value instanceof Uint8Array ? value : new Uint8Array());
}

function asText(value: number | Uint8Array | undefined): string | undefined {
  return value instanceof Uint8Array ? decodeUtf8Lossy(value) : undefined;
}

function asNumber(value: number | Uint8Array | undefined): number {
  return typeof value === "number" ? value : 0;
}
