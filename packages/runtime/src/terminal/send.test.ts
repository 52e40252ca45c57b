import { expect, test } from "bun:test";
import { scriptedSys } from "../sys/scripted-sys.ts";
import type { Fd } from "../sys/types.ts";
import { sendDescriptor } from "./send.ts";

const EINTR = 4;

test("a descriptor is sent, also where a signal interrupts that", () => {
  const answers = { connect_unix: [-EINTR, 0], sendmsg: [-EINTR, 1] };
  const host = scriptedSys({
    connect_unix: () => answers.connect_unix.shift(),
    sendmsg: () => answers.sendmsg.shift(),
  });
  sendDescriptor(host.sys, "/socket", 9 as Fd, "name");
  expect(answers).toEqual({ connect_unix: [], sendmsg: [] });
  expect(host.open()).toEqual([]);
});
