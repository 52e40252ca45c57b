/**
 * `system check`: whether what the records say is what is on disk, both ways, and whether it is still
 * what it was. What a killed command left is no fault: it is swept first, as by every command that
 * removes. Nothing else changes unless repair is asked for, and what is not ours stays even then; what is
 * damaged is written down, so that the next pull or load of it brings it again.
 */
import type { Digest } from "@tare/spec/digest.ts";
import { toReport } from "@tare/spec/error.ts";
import { sweepContainers } from "../container/records.ts";
import type { Engine } from "../engine.ts";
import { allBlobs } from "../store/blobs.ts";
import { collectGarbage } from "../store/collect.ts";
import { recordDamage } from "../store/damage.ts";
import { Lease } from "../store/leases.ts";
import { withReserve } from "../store/reserve.ts";
import type { Store } from "../store/store.ts";
import { sweepVolumes } from "../volume/records.ts";
import { blobFaults } from "./check-blobs.ts";
import { layerFaults } from "./check-layers.ts";
import { recordFaults } from "./check-records.ts";

/** Something that is not as the records say. */
export type Fault = {
  /** A sentence. */
  readonly message: string;
  /** Makes it good, and answers how in a few words; it throws where it cannot. */
  readonly repair: (() => string | Promise<string>) | undefined;
  /** The blob or the layer that it is about. */
  readonly damaged?: Digest;
};

export type Finding = {
  readonly message: string;
  /** What was done about it. */
  readonly repaired: string | undefined;
  /** Why nothing could be done. */
  readonly failure: string | undefined;
};

export type CheckOptions = {
  /** Look only whether things are there and how large, not what is in them. */
  readonly quick: boolean;
  readonly repair: boolean;
};

/** Answers what is wrong, or was. */
export async function checkStore(engine: Engine, options: CheckOptions): Promise<Finding[]> {
  const { store } = engine;
  const left = await sweepContainers(engine);
  withReserve(store, () => {
    sweepVolumes(store);
    collectGarbage(store);
  });
  const faults: Fault[] = left.map((message) => ({ message, repair: undefined }));
  faults.push(...(await findFaults(engine, options.quick)));
  const findings: Finding[] = [];
  const damaged = new Set<Digest>();
  for (const fault of faults) {
    const finding = await settle(fault, options.repair);
    findings.push(finding);
    if (finding.repaired === undefined && fault.damaged !== undefined) damaged.add(fault.damaged);
  }
  withReserve(store, () => recordDamage(store, damaged, { whole: !options.quick }));
  if (options.repair && findings.length > 0) collectGarbage(store);
  return findings;
}

async function findFaults(engine: Engine, quick: boolean): Promise<Fault[]> {
  const { store } = engine;
  // What is looked at must not be collected meanwhile: it would seem to be missing.
  using lease = new Lease(store);
  withReserve(store, () => lease.hold(everything(store)));
  return [
    ...recordFaults(store),
    ...blobFaults(store, quick),
    ...(await layerFaults(engine, quick)),
  ];
}

function everything(store: Store): Digest[] {
  const layers = store.db.query<{ chain_id: string }, []>("SELECT chain_id FROM layers").all();
  const chains = layers.map(({ chain_id }) => chain_id as Digest);
  return [...chains, ...allBlobs(store).map(({ digest }) => digest)];
}

async function settle({ message, repair }: Fault, wanted: boolean): Promise<Finding> {
  if (!wanted || repair === undefined) return { message, repaired: undefined, failure: undefined };
  try {
    return { message, repaired: await repair(), failure: undefined };
  } catch (error) {
    return { message, repaired: undefined, failure: toReport(error).message };
  }
}
