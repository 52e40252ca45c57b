/** criu's own description of its messages reads what we write, where criu's Python module is there. */
import { expect, test } from "bun:test";
import { encodeRequest, type Option, REQUEST } from "./messages.ts";

const PRINT = `
import sys
sys.path.insert(0, "/usr/lib/python3/dist-packages")
from pycriu import rpc_pb2
from google.protobuf.json_format import MessageToJson
request = rpc_pb2.criu_req()
request.ParseFromString(sys.stdin.buffer.read())
print(MessageToJson(request, preserving_proto_field_name=True, use_integers_for_enums=True))
`;
const python = (text: string, input: Uint8Array = new Uint8Array()) =>
  Bun.spawnSync(["python3", "-c", text], { stdin: input });
const isThere = Bun.which("python3") !== null && python(PRINT).exitCode === 0;

const FLAGS = [
  "leave_running",
  "ext_unix_sk",
  "tcp_established",
  "evasive_devices",
  "shell_job",
  "file_locks",
  "notify_scripts",
  "track_mem",
  "auto_dedup",
  "link_remap",
  "rst_sibling",
  "tcp_skip_in_flight",
  "lazy_pages",
  "orphan_pts_master",
  "tcp_close",
] as const;
const TEXTS = [
  "log_file",
  "root",
  "parent_img",
  "freeze_cgroup",
  "config_file",
  "lsm_profile",
  "lsm_mount_context",
] as const;
const NUMBERS = ["images_dir_fd", "pid", "log_level", "work_dir_fd", "empty_ns"] as const;

test.skipIf(!isThere)("each option has the number and the form of criu's", () => {
  const options: Option[] = [
    ...FLAGS.map((name): Option => [name, true]),
    ...TEXTS.map((name): Option => [name, `é${name}`]),
    ...NUMBERS.map((name, index): Option => [name, 0x40000000 + index]),
    ["ps", ["::1", 65535]],
    ["cg_root", ["", "/a"]],
    ["cg_root", ["cpu,cpuacct", "/b"]],
    ["inherit_fd", ["pipe:[1]", 0]],
    ["join_ns", ["mnt", "/n"]],
    ["external", "mnt[/a]:/b"],
    ["external", "net[1]:c"],
    ["cgroup_dump_controller", "cpu,cpuacct"],
    ["cgroup_dump_controller", ""],
    ["manage_cgroups_mode", 5],
    ["network_lock", 2],
  ];
  const printed = python(PRINT, encodeRequest(REQUEST.RESTORE, options));
  expect(JSON.parse(printed.stdout.toString())).toEqual({
    type: 2,
    opts: {
      ...Object.fromEntries(FLAGS.map((name) => [name, true])),
      ...Object.fromEntries(TEXTS.map((name) => [name, `é${name}`])),
      ...Object.fromEntries(NUMBERS.map((name, index) => [name, 0x40000000 + index])),
      ps: { address: "::1", port: 65535 },
      cg_root: [
        { ctrl: "", path: "/a" },
        { ctrl: "cpu,cpuacct", path: "/b" },
      ],
      inherit_fd: [{ key: "pipe:[1]", fd: 0 }],
      join_ns: [{ ns: "mnt", ns_file: "/n" }],
      external: ["mnt[/a]:/b", "net[1]:c"],
      cgroup_dump_controller: ["cpu,cpuacct", ""],
      manage_cgroups_mode: 5,
      network_lock: 2,
    },
  });
});
