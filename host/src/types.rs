//! The development host: prints `sys.d.ts` from the table, or runs a script from a file.

use crate::{program, sys};
use std::ffi::CStr;
use std::fmt::Write as _;
use std::os::raw::c_int;

const HEAD: &str = "\
// Printed by the development host from its table of system calls: `make types`. Do not edit.
declare module \"tare:sys\" {
  export {};
  const brand: unique symbol;
  /** A file descriptor. */
  export type Fd = number & { readonly [brand]: \"Fd\" };
  /** What a call answers: a value, or -errno. Only check() of sys/check.ts opens it. */
  export type Ret<T> = { readonly [brand]: \"Ret\"; readonly value?: T };
";

/// The exit status, where the words are the development host's own.
pub fn development(verb: Option<&CStr>, file: Option<&CStr>) -> Option<c_int> {
    match verb.map(CStr::to_bytes) {
        Some(b"--types") => {
            print!("{}", types());
            Some(0)
        }
        Some(b"--script") => Some(script(&file.unwrap_or_default().to_string_lossy())),
        _ => None,
    }
}

fn types() -> String {
    let mut text = String::from(HEAD);
    for (area, rows) in sys::AREAS {
        let _ = writeln!(text, "\n  // {area}");
        for row in *rows {
            let doc: Vec<&str> = row.doc.lines().map(str::trim).collect();
            let parameters: Vec<String> = row
                .parameters
                .iter()
                .filter(|(_, kind)| !kind.is_empty())
                .map(|(name, kind)| format!("{}: {kind}", camel(name)))
                .collect();
            let _ = writeln!(text, "  /** {} */", doc.join(" ").trim());
            let _ = writeln!(
                text,
                "  export function {}({}): {};",
                row.name.to_string_lossy(),
                parameters.join(", "),
                row.answer
            );
        }
    }
    text.push_str("}\n");
    text
}

fn camel(name: &str) -> String {
    let mut upper = false;
    name.chars()
        .filter_map(|letter| {
            if letter == '_' {
                upper = true;
                return None;
            }
            let letter = if upper { letter.to_ascii_uppercase() } else { letter };
            upper = false;
            Some(letter)
        })
        .collect()
}

fn script(file: &str) -> c_int {
    let source = match std::fs::read(file) {
        Ok(source) => source,
        Err(error) => {
            eprintln!("Cannot read {file:?}: {error}");
            return 66;
        }
    };
    match program::run_source(file, source) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{file}: uncaught {error}");
            70
        }
    }
}
