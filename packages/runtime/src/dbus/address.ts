/**
 * D-Bus server addresses and where systemd listens. Pure.
 * Source: D-Bus Specification, "Server Addresses"; sd-bus of systemd, which systemctl(1) uses.
 */

import { decodeUtf8 } from "@tare/spec/bytes.ts";
import { TareError } from "@tare/spec/error.ts";

/** A socket to try. */
export type BusAddress = {
  readonly path: string;
  /**
   * A bus passes messages between many, and wants "Hello" first; systemd's private socket has
   * systemd alone at its other end.
   */
  readonly isBus: boolean;
};

const SYSTEM_BUS = "/run/dbus/system_bus_socket";
const SYSTEM_PRIVATE = "/run/systemd/private";
/** sun_path of sockaddr_un with its NUL: unix(7). */
const SOCKET_PATH_MAX = 107;
const ADDRESS_LENGTH_MAX = 4096;

export type Caller = {
  /** The user's own systemd is meant, not the machine's. */
  readonly isUser: boolean;
  readonly environment: ReadonlyMap<string, string>;
};

/**
 * The sockets to try, in order. What the environment names is meant, and nothing else is tried; else
 * the private socket, as systemctl does it: no bus needs to run, and nobody passes messages on.
 * @throws TareError `bad_input` for an address in a form that we cannot use.
 */
export function systemdAddresses({ isUser, environment }: Caller): readonly BusAddress[] {
  const variable = isUser ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS";
  const named = environment.get(variable) ?? "";
  const buses = named === "" ? [] : parseAddress(variable, named);
  if (!isUser) {
    if (buses.length > 0) return buses;
    return [
      { path: SYSTEM_PRIVATE, isBus: false },
      { path: SYSTEM_BUS, isBus: true },
    ];
  }
  const directory = environment.get("XDG_RUNTIME_DIR") ?? "";
  const own = directory.startsWith("/")
    ? [
        { path: `${directory}/systemd/private`, isBus: false },
        { path: `${directory}/bus`, isBus: true },
      ]
    : [];
  return buses.length > 0 ? buses : own;
}

/** The Unix sockets of an address list, as `unix:path=/run/user/0/bus,guid=...;...`. */
export function parseAddress(variable: string, text: string): readonly BusAddress[] {
  if (text.length > ADDRESS_LENGTH_MAX) throw bad(variable, text.slice(0, 64), "it is too long");
  const paths = text.split(";").flatMap((entry): string[] => {
    if (!entry.startsWith("unix:")) return [];
    const pairs = entry.slice("unix:".length).split(",");
    const path = pairs.find((pair) => pair.startsWith("path="));
    return path === undefined ? [] : [percentDecoded(variable, path.slice("path=".length))];
  });
  for (const path of paths) {
    if (!path.startsWith("/")) throw bad(variable, text, "a socket's path is absolute");
    if (path.length > SOCKET_PATH_MAX) throw bad(variable, text, "a socket's path is too long");
  }
  if (paths.length === 0) throw bad(variable, text, 'only "unix:path=" is understood');
  return paths.map((path) => ({ path, isBus: true }));
}

/** `%2f` stands for the byte 0x2f. */
function percentDecoded(variable: string, value: string): string {
  if (!value.includes("%")) return value;
  const bytes: number[] = [];
  for (let at = 0; at < value.length; at++) {
    if (value[at] !== "%") {
      bytes.push(value.charCodeAt(at));
      continue;
    }
    const byte = hexByte(value.slice(at + 1, at + 3));
    if (byte === undefined || byte === 0) throw bad(variable, value, "a bad % escape");
    bytes.push(byte);
    at += 2;
  }
  return decodeUtf8(Uint8Array.from(bytes), variable);
}

function hexByte(digits: string): number | undefined {
  const isHex = (digit: string) => "0123456789abcdefABCDEF".includes(digit);
  return digits.length === 2 && [...digits].every(isHex) ? Number.parseInt(digits, 16) : undefined;
}

function bad(variable: string, value: string, why: string): TareError {
  return new TareError("bad_input", `Cannot use ${variable} "${value}": ${why}`);
}
