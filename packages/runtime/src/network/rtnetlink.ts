/** Links and addresses of rtnetlink(7): what is asked, and what the answers say. Pure. */

import { encodeUtf8 } from "@tare/spec/bytes.ts";
import { type Attribute, decodeAttributes, uint32, viewOf } from "./netlink.ts";

export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_GETADDR = 22;

const IFLA_IFNAME = 3;
const IFLA_NET_NS_FD = 28;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
export const IFA_F_NODAD = 0x02;
export const IFA_F_PERMANENT = 0x80;
export const IFA_F_NOPREFIXROUTE = 0x200;
export const RT_SCOPE_UNIVERSE = 0;
export const IFF_UP = 1;

/** `struct ifinfomsg` and `struct ifaddrmsg`. */
const IFINFOMSG_BYTES = 16;
const IFADDRMSG_BYTES = 8;

/** The part of a message behind its header. */
export type Payload = { readonly fixed: Uint8Array; readonly attributes: readonly Attribute[] };

export type Link = { readonly index: number; readonly name: string; readonly flags: number };

export type Address = {
  /** AF_INET or AF_INET6. */
  readonly family: number;
  readonly prefixLength: number;
  readonly scope: number;
  readonly index: number;
  /** IFA_F_*. */
  readonly flags: number;
  /** The peer's where there is one, else the same as `local`; absent where the kernel gave none. */
  readonly address?: Uint8Array;
  readonly local?: Uint8Array;
  readonly broadcast?: Uint8Array;
};

function interfaceInfo(index: number, flags: number, change: number): Uint8Array {
  const fixed = new Uint8Array(IFINFOMSG_BYTES);
  const view = viewOf(fixed);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return fixed;
}

function nameAttribute(name: string): Attribute {
  return [IFLA_IFNAME, encodeUtf8(`${name}\0`)];
}

/** RTM_GETLINK: the link of a name; of all with NLM_F_DUMP and no name. */
export function askLink(name: string | undefined): Payload {
  const attributes = name === undefined ? [] : [nameAttribute(name)];
  return { fixed: interfaceInfo(0, 0, 0), attributes };
}

/** RTM_NEWLINK: raises or lowers a link. */
export function setLinkUp(index: number, up: boolean): Payload {
  return { fixed: interfaceInfo(index, up ? IFF_UP : 0, IFF_UP), attributes: [] };
}

/** RTM_NEWLINK: moves a link to another network namespace, where it gets the name; `%d` is a number. */
export function moveLink(index: number, name: string, namespace: number): Payload {
  const attributes: Attribute[] = [nameAttribute(name), [IFLA_NET_NS_FD, uint32(namespace)]];
  return { fixed: interfaceInfo(index, 0, 0), attributes };
}

/** RTM_GETADDR, with NLM_F_DUMP: all addresses. */
export function askAddresses(): Payload {
  return { fixed: new Uint8Array(IFADDRMSG_BYTES), attributes: [] };
}

/** RTM_NEWADDR: gives a link an address. */
export function addAddress(index: number, address: Address): Payload {
  const fixed = new Uint8Array(IFADDRMSG_BYTES);
  fixed.set([address.family, address.prefixLength, address.flags & 0xff, address.scope]);
  viewOf(fixed).setUint32(4, index, true);
  const attributes: Attribute[] = [[IFA_FLAGS, uint32(address.flags)]];
  if (address.address !== undefined) attributes.push([IFA_ADDRESS, address.address]);
  if (address.local !== undefined) attributes.push([IFA_LOCAL, address.local]);
  if (address.broadcast !== undefined) attributes.push([IFA_BROADCAST, address.broadcast]);
  return { fixed, attributes };
}

/** The link of an RTM_NEWLINK message. */
export function readLink(body: Uint8Array): Link {
  const attributes = decodeAttributes(body, IFINFOMSG_BYTES);
  const view = viewOf(body);
  const bytes = attributes.get(IFLA_IFNAME) ?? new Uint8Array(0);
  let name = "";
  for (const byte of bytes) if (byte !== 0) name += String.fromCharCode(byte);
  return { index: view.getInt32(4, true), name, flags: view.getUint32(8, true) };
}

/** The address of an RTM_NEWADDR message. */
export function readAddress(body: Uint8Array): Address {
  const attributes = decodeAttributes(body, IFADDRMSG_BYTES);
  const [family = 0, prefixLength = 0, lowFlags = 0, scope = 0] = body;
  const flags = attributes.get(IFA_FLAGS);
  const optional = {
    address: attributes.get(IFA_ADDRESS)?.slice(),
    local: attributes.get(IFA_LOCAL)?.slice(),
    broadcast: attributes.get(IFA_BROADCAST)?.slice(),
  };
  const present = Object.entries(optional).filter(([, value]) => value !== undefined);
  return {
    family,
    prefixLength,
    scope,
    index: viewOf(body).getUint32(4, true),
    flags: flags === undefined ? lowFlags : viewOf(flags).getUint32(0, true),
    ...Object.fromEntries(present),
  };
}
