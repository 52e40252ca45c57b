//! Compiles each bundled program (`dist/js/*.js`) to QuickJS bytecode and lists them for `main.rs`.
//! The bytecode has a version byte: it must come from the same rquickjs that loads it.

use rquickjs::{CatchResultExt, Context, Module, Runtime, WriteOptions, WriteOptionsEndianness};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let scripts = manifest.join("../dist/js");
    println!("cargo:rerun-if-changed={}", scripts.display());

    link(&manifest);
    let mut table = String::from("pub static PROGRAMS: &[(&str, &[u8])] = &[\n");
    let all = scripts_in(&scripts);
    for script in &all {
        println!("cargo:rerun-if-changed={}", script.display());
        let name = script.file_stem().expect("a file").to_string_lossy().into_owned();
        fs::write(out.join(format!("{name}.bc")), compile(&name, script, &all))
            .expect("write bytecode");
        let _ = writeln!(
            table,
            "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.bc\"))),"
        );
    }
    table.push_str("];\n");
    table.push_str(&sealed(&scripts));
    let default = fs::read_to_string(scripts.join("default.txt")).unwrap_or_default();
    let _ = writeln!(table, "pub static DEFAULT: &str = {:?};", default.trim());
    fs::write(out.join("programs.rs"), table).expect("write the table");
}

/// What ships has the functions that programs call beside each other: the kernel maps pages of a file by
/// sixteen, and each process pays for those that it touches.
fn link(manifest: &Path) {
    let [order, near] = ["order.txt", "near.ld"].map(|name| manifest.join("engine").join(name));
    for file in [&order, &near] {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    if !is("CARGO_FEATURE_SHIPPED", "1") || !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return;
    }
    if links_by_lld() {
        println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", order.display());
        println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", near.display());
    }
}

/// lld, which knows the option, is Rust's linker for this architecture since 1.90.
fn links_by_lld() -> bool {
    const SINCE_MINOR: u32 = 90;
    let asked = Command::new(env::var("RUSTC").expect("cargo sets it")).arg("--version").output();
    let version = asked.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    let minor = version.ok().and_then(|it| it.split('.').nth(1).and_then(|it| it.parse().ok()));
    minor.is_some_and(|minor: u32| minor >= SINCE_MINOR)
}

/// Which programs run from a sealed file, and for which words: `sealed.txt`, a line a program.
fn sealed(folder: &Path) -> String {
    let list = fs::read_to_string(folder.join("sealed.txt")).unwrap_or_default();
    let mut table = String::from("pub static SEALED: &[(&str, &[&str])] = &[\n");
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default();
        let _ = writeln!(table, "    ({program:?}, &{:?}),", words.collect::<Vec<_>>());
    }
    table + "];\n"
}

fn scripts_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut scripts: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "js"))
        .collect();
    scripts.sort();
    scripts
}

fn compile(name: &str, script: &Path, all: &[PathBuf]) -> Vec<u8> {
    let runtime = Runtime::new().expect("a QuickJS runtime");
    let context = Context::full(&runtime).expect("a QuickJS context");
    context.with(|ctx| {
        let source = fs::read(script).expect("read the script");
        // Compiling resolves imports by name; the real modules are there when this is loaded.
        Module::declare(ctx.clone(), "tare:sys", "export {}").expect("an empty module");
        for other in all.iter().filter(|other| *other != script) {
            let file = other.file_name().expect("a file").to_string_lossy().into_owned();
            Module::declare(ctx.clone(), file, "export {}").expect("an empty module");
        }
        let module = Module::declare(ctx.clone(), name, source)
            .catch(&ctx)
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        module
            .write(WriteOptions {
                endianness: WriteOptionsEndianness::Little,
                strip_source: true,
                strip_debug: env::var("PROFILE").is_ok_and(|profile| profile == "release"),
                ..Default::default()
            })
            .expect("bytecode")
    })
}
