/**
 * Messages of netlink(7) as bytes: a header, a fixed structure, attributes, each padded to four
 * bytes. Little-endian, as the machines are that this runs on. Pure.
 */

import { TareError } from "@tare/spec/error.ts";

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_EXCL = 0x200;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;

/** `struct nlmsghdr` and `struct nlattr`. */
const NLMSG_HEADER_BYTES = 16;
const NLATTR_HEADER_BYTES = 4;
/** The upper bits of an attribute's type say how to read it. */
const NLA_TYPE_MASK = 0x3fff;

/** An attribute: its type and its bytes. */
export type Attribute = readonly [type: number, value: Uint8Array];

export type NetlinkMessage = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header. */
  readonly body: Uint8Array;
};

/** One message as the kernel takes it. */
export function encodeMessage(
  message: Omit<NetlinkMessage, "body">,
  fixed: Uint8Array,
  attributes: readonly Attribute[],
): Uint8Array {
  const sizes = attributes.map(([, value]) => aligned(NLATTR_HEADER_BYTES + value.length));
  const start = NLMSG_HEADER_BYTES + aligned(fixed.length);
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size, start));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, message.type, true);
  view.setUint16(6, message.flags, true);
  view.setUint32(8, message.sequence, true);
  bytes.set(fixed, NLMSG_HEADER_BYTES);
  let at = start;
  for (const [index, [type, value]] of attributes.entries()) {
    view.setUint16(at, NLATTR_HEADER_BYTES + value.length, true);
    view.setUint16(at + 2, type, true);
    bytes.set(value, at + NLATTR_HEADER_BYTES);
    at += sizes[index] ?? 0;
  }
  return bytes;
}

/** The messages of one datagram; a length that does not fit is an error. */
export function decodeMessages(bytes: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length; ) {
    const rest = bytes.length - at;
    const length = rest < NLMSG_HEADER_BYTES ? 0 : view.getUint32(at, true);
    if (length < NLMSG_HEADER_BYTES || length > rest) throw damaged("a message");
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: bytes.subarray(at + NLMSG_HEADER_BYTES, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** The attributes behind a fixed structure of `fixedBytes`, by type; the last of a type counts. */
export function decodeAttributes(
  body: Uint8Array,
  fixedBytes: number,
): ReadonlyMap<number, Uint8Array> {
  if (body.length < fixedBytes) throw damaged("a message");
  const attributes = new Map<number, Uint8Array>();
  const view = viewOf(body);
  for (let at = aligned(fixedBytes); at < body.length; ) {
    const rest = body.length - at;
    const length = rest < NLATTR_HEADER_BYTES ? 0 : view.getUint16(at, true);
    if (length < NLATTR_HEADER_BYTES || length > rest) throw damaged("an attribute");
    const type = view.getUint16(at + 2, true) & NLA_TYPE_MASK;
    attributes.set(type, body.subarray(at + NLATTR_HEADER_BYTES, at + length));
    at += aligned(length);
  }
  return attributes;
}

/** The errno of an NLMSG_ERROR, positive; 0 is an acknowledgement. */
export function errnoOfMessage(body: Uint8Array): number {
  if (body.length < 4) throw damaged("an error");
  return Math.abs(viewOf(body).getInt32(0, true));
}

/** A number of 32 bits as an attribute's value. */
export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}

/** A view of exactly these bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}

function damaged(what: string): TareError {
  return new TareError("internal", `Cannot read the kernel's answer: ${what} has a wrong length`);
}
