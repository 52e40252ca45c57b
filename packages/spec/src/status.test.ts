import { expect, test } from "bun:test";
import { TareError } from "./error.ts";
import type { Status } from "./oci-runtime.ts";
import { nextStatus, requireStatus, type StatusEvent } from "./status.ts";

const table: [from: Status, event: StatusEvent, to: Status | "refused"][] = [
  ["creating", "ready", "created"],
  ["creating", "start", "refused"],
  ["creating", "pause", "refused"],
  ["creating", "resume", "refused"],
  ["creating", "exit", "stopped"],
  ["created", "ready", "refused"],
  ["created", "start", "running"],
  ["created", "pause", "refused"],
  ["created", "resume", "refused"],
  ["created", "exit", "stopped"],
  ["running", "ready", "refused"],
  ["running", "start", "refused"],
  ["running", "pause", "paused"],
  ["running", "resume", "refused"],
  ["running", "exit", "stopped"],
  ["paused", "ready", "refused"],
  ["paused", "start", "refused"],
  ["paused", "pause", "refused"],
  ["paused", "resume", "running"],
  ["paused", "exit", "stopped"],
  ["stopped", "ready", "refused"],
  ["stopped", "start", "refused"],
  ["stopped", "pause", "refused"],
  ["stopped", "resume", "refused"],
  ["stopped", "exit", "refused"],
];

test.each(table)("a container that is %s, at %s: %s", (from, event, to) => {
  if (to === "refused") expect(() => nextStatus("c", from, event)).toThrow(TareError);
  else expect(nextStatus("c", from, event)).toBe(to);
});

test("the message says what is and what should be", () => {
  const message = 'Cannot start container "c": it is running, not created';
  expect(() => nextStatus("c", "running", "start")).toThrow(message);
});

test("requireStatus", () => {
  requireStatus("c", "exec in", "running", ["created", "running"]);
  const message = 'Cannot exec in container "c": it is stopped, not created or running';
  const act = () => requireStatus("c", "exec in", "stopped", ["created", "running"]);
  expect(act).toThrow(message);
});
