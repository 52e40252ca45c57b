/** The `linux.seccomp` object. Source: runtime-spec 1.3, config-linux.md, "Seccomp". */
import {
  failAt,
  fieldTable,
  hasField,
  type Place,
  readFields,
  readInteger,
  readObjects,
  readOneOf,
  readOptionalObject,
  readOptionalString,
  readOptionalUint32,
  readOptionalUint64,
  readStrings,
  readUint64,
} from "./json-read.ts";
import type {
  Seccomp,
  SeccompAction,
  SeccompArg,
  SeccompOperator,
  SeccompRule,
} from "./oci-runtime.ts";

const ACTIONS: ReadonlySet<SeccompAction> = new Set<SeccompAction>([
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
]);

const OPERATORS: ReadonlySet<SeccompOperator> = new Set<SeccompOperator>([
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
]);

/** A system call has six arguments. */
const ARGUMENT_INDEX_MAX = 5;

/** What runc and crun use where the field is absent; an empty array means no flags. */
const DEFAULT_FLAGS: readonly string[] = ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"];

const LISTENER = fieldTable<Pick<Seccomp, "listenerPath" | "listenerMetadata">>({
  listenerPath: readOptionalString,
  listenerMetadata: readOptionalString,
});

/** The seccomp object, or undefined where there is none; an object without fields is none, as in runc. */
export function readSeccomp(place: Place, key: string): Seccomp | undefined {
  const seccomp = readOptionalObject(place, key);
  if (seccomp === undefined) return undefined;
  const syscalls = readObjects(seccomp, "syscalls", readRule);
  const hasAction = readOptionalString(seccomp, "defaultAction") !== undefined;
  if (!hasAction && syscalls.length === 0) return undefined;
  const defaultAction = readOneOf(seccomp, "defaultAction", ACTIONS);
  const defaultErrnoRet = readErrno(seccomp, "defaultErrnoRet", defaultAction);
  const listener = readFields(seccomp, LISTENER);
  if (listener.listenerMetadata !== undefined && listener.listenerPath === undefined) {
    failAt(seccomp, "listenerMetadata", "needs a listenerPath");
  }
  return {
    defaultAction,
    ...(defaultErrnoRet === undefined ? undefined : { defaultErrnoRet }),
    architectures: readStrings(seccomp, "architectures"),
    flags: hasField(seccomp, "flags") ? readStrings(seccomp, "flags") : DEFAULT_FLAGS,
    ...listener,
    syscalls,
  };
}

/** A rule for no names is refused: the older `name` would be ignored, and its rule with it. */
function readRule(place: Place): SeccompRule {
  const names = readStrings(place, "names");
  if (names.length === 0) failAt(place, "names", "must have at least one name");
  const action = readOneOf(place, "action", ACTIONS);
  const errnoRet = readErrno(place, "errnoRet", action);
  const args = readObjects(place, "args", readArg);
  return errnoRet === undefined ? { names, action, args } : { names, action, args, errnoRet };
}

/** "When the action doesn't support an errno, the runtime MUST print an error and fail." */
function readErrno(place: Place, key: string, action: SeccompAction): number | undefined {
  const errno = readOptionalUint32(place, key);
  if (errno === undefined || action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE") {
    return errno;
  }
  return failAt(place, key, `${action} has no errno`);
}

function readArg(place: Place): SeccompArg {
  return {
    index: readInteger(place, "index", 0, ARGUMENT_INDEX_MAX),
    value: readUint64(place, "value"),
    valueTwo: readOptionalUint64(place, "valueTwo") ?? 0n,
    op: readOneOf(place, "op", OPERATORS),
  };
}
