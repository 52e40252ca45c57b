/**
 * systemd as we talk to it: units started, changed and stopped, each to the end of its job. It is another
 * process, and not always the one that we think: what it answers is checked as anybody's words.
 * Source: org.freedesktop.systemd1(5).
 */

import { TareError } from "@tare/spec/error.ts";
import { isRootless } from "../container/facts.ts";
import { systemdAddresses } from "../dbus/address.ts";
import { Connection, DbusError } from "../dbus/connection.ts";
import type { Value, Variant } from "../dbus/signature.ts";
import type { Sys } from "../sys/types.ts";
import type { Property } from "./properties.ts";

const SYSTEMD = "org.freedesktop.systemd1";
const MANAGER = `${SYSTEMD}.Manager`;
const MANAGER_PATH = "/org/freedesktop/systemd1";
const JOB_REMOVED = { path: MANAGER_PATH, interface: MANAGER, member: "JobRemoved" };
/** As with runc: systemd may have much to do before ours. */
const JOB_MS_MAX = 30_000;

/** Root talks to the machine's systemd; others, and root of a user namespace, to their own. */
export function isUserManager(sys: Sys): boolean {
  if (!isRootless(sys)) return false;
  // A machine in a user namespace has a systemd of its own, and its root no session.
  return sys.geteuid() !== 0 || environmentOf(sys).has("XDG_RUNTIME_DIR");
}

export class Manager {
  readonly #connection: Connection;
  readonly #isUser: boolean;

  /**
   * Connects to the systemd of the machine, or of the caller.
   * @throws TareError `no_cgroup` where none can be talked to.
   */
  static open(sys: Sys, isUser: boolean): Manager {
    const reasons: string[] = [];
    for (const address of systemdAddresses({ isUser, environment: environmentOf(sys) })) {
      try {
        return new Manager(Connection.open(sys, address), isUser);
      } catch (error) {
        if (!(error instanceof TareError)) throw error;
        reasons.push(
          error.message.includes(address.path)
            ? error.message
            : `${address.path}: ${error.message}`,
        );
      }
    }
    const unset = "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set";
    const why = reasons.length === 0 ? unset : reasons.join("; ");
    const whose = isUser ? "your own systemd" : "systemd";
    throw new TareError("no_cgroup", `Cannot use the systemd cgroup manager: ${why}`, {
      hint: `It needs ${whose} to run (see systemctl ${isUser ? "--user " : ""}status); or use --cgroup-manager=cgroupfs`,
    });
  }

  private constructor(connection: Connection, isUser: boolean) {
    this.#connection = connection;
    this.#isUser = isUser;
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  /** The cgroup that systemd itself begins at: "" for the machine's. */
  controlGroup(): string {
    return this.#property("ControlGroup");
  }

  /** Its major version, as 252; 0 where it tells none. */
  version(): number {
    const text = this.#property("Version");
    const bare = text.startsWith("v") ? text.slice(1) : text;
    const number = Number.parseInt(bare, 10);
    return Number.isNaN(number) ? 0 : number;
  }

  /**
   * Makes a unit and waits until it runs. A failed unit of the name is forgotten first.
   * @throws TareError `conflict` where there is one of this name.
   */
  startTransient(unit: string, properties: readonly Property[]): void {
    const start = () =>
      this.#job("make", unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", [
        unit,
        "replace",
        listOf(properties),
        [],
      ]);
    try {
      start();
    } catch (error) {
      if (!isNamed(error, "UnitExists")) throw this.#explained("make", unit, error);
      this.resetFailed(unit);
      try {
        start();
      } catch (again) {
        throw this.#explained("make", unit, again);
      }
    }
  }

  /** Stops a unit and waits until it is gone; one that is gone already is as good. */
  stop(unit: string): void {
    try {
      this.#job("stop", unit, "StopUnit", "ss", [unit, "replace"]);
    } catch (error) {
      if (!isNamed(error, "NoSuchUnit")) throw this.#explained("stop", unit, error);
    }
    this.resetFailed(unit);
  }

  /** Changes properties until the machine's next start. */
  setProperties(unit: string, properties: readonly Property[]): void {
    if (properties.length === 0) return;
    try {
      this.#call("SetUnitProperties", "sba(sv)", [unit, true, listOf(properties)]);
    } catch (error) {
      throw this.#explained("change", unit, error);
    }
  }

  /** Moves processes into a unit's cgroup, or one below it, as in "/container". */
  attach(unit: string, below: string, pids: readonly number[]): void {
    try {
      this.#call("AttachProcessesToUnit", "ssau", [unit, below, pids]);
    } catch (error) {
      throw this.#explained("enter", unit, error);
    }
  }

  /** A failed unit stays until somebody has seen it; one that is not failed, or not there, is left. */
  resetFailed(unit: string): void {
    try {
      this.#call("ResetFailedUnit", "s", [unit]);
    } catch (error) {
      if (!(error instanceof DbusError)) throw error;
    }
  }

  /** Calls what answers with a job, and waits for the job's end. */
  #job(
    verb: string,
    unit: string,
    member: string,
    signature: string,
    values: readonly Value[],
  ): void {
    this.#connection.subscribe(JOB_REMOVED);
    const [job] = this.#call(member, signature, values);
    if (typeof job !== "string") throw strange(`a job to ${verb} unit "${unit}"`);
    const result = this.#connection.awaitSignal(JOB_REMOVED, JOB_MS_MAX, ([, path, , words]) =>
      path === job && typeof words === "string" ? words : undefined,
    );
    if (result === "done") return;
    this.resetFailed(unit);
    const why =
      result === undefined
        ? `systemd has not done it in ${JOB_MS_MAX / 1000} seconds`
        : `systemd says "${result}"`;
    throw new TareError("no_cgroup", `Cannot ${verb} unit "${unit}": ${why}`, {
      hint: this.#whereToLook(unit),
    });
  }

  #explained(verb: string, unit: string, error: unknown): unknown {
    if (!(error instanceof DbusError)) return error;
    const code = isNamed(error, "UnitExists") ? "conflict" : error.code;
    const message = `Cannot ${verb} unit "${unit}": ${error.message}`;
    return new TareError(code, message, { cause: error, hint: this.#whereToLook(unit) });
  }

  #whereToLook(unit: string): string {
    return `See systemctl ${this.#isUser ? "--user " : ""}status ${unit}`;
  }

  #property(name: string): string {
    const [answer] = this.#connection.call({
      destination: SYSTEMD,
      path: MANAGER_PATH,
      interface: "org.freedesktop.DBus.Properties",
      member: "Get",
      signature: "ss",
      values: [MANAGER, name],
    });
    const value = (answer as Variant | undefined)?.value;
    if (typeof value === "string") return value;
    throw strange(`its ${name}`);
  }

  #call(member: string, signature: string, values: readonly Value[]) {
    return this.#connection.call({
      destination: SYSTEMD,
      path: MANAGER_PATH,
      interface: MANAGER,
      member,
      signature,
      values,
    });
  }
}

function strange(what: string): TareError {
  return new TareError("corrupt", `Cannot ask systemd for ${what}: a strange answer`);
}

function listOf(properties: readonly Property[]): readonly Value[] {
  return properties.map(({ name, signature, value }) => [name, { signature, value }]);
}

/** Whether an error is systemd's of this name. */
function isNamed(error: unknown, name: string): boolean {
  return error instanceof DbusError && error.errorName === `${SYSTEMD}.${name}`;
}

function environmentOf(sys: Sys): ReadonlyMap<string, string> {
  return new Map(
    sys.environ().map((entry) => {
      const equals = entry.indexOf("=");
      return [entry.slice(0, equals), entry.slice(equals + 1)] as const;
    }),
  );
}
