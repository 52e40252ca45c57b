/**
 * `fake-criu.ts SOCKET RECORD ACT`: plays criu's service for one request. Writes the request down as
 * JSON, does what the shell lines of ACT say, and answers: yes where they end well. ACT has the variables
 * `work`, `tree`, `root` and `pidfile`, where the pid of what it has restored goes; `FAKE_NOTICES` names
 * what criu tells meanwhile. Reads and writes the wire by itself: it is a judge of the runtime's.
 */
import {
  existsSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs";

/** By the field's number; numbers and texts, in the order in which they came. */
export type Fields = Record<string, (number | string)[]>;
/** What the service was asked. */
export type Asked = { readonly type: number; readonly options: Fields };

const DUMP = 1;
const RESTORE = 2;
const NOTIFY = 6;
const MESSAGE_BYTES_MAX = 256 * 1024;

function fieldsOf(bytes: Buffer): Fields {
  const fields: Fields = {};
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes.readUInt8(at++);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    let value: number | string = varint();
    if (key % 8 === 2) {
      at += value;
      value = bytes.toString("latin1", at - value, at);
    }
    fields[Math.floor(key / 8)] = [...(fields[Math.floor(key / 8)] ?? []), value];
  }
  return fields;
}

/** Numbers below 2^31 and short texts. */
function message(...fields: (readonly [number: number, value: number | Buffer])[]): Buffer {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
  return Buffer.concat(
    fields.map(([number, value]) =>
      typeof value === "number"
        ? Buffer.from([...varint(number * 8), ...varint(value)])
        : Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(value.length)]), value]),
    ),
  );
}

function receive(socket: number): Fields {
  const bytes = Buffer.alloc(MESSAGE_BYTES_MAX);
  return fieldsOf(bytes.subarray(0, readSync(socket, bytes)));
}

function play([socketText = "", record = "", act = ""]: readonly string[]): void {
  const socket = Number(socketText);
  const request = receive(socket);
  const [type = 0] = request["1"] as number[];
  const options = fieldsOf(Buffer.from(String(request["2"]?.[0]), "latin1"));
  writeFileSync(record, JSON.stringify({ type, options } satisfies Asked));
  const pidfile = `${record}.pid`;
  const ran = Bun.spawnSync(["/bin/bash", "-c", act], {
    env: {
      ...process.env,
      work: readlinkSync(`/proc/${process.ppid}/fd/${options["17"]?.[0]}`),
      tree: String(options["2"]?.[0]),
      root: String(options["13"]?.[0]),
      pidfile,
    },
    stdout: "inherit",
    stderr: "inherit",
  });
  const pid = existsSync(pidfile) ? Number(readFileSync(pidfile, "utf8")) : 0;
  const success = ran.exitCode === 0 && notices(socket, pid);
  if (!success && pid > 0) process.kill(pid, "SIGKILL");
  const done = type === RESTORE ? [[4, message([1, pid])] as const] : [];
  writeSync(socket, message([1, success ? type : DUMP], [2, Number(success)], ...done));
  process.exit(success ? 0 : 1);
}

/** Whether the runtime wants to go on after each. */
function notices(socket: number, pid: number): boolean {
  const { FAKE_NOTICES = "" } = process.env;
  return FAKE_NOTICES.split(" ")
    .filter((name) => name !== "")
    .every((name) => {
      const notice = message([1, Buffer.from(name)], [2, pid]);
      writeSync(socket, message([1, NOTIFY], [2, 1], [5, notice]));
      return receive(socket)["3"]?.[0] === 1;
    });
}

if (import.meta.main) play(process.argv.slice(2));
