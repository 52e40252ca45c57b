/** What decides which rules of a profile a container gets. */
import { TareError } from "@tare/spec/error.ts";

export type ProfileFacts = {
  /** As `uname -m` says. */
  readonly architecture: string;
  /** The container's bounding set, with the prefix `CAP_`. */
  readonly capabilities: readonly string[];
  /** As `uname -r` says: only the first two numbers count. */
  readonly kernel: string;
};

/** When a rule counts: all that is listed must hold. */
export type Condition = {
  /** Every one of them is in the bounding set. */
  readonly capabilities?: readonly string[];
  /** One of them is the machine, by Docker's name such as `amd64`. */
  readonly machines?: readonly string[];
  /** Such as "4.8". */
  readonly kernelMin?: string;
};

export type Machine = {
  /** Docker's name, the one that `arches` of a profile lists. */
  readonly name: string;
  /** The kernel's own architecture, then those whose programs it runs too. */
  readonly architectures: readonly string[];
};

/** By `uname -m`. Docker's archMap has no entry for ppc64le: runtimes add the kernel's own. */
const MACHINES: ReadonlyMap<string, Machine> = new Map(
  [
    ["x86_64", "amd64", "X86_64 X86 X32"],
    ["aarch64", "arm64", "AARCH64 ARM"],
    ["armv7l", "arm", "ARM"],
    ["riscv64", "riscv64", "RISCV64"],
    ["ppc64le", "ppc64le", "PPC64LE"],
    ["s390x", "s390x", "S390X S390"],
    ["loongarch64", "loongarch64", "LOONGARCH64"],
    ["mips64", "mipsel64", "MIPSEL64 MIPSEL MIPSEL64N32"],
  ].map(([machine = "", name = "", architectures = ""]) => [
    machine,
    { name, architectures: architectures.split(" ").map((one) => `SCMP_ARCH_${one}`) },
  ]),
);

/** The machine of `uname -m`; `unsupported` where we know no architectures for it. */
export function findMachine(architecture: string): Machine {
  const machine = MACHINES.get(architecture);
  if (machine !== undefined) return machine;
  throw new TareError(
    "unsupported",
    `Cannot choose a seccomp profile for machine "${architecture}": it is not known`,
    { hint: "Use --security-opt seccomp=unconfined" },
  );
}

/** Whether a rule that includes and excludes so much counts for these facts. */
export function isWanted(
  includes: Condition | undefined,
  excludes: Condition | undefined,
  facts: ProfileFacts,
): boolean {
  return (includes === undefined || holdsAll(includes, facts)) && !holdsAny(excludes ?? {}, facts);
}

function holdsAll(condition: Condition, facts: ProfileFacts): boolean {
  const { capabilities = [], machines = [], kernelMin } = condition;
  if (!capabilities.every((name) => facts.capabilities.includes(name))) return false;
  if (machines.length > 0 && !machines.includes(findMachine(facts.architecture).name)) return false;
  return kernelMin === undefined || isAtLeast(facts.kernel, kernelMin);
}

/** What a rule excludes is enough where one part holds, as in Docker. */
function holdsAny(condition: Condition, facts: ProfileFacts): boolean {
  const { capabilities = [], machines = [], kernelMin } = condition;
  if (capabilities.some((name) => facts.capabilities.includes(name))) return true;
  if (machines.length > 0 && machines.includes(findMachine(facts.architecture).name)) return true;
  return kernelMin !== undefined && isAtLeast(facts.kernel, kernelMin);
}

function isAtLeast(release: string, minimum: string): boolean {
  const [major, minor] = versionOf(release);
  const [majorMin, minorMin] = versionOf(minimum);
  return major > majorMin || (major === majorMin && minor >= minorMin);
}

/** "6.1.0-18-amd64" and "6.1" are both 6 and 1. */
function versionOf(text: string): readonly [number, number] {
  const [major = "", minor = ""] = text.split(".", 2);
  const version = [Number.parseInt(major, 10), Number.parseInt(minor, 10)] as const;
  if (version.every(Number.isInteger)) return version;
  throw new TareError("bad_input", `Cannot read kernel version "${text}": want digits and a dot`);
}
