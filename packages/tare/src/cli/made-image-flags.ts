/** The flags that the commands which make an image, `commit` and `import`, have in common. */
import { parseText } from "./values.ts";

export const MADE_IMAGE_FLAGS = {
  change: {
    name: "change",
    short: "c",
    arg: "INSTRUCTION",
    help: "Apply an instruction of a Dockerfile, as 'CMD [\"/bin/sh\"]'; may come several times",
    repeat: true,
    parse: parseText,
  },
  message: {
    name: "message",
    short: "m",
    arg: "TEXT",
    help: "What the history says of it",
    parse: parseText,
  },
} as const;
