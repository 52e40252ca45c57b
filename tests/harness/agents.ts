/**
 * An agent for filters that notify: listens on a socket, takes each listener that is sent to it, and
 * answers every call that it is asked about. Written for python3, which can receive descriptors.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { patiently } from "./places.ts";
import type { Scene } from "./scene.ts";

/** Numbers of system calls that get an error, by the error; all others go on. */
export type Answers = { readonly [call: number]: number };

/** What came in: the container process state, then a number of x86-64 for each call. */
export type Heard = { readonly states: unknown[]; readonly calls: number[] };

export type Agent = {
  readonly path: string;
  readonly heard: () => Promise<Heard>;
  readonly stop: () => void;
};

/** `struct seccomp_notif` has 80 bytes, `struct seccomp_notif_resp` 24: linux/seccomp.h. */
const PROGRAM = `
import array, fcntl, json, os, socket, struct, sys, threading
RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
path, answers = sys.argv[1], {int(k): v for k, v in json.loads(sys.argv[2]).items()}
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(path)
server.listen(8)
def say(kind, value):
    print(json.dumps({kind: value}), flush=True)
def serve(fd):
    while True:
        asked = bytearray(80)
        try:
            fcntl.ioctl(fd, RECEIVE, asked)
        except OSError:
            return
        number = struct.unpack_from("=i", asked, 16)[0]
        say("call", number)
        error = answers.get(number, 0)
        reply = struct.pack("=QqiI", struct.unpack_from("=Q", asked)[0], 0, -error, 0 if error else CONTINUE)
        try:
            fcntl.ioctl(fd, SEND, bytearray(reply))
        except OSError:
            pass
say("ready", True)
while True:
    connection, _ = server.accept()
    text, fds = b"", []
    while True:
        part, more, _, _ = socket.recv_fds(connection, 65536, 4)
        fds += more
        if not part:
            break
        text += part
    connection.close()
    say("state", {"fds": len(fds), "state": json.loads(text)})
    for fd in fds:
        threading.Thread(target=serve, args=(fd,), daemon=True).start()
`;

/** Starts one in the scene's directory; ends with the scene. */
export async function startAgent(scene: Scene, answers: Answers = {}): Promise<Agent> {
  const path = join(scene.dir, "agent.sock");
  const child = Bun.spawn(["python3", "-c", PROGRAM, path, JSON.stringify(answers)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  const reading = (async () => {
    for await (const part of child.stdout) text += new TextDecoder().decode(part);
  })();
  const stop = () => child.kill(9);
  scene.defer(async () => {
    stop();
    await reading;
  });
  const end = performance.now() + patiently(10_000);
  while (!text.includes("ready") && performance.now() < end) await Bun.sleep(5);
  if (!existsSync(path)) throw new Error("The agent does not listen");
  const heard = async () => {
    await Bun.sleep(30); // What was printed is on its way through a pipe.
    const lines = text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { state?: unknown; call?: number });
    return {
      states: lines.flatMap(({ state }) => (state === undefined ? [] : [state])),
      calls: lines.flatMap(({ call }) => (call === undefined ? [] : [call])),
    };
  };
  return { path, heard, stop };
}
