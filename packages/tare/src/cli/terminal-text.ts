/** What others wrote, made fit for a terminal: it may not move the cursor, nor turn text around (CWE-150). */

/** C0 but tab and line feed, DEL, C1, line and paragraph separators, and what turns the direction of writing. */
const CONTROL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Whether `escapeControls` would change the text. */
export function hasControls(text: string): boolean {
  return text.search(CONTROL) >= 0;
}

/** Each as `\u009b`, which means the same where the text is JSON. */
export function escapeControls(text: string): string {
  return text.replaceAll(
    CONTROL,
    (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
