/** The options of each command, by name; `short` names the long form. Data for `parseArguments`. */

export const CREATE_OPTIONS = {
  bundle: "value",
  b: { short: "bundle" },
  "console-socket": "value",
  "pid-file": "value",
  "preserve-fds": "value",
  "no-pivot": "flag",
  "no-new-keyring": "flag",
} as const;

export const RUN_OPTIONS = {
  ...CREATE_OPTIONS,
  detach: "flag",
  d: { short: "detach" },
  keep: "flag",
  "no-subreaper": "flag",
  "kill-on-close": "value",
} as const;

export const KILL_OPTIONS = { all: "flag", a: { short: "all" } } as const;

export const DELETE_OPTIONS = { force: "flag", f: { short: "force" } } as const;

export const LIST_OPTIONS = {
  format: "value",
  f: { short: "format" },
  quiet: "flag",
  q: { short: "quiet" },
} as const;

export const SPEC_OPTIONS = { bundle: "value", b: { short: "bundle" }, rootless: "flag" } as const;
