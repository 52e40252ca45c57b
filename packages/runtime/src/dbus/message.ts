/**
 * D-Bus messages: the header with its fields, and the body. Pure.
 * Source: D-Bus Specification, "Message Format".
 */

import { marshal, Writer } from "./marshal.ts";
import { parseSingle, type Value, type Variant } from "./signature.ts";
import { corrupt, Reader, unmarshal } from "./unmarshal.ts";

export type MessageKind = "call" | "return" | "error" | "signal";

export type Message = {
  readonly kind: MessageKind;
  /** Counts up on its connection, from 1. */
  readonly serial: number;
  /** Of the call that this answers. */
  readonly replySerial?: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly destination?: string;
  /** Who sent it, by the word of the bus. */
  readonly sender?: string;
  /** The types of the body. */
  readonly signature: string;
  readonly body: Uint8Array;
};

/** Up to the length of the array of header fields: enough to know how long a message is. */
export const HEAD_BYTES = 16;
/** We ask for small things; a peer that sends more than this is not systemd. */
const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;

const LITTLE_ENDIAN = 0x6c;
const VERSION = 1;
const KINDS: readonly (MessageKind | undefined)[] = [
  undefined,
  "call",
  "return",
  "error",
  "signal",
];
/** Header fields by their numbers. */
const FIELDS = [
  undefined,
  { name: "path", signature: "o" },
  { name: "interface", signature: "s" },
  { name: "member", signature: "s" },
  { name: "errorName", signature: "s" },
  { name: "replySerial", signature: "u" },
  { name: "destination", signature: "s" },
  { name: "sender", signature: "s" },
  { name: "signature", signature: "g" },
] as const;

const FIELD_LIST = parseSingle("a(yv)");
const BYTE = parseSingle("y");
const NUMBER = parseSingle("u");

export type Call = {
  readonly destination?: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly values: readonly Value[];
};

/** The bytes of a method call. */
export function encodeCall(call: Call, serial: number): Uint8Array {
  const { signature, values, ...names } = call;
  const body = marshal(signature, values);
  return encodeMessage({ kind: "call", serial, ...names, signature, body });
}

/** The bytes of any message. */
export function encodeMessage(message: Message): Uint8Array {
  const writer = new Writer();
  writer.write(BYTE, LITTLE_ENDIAN);
  writer.write(BYTE, KINDS.indexOf(message.kind));
  writer.write(BYTE, 0);
  writer.write(BYTE, VERSION);
  writer.write(NUMBER, message.body.length);
  writer.write(NUMBER, message.serial);
  writer.write(FIELD_LIST, headerFields(message));
  writer.align(8);
  writer.raw(message.body);
  return writer.bytes();
}

function headerFields(message: Message): readonly Value[] {
  return FIELDS.flatMap((field, number): Value[] => {
    const value = field === undefined ? undefined : message[field.name];
    if (field === undefined || value === undefined || value === "") return [];
    return [[number, { signature: field.signature, value }]];
  });
}

/**
 * How long the message is that begins with these bytes, at least HEAD_BYTES of them.
 * @throws TareError `corrupt` for another byte order, another protocol, or more than we take.
 */
export function messageLength(head: Uint8Array): number {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (view.getUint8(0) !== LITTLE_ENDIAN) throw corrupt("its byte order is not ours");
  if (view.getUint8(3) !== VERSION) throw corrupt(`protocol version ${view.getUint8(3)}`);
  const body = view.getUint32(4, true);
  const fields = view.getUint32(12, true);
  const length = HEAD_BYTES + Math.ceil(fields / 8) * 8 + body;
  if (length > MESSAGE_BYTES_MAX) throw corrupt(`it is longer than ${MESSAGE_BYTES_MAX} bytes`);
  return length;
}

/**
 * A whole message, as long as messageLength says.
 * @throws TareError `corrupt` where it is none. A kind and header fields that we do not know are passed
 *   over, as the specification wants: undefined stands for such a message.
 */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  const reader = new Reader(bytes);
  const head = ["y", "y", "y", "y", "u", "u"].map((code) => reader.read(parseSingle(code)));
  const [, kindNumber, , , bodyLength, serial] = head as number[];
  const found = fieldValues(reader.read(FIELD_LIST) as readonly Value[]);
  reader.align(8);
  if (reader.rest !== bodyLength) throw corrupt("its body has another length");
  if (kindNumber === 0 || serial === 0) throw corrupt("its kind or its serial number is 0");
  const kind = KINDS[kindNumber ?? 0];
  if (kind === undefined) return undefined;
  const body = bytes.slice(bytes.length - reader.rest);
  const signature = found.signature ?? "";
  if (signature === "" && body.length > 0) throw corrupt("a body without a signature");
  const message = { ...found, kind, serial: serial ?? 0, signature, body };
  requireFields(message);
  return message;
}

type Found = {
  -readonly [Name in keyof Omit<Message, "kind" | "serial" | "body">]?: Message[Name];
};

function fieldValues(fields: readonly Value[]): Found {
  const found: { [name: string]: Value } = {};
  for (const each of fields) {
    const [number, { signature, value }] = each as unknown as [number, Variant];
    const field = FIELDS[number];
    if (number === 0) throw corrupt("a header field 0");
    if (field === undefined) continue;
    if (signature !== field.signature) throw corrupt(`a ${field.name} of type "${signature}"`);
    found[field.name] = value;
  }
  return found as Found;
}

/** "Header Fields": which kinds cannot do without which. */
function requireFields(message: Message): void {
  const needed = {
    call: ["path", "member"],
    return: ["replySerial"],
    error: ["replySerial", "errorName"],
    signal: ["path", "interface", "member"],
  } as const;
  for (const name of needed[message.kind]) {
    if (message[name] === undefined) throw corrupt(`a ${message.kind} without ${name}`);
  }
}

/** The values of a message's body. */
export function bodyOf(message: Message): readonly Value[] {
  return unmarshal(message.signature, message.body);
}
