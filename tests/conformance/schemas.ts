/**
 * The JSON schemas of opencontainers/runtime-spec with their own validator (`schema/validate`, from
 * `schema/Makefile`): what the runtime prints must be valid, and of the samples beside the schemas
 * our reader must take the good and refuse the bad.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseConfig } from "../../packages/spec/src/oci-runtime-parse.ts";
import { busyboxRootfs } from "../harness/fixtures.ts";
import { runtimeProgram } from "../harness/places.ts";
import { OutputFiles, run, runToFiles } from "../harness/run.ts";
import { chosenFiles, type Result, type Round, type Suite } from "./suite.ts";

const FILES = ["outputs", "samples"];

export const schemas: Suite = {
  name: "schemas",
  title: "opencontainers/runtime-spec, schema",
  variable: "TARE_SUITE_RUNTIME_SPEC",
  lacks: (checkout) => {
    const built = existsSync(join(checkout, "schema/validate"));
    return built ? undefined : "its validator schema/validate was not built";
  },
  run: runSchemas,
};

async function* runSchemas(round: Round): AsyncGenerator<readonly Result[]> {
  for (const file of chosenFiles(FILES, round.files)) {
    // The samples are for our reader, whichever runtime is asked for its outputs.
    if (file === "samples" && round.runtime !== runtimeProgram()) continue;
    yield file === "outputs" ? await judgeOutputs(round) : judgeSamples(round);
  }
}

/** `state` in each status that one can wait for, `spec` and `features`. */
async function judgeOutputs(round: Round): Promise<Result[]> {
  const bundle = join(round.work, "bundle");
  mkdirSync(bundle);
  const id = `tare-conformance-${process.pid}`;
  const call = async (...words: string[]) => {
    using output = new OutputFiles();
    const words0 = [round.runtime, "--root", join(round.work, "root"), ...words];
    return await runToFiles(words0, output, { cwd: bundle });
  };
  const results: Result[] = [];
  const add = async (test: string, schema: string, text: string) => {
    results.push(await judgeText(round, test, schema, text));
  };
  await add("features", "features", (await call("features")).stdout);
  for (const words of [["spec", "--rootless"], ["spec"]]) {
    await call(...words);
    const path = join(bundle, "config.json");
    await add(words.join(" "), "config", existsSync(path) ? readFileSync(path, "utf8") : "");
    if (existsSync(path) && words.length > 1) await run(["rm", path]);
  }
  await makeSleeper(bundle);
  await call("create", "--bundle", bundle, id);
  try {
    await add("state, created", "state", (await call("state", id)).stdout);
    await call("start", id);
    await add("state, running", "state", (await call("state", id)).stdout);
    await call("kill", id, "KILL");
    await Bun.sleep(300);
    await add("state, stopped", "state", (await call("state", id)).stdout);
  } finally {
    await call("delete", "--force", id);
  }
  return results;
}

/** Makes the runtime's own example of a configuration one that sleeps. */
async function makeSleeper(bundle: string): Promise<void> {
  const path = join(bundle, "config.json");
  if (!existsSync(path)) return;
  const config = JSON.parse(readFileSync(path, "utf8"));
  config.process.args = ["sleep", "60"];
  config.process.terminal = false;
  config.root.path = await busyboxRootfs();
  // The example raises its limits, which not every root may.
  config.process.rlimits = undefined;
  writeFileSync(path, JSON.stringify(config));
}

async function judgeText(round: Round, test: string, schema: string, text: string) {
  const path = join(round.work, "document.json");
  writeFileSync(path, text);
  const said = await validate(round, schema, path);
  const detail = said === "" ? "" : `${said}\n${text.slice(0, 300)}`;
  return { file: "outputs", test, verdict: said === "" ? "pass" : "fail", detail } as const;
}

/** What the validator complains of; empty if the document is valid. */
async function validate(round: Round, schema: string, path: string): Promise<string> {
  const cwd = join(round.checkout, "schema");
  const ran = await run(["./validate", `${schema}-schema.json`, path], { cwd });
  return ran.code === 0 ? "" : `${ran.stdout}${ran.stderr}`.trim() || "the validator failed";
}

/** Of config.json alone: it is the only one of the three that we read. */
function judgeSamples(round: Round): Result[] {
  const home = join(round.checkout, "schema/test/config");
  return ["good", "bad"].flatMap((kind) =>
    readdirSync(join(home, kind))
      .sort()
      .map((name) => {
        const complaint = readSample(join(home, kind, name));
        const passed = (complaint === undefined) === (kind === "good");
        return {
          file: "samples",
          test: `${kind}/${basename(name, ".json")}`,
          verdict: passed ? "pass" : "fail",
          detail: complaint ?? "it was taken",
        } as const;
      }),
  );
}

function readSample(path: string): string | undefined {
  try {
    parseConfig(readFileSync(path, "utf8"));
    return undefined;
  } catch (error) {
    return String(error);
  }
}
