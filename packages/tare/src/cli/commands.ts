/**
 * The list of commands; each one's code is loaded when it is chosen. A name of two words, such as
 * "image inspect", is a command of a group, as Docker has them.
 */
import type { Command, CommandSummary } from "./command.ts";

export type CommandEntry = CommandSummary & {
  /** Other names of the same command, such as "image ls"; not in the overview. */
  readonly aliases?: readonly string[];
  readonly load: () => Promise<Command>;
};

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "run",
    usage: "IMAGE [COMMAND [ARG...]]",
    help: "Run a command in a new container",
    aliases: ["container run"],
    load: async () => (await import("./run.ts")).RUN,
  },
  {
    name: "ps",
    usage: "",
    help: "List containers",
    aliases: ["container ls", "container list", "container ps"],
    load: async () => (await import("./ps.ts")).PS,
  },
  {
    name: "images",
    usage: "[NAME|PATTERN]",
    help: "List images",
    aliases: ["image ls", "image list"],
    load: async () => (await import("./images.ts")).IMAGES,
  },
  {
    name: "pull",
    usage: "NAME[:TAG|@DIGEST]",
    help: "Bring in an image from a registry",
    aliases: ["image pull"],
    load: async () => (await import("./pull.ts")).PULL,
  },
  {
    name: "push",
    usage: "NAME[:TAG]",
    help: "Send an image to a registry",
    aliases: ["image push"],
    load: async () => (await import("./push.ts")).PUSH,
  },
  {
    name: "login",
    usage: "[REGISTRY]",
    help: "Log in at a registry",
    load: async () => (await import("./login.ts")).LOGIN,
  },
  {
    name: "logout",
    usage: "[REGISTRY]",
    help: "Forget a registry's password",
    load: async () => (await import("./logout.ts")).LOGOUT,
  },
  {
    name: "search",
    usage: "[REGISTRY/]TERM",
    help: "Search a registry",
    load: async () => (await import("./search.ts")).SEARCH,
  },
  {
    name: "manifest inspect",
    usage: "NAME[:TAG|@DIGEST]",
    help: "Show a manifest list, or what a registry has",
    load: async () => (await import("./manifest.ts")).MANIFEST_INSPECT,
  },
  {
    name: "manifest create",
    usage: "LIST [MEMBER...]",
    help: "Make a manifest list, an image for several platforms",
    load: async () => (await import("./manifest-edit.ts")).MANIFEST_CREATE,
  },
  {
    name: "manifest add",
    usage: "LIST MEMBER",
    help: "Add an image to a manifest list",
    load: async () => (await import("./manifest-edit.ts")).MANIFEST_ADD,
  },
  {
    name: "manifest annotate",
    usage: "LIST MEMBER|DIGEST",
    help: "Say what a member of a manifest list is",
    load: async () => (await import("./manifest-edit.ts")).MANIFEST_ANNOTATE,
  },
  {
    name: "manifest remove",
    usage: "LIST DIGEST [DIGEST...]",
    help: "Take members out of a manifest list",
    load: async () => (await import("./manifest-edit.ts")).MANIFEST_REMOVE,
  },
  {
    name: "manifest rm",
    usage: "LIST [LIST...]",
    help: "Remove manifest lists",
    load: async () => (await import("./manifest-edit.ts")).MANIFEST_RM,
  },
  {
    name: "manifest push",
    usage: "LIST [NAME[:TAG]]",
    help: "Send a manifest list to a registry",
    load: async () => (await import("./manifest-push.ts")).MANIFEST_PUSH,
  },
  {
    name: "manifest referrers",
    usage: "NAME[:TAG|@DIGEST]",
    help: "List what speaks of a manifest, such as signatures",
    load: async () => (await import("./manifest.ts")).MANIFEST_REFERRERS,
  },
  {
    name: "load",
    usage: "",
    help: "Bring in images from an archive (docker save or OCI layout)",
    aliases: ["image load"],
    load: async () => (await import("./load.ts")).LOAD,
  },
  {
    name: "save",
    usage: "IMAGE [IMAGE...]",
    help: "Write images as one archive",
    aliases: ["image save"],
    load: async () => (await import("./save.ts")).SAVE,
  },
  {
    name: "import",
    usage: "FILE|URL|- [NAME]",
    help: "Make an image from the tarball of a root file system",
    aliases: ["image import"],
    load: async () => (await import("./import.ts")).IMPORT,
  },
  {
    name: "commit",
    usage: "CONTAINER [NAME[:TAG]]",
    help: "Make an image of a container with what it has changed",
    aliases: ["container commit"],
    load: async () => (await import("./commit.ts")).COMMIT,
  },
  {
    name: "diff",
    usage: "CONTAINER",
    help: "List what a container has added, changed and deleted",
    aliases: ["container diff"],
    load: async () => (await import("./diff.ts")).DIFF,
  },
  {
    name: "export",
    usage: "CONTAINER",
    help: "Write the root file system of a container as a tar archive",
    aliases: ["container export"],
    load: async () => (await import("./export.ts")).EXPORT,
  },
  {
    name: "history",
    usage: "IMAGE",
    help: "Show how an image was made",
    aliases: ["image history"],
    load: async () => (await import("./history.ts")).HISTORY,
  },
  {
    name: "inspect",
    usage: "NAME [NAME...]",
    help: "Show all that is known of containers, images and volumes",
    load: async () => (await import("./inspect.ts")).INSPECT,
  },
  {
    name: "image inspect",
    usage: "IMAGE [IMAGE...]",
    help: "Show all that is known of images",
    load: async () => (await import("./inspect.ts")).IMAGE_INSPECT,
  },
  {
    name: "image tree",
    usage: "IMAGE",
    help: "Show the layers of an image",
    load: async () => (await import("./image-tree.ts")).IMAGE_TREE,
  },
  {
    name: "tag",
    usage: "IMAGE NAME[:TAG]",
    help: "Give an image another name",
    aliases: ["image tag"],
    load: async () => (await import("./tag.ts")).TAG,
  },
  {
    name: "rmi",
    usage: "IMAGE [IMAGE...]",
    help: "Remove images",
    aliases: ["image rm", "image remove"],
    load: async () => (await import("./rmi.ts")).RMI,
  },
  {
    name: "image prune",
    usage: "",
    help: "Remove images that are not used",
    load: async () => (await import("./image-prune.ts")).IMAGE_PRUNE,
  },
  {
    name: "rm",
    usage: "CONTAINER [CONTAINER...]",
    help: "Remove containers",
    aliases: ["container rm", "container remove"],
    load: async () => (await import("./rm.ts")).RM,
  },
  {
    name: "volume create",
    usage: "[NAME]",
    help: "Make a volume",
    load: async () => (await import("./volume-create.ts")).VOLUME_CREATE,
  },
  {
    name: "volume ls",
    usage: "",
    help: "List volumes",
    aliases: ["volume list"],
    load: async () => (await import("./volume-ls.ts")).VOLUME_LS,
  },
  {
    name: "volume inspect",
    usage: "VOLUME [VOLUME...]",
    help: "Show all that is known of volumes",
    load: async () => (await import("./inspect.ts")).VOLUME_INSPECT,
  },
  {
    name: "volume rm",
    usage: "VOLUME [VOLUME...]",
    help: "Remove volumes with their content",
    aliases: ["volume remove"],
    load: async () => (await import("./volume-rm.ts")).VOLUME_RM,
  },
  {
    name: "volume export",
    usage: "VOLUME",
    help: "Write the content of a volume as a tar archive",
    load: async () => (await import("./volume-export.ts")).VOLUME_EXPORT,
  },
  {
    name: "volume import",
    usage: "VOLUME [FILE|-]",
    help: "Bring the content of a tar archive into a volume",
    load: async () => (await import("./volume-import.ts")).VOLUME_IMPORT,
  },
  {
    name: "volume prune",
    usage: "",
    help: "Remove volumes that are not used",
    load: async () => (await import("./volume-prune.ts")).VOLUME_PRUNE,
  },
  {
    name: "container inspect",
    usage: "CONTAINER [CONTAINER...]",
    help: "Show all that is known of containers",
    load: async () => (await import("./inspect.ts")).CONTAINER_INSPECT,
  },
  {
    name: "container prune",
    usage: "",
    help: "Remove containers that have ended",
    load: async () => (await import("./container-prune.ts")).CONTAINER_PRUNE,
  },
  {
    name: "system df",
    usage: "",
    help: "Show what the data root takes on disk",
    load: async () => (await import("./system-df.ts")).SYSTEM_DF,
  },
  {
    name: "system check",
    usage: "",
    help: "Check the store against its records",
    load: async () => (await import("./system-check.ts")).SYSTEM_CHECK,
  },
  {
    name: "system prune",
    usage: "",
    help: "Remove what is not used",
    load: async () => (await import("./system-prune.ts")).SYSTEM_PRUNE,
  },
  {
    name: "version",
    usage: "",
    help: "Print versions",
    load: async () => (await import("./version.ts")).VERSION,
  },
];

/** The command that the first words name, and the words after its name. */
export function findCommand(
  words: readonly string[],
): { readonly entry: CommandEntry; readonly rest: readonly string[] } | undefined {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(" ");
    const entry = COMMANDS.find((each) => each.name === name || each.aliases?.includes(name));
    if (entry !== undefined) return { entry, rest: words.slice(length) };
  }
  return undefined;
}

/** The commands of a group such as "image", each by the name that it has there; empty for none. */
export function groupOf(word: string): readonly CommandSummary[] {
  return COMMANDS.flatMap((entry) => {
    const names = [entry.name, ...(entry.aliases ?? [])];
    const name = names.find((each) => each.startsWith(`${word} `));
    return name === undefined ? [] : [{ ...entry, name }];
  });
}
