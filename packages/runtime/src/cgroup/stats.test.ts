import { describe, expect, test } from "bun:test";
import { pageSizeOf } from "./read-stats.ts";
import { eventData, type JsonObject, toJson } from "./stats.ts";
import { statsV1 } from "./stats-v1.ts";
import { statsV2 } from "./stats-v2.ts";

function reader(files: { readonly [name: string]: string }) {
  return (file: string): string | undefined => files[file];
}

/** As a program that reads our JSON sees it. */
function parsed(data: JsonObject): unknown {
  return JSON.parse(toJson(data));
}

describe("JSON", () => {
  test("has numbers of 64 bits whole, and leaves out what is undefined", () => {
    const value = { a: 18446744073709551615n, b: undefined, c: [1, 2.5, "x\n", null, true], d: {} };
    expect(toJson(value)).toBe('{"a":18446744073709551615,"c":[1,2.5,"x\\n",null,true],"d":{}}');
  });

  test("of nothing has the fields that runc always gives", () => {
    expect(parsed(eventData({}, {}))).toEqual({
      cpu: {},
      cpuset: {
        cpu_exclusive: 0,
        mem_hardwall: 0,
        mem_exclusive: 0,
        memory_migrate: 0,
        memory_spread_page: 0,
        memory_spread_slab: 0,
        memory_pressure: 0,
        sched_load_balance: 0,
        sched_relax_domain_level: 0,
      },
      memory: {},
      pids: {},
      blkio: {},
      hugetlb: {},
      intel_rdt: {},
      network_interfaces: null,
    });
  });
});

describe("v1", () => {
  const of = (controllers: string[], files: { [name: string]: string }, sizes: string[] = []) =>
    statsV1(controllers, reader(files), sizes);

  test("cpu: ticks of both modes, nanoseconds of each processor", () => {
    const { cpuUsage, throttling } = of(["cpu", "cpuacct"], {
      "cpuacct.stat": "user 3\nsystem 5\n",
      "cpuacct.usage": "77000000\n",
      "cpuacct.usage_percpu": "40 37 \n",
      "cpuacct.usage_all": "cpu user system\n0 30 10\n1 20 17\n",
      "cpu.stat": "nr_periods 9\nnr_throttled 0\nthrottled_time 4\nnr_bursts 1\n",
    });
    expect(parsed({ ...cpuUsage })).toEqual({
      total: 77_000_000,
      percpu: [40, 37],
      percpu_kernel: [10, 17],
      percpu_user: [30, 20],
      kernel: 50_000_000,
      user: 30_000_000,
    });
    expect(parsed({ ...throttling })).toEqual({ periods: 9, throttledTime: 4 });
  });

  test("memory: what has no file is left out, limits are whole", () => {
    const { memory } = of(["memory"], {
      "memory.stat": "cache 8192\nrss 4096\nhierarchical_memory_limit 9223372036854771712\n",
      "memory.limit_in_bytes": "9223372036854771712\n",
      "memory.usage_in_bytes": "12288\n",
      "memory.max_usage_in_bytes": "16384\n",
      "memory.failcnt": "2\n",
    });
    expect(toJson({ ...memory })).toBe(
      '{"cache":8192,"usage":{"limit":9223372036854771712,"usage":12288,"max":16384,"failcnt":2},' +
        '"raw":{"cache":8192,"hierarchical_memory_limit":9223372036854771712,"rss":4096}}',
    );
  });

  test("block devices: BFQ's counts before the throttling layer's, without the total", () => {
    const throttle = {
      "blkio.throttle.io_service_bytes": "8:0 Read 1\nTotal 1\n",
      "blkio.throttle.io_serviced": "8:0 Read 2\nTotal 2\n",
    };
    expect(parsed({ ...of(["blkio"], throttle).blkio })).toEqual({
      ioServiceBytesRecursive: [{ major: 8, op: "Read", value: 1 }],
      ioServicedRecursive: [{ major: 8, op: "Read", value: 2 }],
    });
    const recursive = { ...throttle, "blkio.throttle.io_serviced_recursive": "8:1 Write 0\n" };
    expect(parsed({ ...of(["blkio"], recursive).blkio })).toMatchObject({
      ioServicedRecursive: [{ major: 8, minor: 1, op: "Write" }],
    });
    const bfq = {
      ...throttle,
      "blkio.bfq.io_service_bytes_recursive": "254:3 Read 7\nTotal 7\n",
      "blkio.bfq.sectors_recursive": "254:3 9\n",
    };
    expect(parsed({ ...of(["blkio"], bfq).blkio })).toEqual({
      ioServiceBytesRecursive: [{ major: 254, minor: 3, op: "Read", value: 7 }],
      sectorsRecursive: [{ major: 254, minor: 3, value: 9 }],
    });
  });

  test("pids, cpuset and huge pages", () => {
    const stats = of(
      ["pids", "cpuset", "hugetlb"],
      {
        "pids.current": "3\n",
        "pids.max": "max\n",
        "cpuset.cpus": "0-2,7\n",
        "cpuset.mems": "0\n",
        "cpuset.sched_load_balance": "1\n",
        "cpuset.sched_relax_domain_level": "-1\n",
        "hugetlb.2MB.rsvd.usage_in_bytes": "2097152\n",
        "hugetlb.2MB.rsvd.failcnt": "1\n",
        "hugetlb.1GB.usage_in_bytes": "5\n",
      },
      ["1GB", "2MB"],
    );
    expect(parsed({ ...stats.pids })).toEqual({ current: 3 });
    expect(parsed({ ...stats.cpuset })).toMatchObject({
      cpus: [0, 1, 2, 7],
      mems: [0],
      sched_load_balance: 1,
      sched_relax_domain_level: -1,
    });
    expect(parsed({ ...stats.hugetlb })).toEqual({
      "1GB": { usage: 5, failcnt: 0 },
      "2MB": { usage: 2_097_152, failcnt: 1 },
    });
  });
});

describe("v2", () => {
  const of = (files: { [name: string]: string }, isWhole = true, sizes: string[] = []) =>
    statsV2(reader(files), sizes, isWhole);

  test("cpu: microseconds become nanoseconds", () => {
    const { cpuUsage, throttling } = of({
      "cpu.stat": "usage_usec 9\nuser_usec 4\nsystem_usec 5\nnr_periods 2\nthrottled_usec 3\n",
    });
    expect(parsed({ ...cpuUsage })).toEqual({ total: 9_000, kernel: 5_000, user: 4_000 });
    expect(parsed({ ...throttling })).toEqual({ periods: 2, throttledTime: 3_000 });
  });

  test("memory: swap is told together with memory, as on v1", () => {
    const files = {
      "memory.stat": "anon 1\nfile 2\n",
      "memory.current": "100\n",
      "memory.max": "1000\n",
      "memory.peak": "200\n",
      "memory.swap.current": "10\n",
      "memory.swap.max": "50\n",
    };
    expect(parsed({ ...of(files).memory })).toEqual({
      cache: 2,
      usage: { limit: 1000, usage: 100, max: 200, failcnt: 0 },
      swap: { limit: 1050, usage: 110, failcnt: 0 },
      raw: { anon: 1, file: 2 },
    });
    const open = { ...files, "memory.max": "max\n", "memory.swap.max": "max\n" };
    expect(toJson({ ...of(open).memory })).toContain('"limit":18446744073709551615');
  });

  test("block devices in the words of v1, pressure as it is, processes without their controller", () => {
    const stats = of(
      {
        "io.stat": "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n254:0 \n",
        "cpu.pressure":
          "some avg10=1.50 avg60=0.00 avg300=0.25 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        "cgroup.procs": "1\n2\n",
        "hugetlb.2MB.current": "4\n",
        "hugetlb.2MB.events": "max 3\n",
      },
      true,
      ["2MB"],
    );
    expect(parsed({ ...stats.blkio })).toEqual({
      ioServiceBytesRecursive: [
        { major: 8, minor: 16, op: "Read", value: 1 },
        { major: 8, minor: 16, op: "Write", value: 2 },
      ],
      ioServicedRecursive: [
        { major: 8, minor: 16, op: "Read", value: 3 },
        { major: 8, minor: 16, op: "Write", value: 4 },
      ],
    });
    expect(parsed(eventData(stats, {}))).toMatchObject({
      cpu: { psi: { some: { avg10: 1.5, avg60: 0, avg300: 0.25, total: 77 }, full: { total: 0 } } },
      pids: { current: 2 },
      hugetlb: { "2MB": { usage: 4, failcnt: 3 } },
    });
  });

  test("beside v1 it tells only what it counts itself", () => {
    expect(of({ "cpu.stat": "usage_usec 9\n" }, false)).toEqual({ psi: {} });
  });
});

test.each([
  ["hugepages-2048kB", "2MB"],
  ["hugepages-1048576kB", "1GB"],
  ["hugepages-64kB", "64KB"],
  ["hugepages-kB", undefined],
  ["hugepages-2048", undefined],
  ["x", undefined],
])("the pages of %s are %s", (name, size) => {
  expect(pageSizeOf(name)).toBe(size);
});
