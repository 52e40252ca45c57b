/** `tare manifest create`, `add`, `annotate`, `remove`, `rm`: indexes that are made here. */
import { openEngine } from "@tare/engine/engine.ts";
import type { ListOptions } from "@tare/engine/image/manifest-list.ts";
import {
  addToList,
  annotateMember,
  createList,
  removeFromList,
  removeList,
} from "@tare/engine/image/manifest-list.ts";
import { isDigest } from "@tare/spec/digest.ts";
import { TareError } from "@tare/spec/error.ts";
import { formatFamiliar, formatReference, type Reference } from "@tare/spec/reference.ts";
import type { Command, Surroundings } from "./command.ts";
import { EXIT_FAILURE, printFailure } from "./failure.ts";
import { interruptible } from "./interrupt.ts";
import { ALL_FLAG, MEMBER_FLAGS, memberChanges } from "./manifest-member.ts";
import { readLine, wantWords } from "./read-line.ts";
import { completeName, openRegistries } from "./registries.ts";
import { parsePair, parseSwitch } from "./values.ts";

const CREATE_FLAGS = {
  all: ALL_FLAG,
  amend: { name: "amend", short: "a", help: "Go on with a list that is there", parse: parseSwitch },
  annotation: {
    name: "annotation",
    arg: "KEY=VALUE",
    help: "An annotation of the list; may come several times",
    repeat: true,
    parse: parsePair,
  },
} as const;

export const MANIFEST_CREATE = {
  summary: {
    name: "manifest create",
    usage: "LIST [MEMBER...]",
    help: "Make a manifest list, an image for several platforms",
  },
  flags: CREATE_FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runCreate,
} satisfies Command;

const ADD_FLAGS = { all: ALL_FLAG, ...MEMBER_FLAGS } as const;

export const MANIFEST_ADD = {
  summary: {
    name: "manifest add",
    usage: "LIST MEMBER",
    help: "Add an image of the store or of a registry to a manifest list",
  },
  flags: ADD_FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runAdd,
} satisfies Command;

export const MANIFEST_ANNOTATE = {
  summary: {
    name: "manifest annotate",
    usage: "LIST MEMBER|DIGEST",
    help: "Say what a member of a manifest list is",
  },
  flags: MEMBER_FLAGS,
  interspersed: true,
  needsRoot: true,
  run: runAnnotate,
} satisfies Command;

export const MANIFEST_REMOVE = {
  summary: {
    name: "manifest remove",
    usage: "LIST DIGEST [DIGEST...]",
    help: "Take members out of a manifest list",
  },
  flags: {},
  interspersed: true,
  needsRoot: true,
  run: runRemove,
} satisfies Command;

export const MANIFEST_RM = {
  summary: { name: "manifest rm", usage: "LIST [LIST...]", help: "Remove manifest lists" },
  flags: {},
  interspersed: true,
  needsRoot: true,
  run: runRm,
} satisfies Command;

const MEMBERS_MAX = 500;

async function runCreate(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_CREATE, words, around);
  if (line === undefined) return 0;
  const { usage } = MANIFEST_CREATE.summary;
  const limits = { least: 1, most: 1 + MEMBERS_MAX };
  const [word = "", ...members] = wantWords("manifest create", line.positionals, limits, usage);
  const { all = false, amend = false, annotation: annotations } = line.values;
  const client = openRegistries(around);
  const name = listName(completeName(client, word));
  return await interruptible(around, async (signal) => {
    const options = { all, amend, annotations, signal };
    await createList(openEngine(around.settings), client, name, members, options);
    around.print(`Created manifest list ${formatReference(name)}\n`);
    return 0;
  });
}

async function runAdd(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_ADD, words, around);
  if (line === undefined) return 0;
  const { all = false } = line.values;
  const changes = memberChanges(line.values);
  return await change(
    MANIFEST_ADD,
    line.positionals,
    around,
    all,
    (engine, client, name, options) =>
      addToList(engine, client, name, line.positionals[1] ?? "", { ...options, changes }),
  );
}

async function runAnnotate(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_ANNOTATE, words, around);
  if (line === undefined) return 0;
  const changes = memberChanges(line.values);
  const { positionals } = line;
  return await change(
    MANIFEST_ANNOTATE,
    positionals,
    around,
    false,
    (engine, client, name, options) =>
      annotateMember(engine, client, name, positionals[1] ?? "", { ...options, changes }),
  );
}

/** A change of one member; prints the digest that the list has then. */
async function change(
  { summary }: Command,
  positionals: readonly string[],
  around: Surroundings,
  all: boolean,
  work: (
    engine: ReturnType<typeof openEngine>,
    client: ReturnType<typeof openRegistries>,
    name: Reference,
    options: ListOptions,
  ) => Promise<string>,
): Promise<number> {
  const limits = { least: 2, most: 2 };
  const [word = ""] = wantWords(summary.name, positionals, limits, summary.usage);
  const client = openRegistries(around);
  const name = listName(completeName(client, word));
  return await interruptible(around, async (signal) => {
    const digest = await work(openEngine(around.settings), client, name, { all, signal });
    around.print(`${digest}\n`);
    return 0;
  });
}

async function runRemove(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_REMOVE, words, around);
  if (line === undefined) return 0;
  const { usage } = MANIFEST_REMOVE.summary;
  const limits = { least: 2, most: MEMBERS_MAX };
  const [word = "", ...rest] = wantWords("manifest remove", line.positionals, limits, usage);
  const digests = rest.map((text) => {
    if (isDigest(text)) return text;
    throw new TareError("bad_input", `Cannot remove member "${text}": want a digest`);
  });
  const name = listName(completeName(openRegistries(around), word));
  const { store } = openEngine(around.settings);
  around.print(`${removeFromList(store, name, digests)}\n`);
  return 0;
}

async function runRm(words: readonly string[], around: Surroundings): Promise<number> {
  const line = readLine(MANIFEST_RM, words, around);
  if (line === undefined) return 0;
  const limits = { least: 1, most: MEMBERS_MAX };
  const names = wantWords("manifest rm", line.positionals, limits, MANIFEST_RM.summary.usage);
  const client = openRegistries(around);
  const { store } = openEngine(around.settings);
  let status = 0;
  for (const word of names) {
    try {
      const name = completeName(client, word);
      removeList(store, name);
      around.print(`Untagged: ${formatFamiliar(name)}\n`);
    } catch (error) {
      around.complain(printFailure(error));
      status = EXIT_FAILURE;
    }
  }
  return status;
}

/** A list is known by a tag: its digest changes with each change. */
function listName(name: Reference): Reference {
  if (name.digest === undefined) return name;
  throw new TareError(
    "bad_input",
    `Cannot use "${formatFamiliar(name)}" as a list: its name has a digest`,
  );
}
