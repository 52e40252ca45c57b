//! QuickJS, one embedded program in it, and what happens when that program throws.

use crate::js::Arguments;
use crate::{seal, sys};
use rquickjs::context::intrinsic;
use rquickjs::{Context, Ctx, Module, Runtime, qjs};
use std::ffi::CStr;
use std::io::Write;
use std::os::raw::{c_char, c_int, c_void};

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

/// A script that throws is a fault of ours: programs catch what they expect.
const EXIT_UNCAUGHT: c_int = 70;
const EXIT_NO_PROGRAM: c_int = 64;
const EXIT_UNSEALED: c_int = 1;

/// Runs the embedded program that the command line names.
pub fn run(argv: *const *const c_char) -> c_int {
    let Some((name, bytecode)) = chosen() else {
        let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
        complain(&format!("Cannot tell which program to be: want one of {}", names.join(", ")));
        return EXIT_NO_PROGRAM;
    };
    if wants_seal(name)
        && let Err(why) = seal::ensure(argv)
    {
        complain(&format!("{name}: {why}"));
        return EXIT_UNSEALED;
    }
    execute(|ctx| {
        // SAFETY: the bytecode was written by this very version of QuickJS, at build time.
        unsafe { Module::load(ctx.clone(), bytecode) }
    })
    .unwrap_or_else(|error| {
        complain(&format!("{name}: uncaught {error}"));
        EXIT_UNCAUGHT
    })
}

/// Whether the program asked, at build time, to be sealed when one of these words is given.
fn wants_seal(name: &str) -> bool {
    SEALED.iter().filter(|(program, _)| *program == name).any(|(_, words)| {
        (1..)
            .map_while(sys::word)
            .any(|word| words.iter().any(|it| it.as_bytes() == word.to_bytes()))
    })
}

/// Programs are named so; every other entry of the table is a part of one.
const PROGRAM_PREFIX: &[u8] = b"tare-";
const PART_SEPARATOR: char = '~';

fn find(name: &[u8]) -> Option<&'static (&'static str, &'static [u8])> {
    PROGRAMS.iter().find(|(program, _)| program.as_bytes() == name)
}

/// The program named like the executable; else like the first argument; else the build's default.
fn chosen() -> Option<&'static (&'static str, &'static [u8])> {
    let named = |word: &CStr| {
        let name = word.to_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        find(name).filter(|(program, _)| {
            program.as_bytes().starts_with(PROGRAM_PREFIX) && !program.contains(PART_SEPARATOR)
        })
    };
    sys::word(0)
        .and_then(named)
        .or_else(|| sys::word(1).and_then(named))
        .or_else(|| find(DEFAULT.as_bytes()))
}

/// Starts QuickJS, declares `tare:sys`, loads and evaluates a module.
pub fn execute<'a, F>(load: F) -> Result<c_int, String>
where
    F: for<'js> FnOnce(&Ctx<'js>) -> rquickjs::Result<Module<'js>> + 'a,
{
    let runtime = Runtime::new().map_err(|error| error.to_string())?;
    // These programs live for milliseconds: a collection would cost more than it frees.
    runtime.set_gc_threshold(usize::MAX);
    let context = Context::builder()
        .with::<intrinsic::Json>()
        .with::<intrinsic::MapSet>()
        .with::<intrinsic::Promise>()
        .with::<intrinsic::TypedArrays>()
        .with::<intrinsic::RegExp>()
        .with::<intrinsic::Date>()
        .with::<intrinsic::Proxy>()
        .with::<DevelopmentIntrinsics>()
        .build(&runtime)
        .map_err(|error| error.to_string())?;
    let status = context.with(|ctx| {
        find_parts(&ctx);
        let outcome = declare_sys(&ctx)
            .and_then(|()| load(&ctx))
            .and_then(|module| module.eval())
            .and_then(|(_, promise)| promise.finish::<()>());
        outcome.map(|()| 0).map_err(|error| explain(&ctx, error))
    });
    // Freeing the heap of a process that ends now is time for nothing.
    std::mem::forget(context);
    std::mem::forget(runtime);
    status
}

#[cfg(feature = "dev")]
type DevelopmentIntrinsics = intrinsic::Eval;
#[cfg(not(feature = "dev"))]
type DevelopmentIntrinsics = intrinsic::None;

/// What was thrown, as one line, with the place where debug data has it.
fn explain(ctx: &Ctx<'_>, error: rquickjs::Error) -> String {
    if !error.is_exception() {
        return error.to_string();
    }
    let thrown = ctx.catch();
    match thrown.as_exception() {
        Some(exception) => {
            let stack = exception.stack().unwrap_or_default();
            let name: String = exception.as_object().get("name").unwrap_or_default();
            format!("{name}: {} {stack}", exception.message().unwrap_or_default())
                .replace('\n', " ")
        }
        None => format!("{thrown:?}"),
    }
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", line.trim_end());
}

/// Lets modules import embedded ones by name: the pieces that programs and their parts share.
fn find_parts(ctx: &Ctx<'_>) {
    // SAFETY: both functions have the signatures that QuickJS calls them with.
    unsafe {
        qjs::JS_SetModuleLoaderFunc(
            qjs::JS_GetRuntime(ctx.as_raw().as_ptr()),
            Some(normalize),
            Some(load_module),
            std::ptr::null_mut(),
        );
    }
}

/// `./name.js`, as the bundler writes it, is the entry `name`.
unsafe extern "C" fn normalize(
    ctx: *mut qjs::JSContext,
    _base: *const c_char,
    name: *const c_char,
    _opaque: *mut c_void,
) -> *mut c_char {
    // SAFETY: QuickJS passes a NUL-terminated name and frees what we give back.
    unsafe {
        let name = CStr::from_ptr(name).to_bytes();
        let name = name.strip_prefix(b"./").unwrap_or(name);
        let name = name.strip_suffix(b".js").unwrap_or(name);
        qjs::js_strndup(ctx, name.as_ptr().cast(), name.len() as _)
    }
}

unsafe extern "C" fn load_module(
    ctx: *mut qjs::JSContext,
    name: *const c_char,
    _opaque: *mut c_void,
) -> *mut qjs::JSModuleDef {
    // SAFETY: the name is NUL-terminated; the bytecode is our own; a module is a pointer value.
    unsafe {
        let Some((_, bytecode)) = find(CStr::from_ptr(name).to_bytes()) else {
            qjs::JS_ThrowReferenceError(ctx, c"no module %s".as_ptr(), name);
            return std::ptr::null_mut();
        };
        let flags = qjs::JS_READ_OBJ_BYTECODE as c_int;
        let object = qjs::JS_ReadObject(ctx, bytecode.as_ptr(), bytecode.len() as _, flags);
        if qjs::JS_IsException(object) {
            return std::ptr::null_mut();
        }
        let module = qjs::JS_VALUE_GET_PTR(object).cast();
        // The context keeps its modules; this value was one more reference.
        qjs::JS_FreeValue(ctx, object);
        module
    }
}

/// Loads and evaluates a part; the answer is its namespace, or the exception.
pub fn load_part(raw: *mut qjs::JSContext, name: &str) -> qjs::JSValue {
    let Some((_, bytecode)) = find(name.as_bytes()) else {
        let text = std::ffi::CString::new(name).unwrap_or_default();
        // SAFETY: both strings are NUL-terminated.
        return unsafe { qjs::JS_ThrowReferenceError(raw, c"no part %s".as_ptr(), text.as_ptr()) };
    };
    let Some(pointer) = std::ptr::NonNull::new(raw) else { return qjs::JS_UNDEFINED };
    // SAFETY: the context is the calling script's, alive while it waits for us.
    let ctx = unsafe { Ctx::from_raw(pointer) };
    // SAFETY: the bytecode was written by this very version of QuickJS, at build time.
    let loaded = unsafe { Module::load(ctx.clone(), bytecode) }
        .and_then(|module| module.eval())
        .and_then(|(module, promise)| promise.finish::<()>().and_then(|()| module.namespace()));
    match loaded {
        // SAFETY: one more reference, which the caller of the row gets.
        Ok(namespace) => unsafe { qjs::JS_DupValue(raw, namespace.as_value().as_raw()) },
        Err(_) => qjs::JS_EXCEPTION,
    }
}

/// Declares the module `tare:sys`: a function for each row, one C function behind them all.
fn declare_sys(ctx: &Ctx<'_>) -> rquickjs::Result<()> {
    let raw = ctx.as_raw().as_ptr();
    // SAFETY: makes a module in a live context; names are NUL-terminated constants.
    unsafe {
        let module = qjs::JS_NewCModule(raw, c"tare:sys".as_ptr(), Some(fill_sys));
        if module.is_null() {
            return Err(rquickjs::Error::Exception);
        }
        for row in sys::rows() {
            qjs::JS_AddModuleExport(raw, module, row.name.as_ptr());
        }
    }
    Ok(())
}

unsafe extern "C" fn fill_sys(ctx: *mut qjs::JSContext, module: *mut qjs::JSModuleDef) -> c_int {
    for (index, row) in sys::rows().enumerate() {
        // SAFETY: `call_row` has the signature of generic_magic; the magic is the row's index.
        unsafe {
            let function = qjs::JS_NewCFunction2(
                ctx,
                std::mem::transmute::<qjs::JSCFunctionMagic, qjs::JSCFunction>(Some(call_row)),
                row.name.as_ptr(),
                0,
                qjs::JSCFunctionEnum_JS_CFUNC_generic_magic,
                index as c_int,
            );
            if qjs::JS_SetModuleExport(ctx, module, row.name.as_ptr(), function) < 0 {
                return -1;
            }
        }
    }
    0
}

unsafe extern "C" fn call_row(
    ctx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    values: *mut qjs::JSValue,
    magic: c_int,
) -> qjs::JSValue {
    let args = Arguments { ctx, count: count as usize, values };
    let Some(row) = sys::rows().nth(magic as usize) else {
        return qjs::JS_UNDEFINED;
    };
    (row.call)(&args).unwrap_or_else(|wrong| {
        let name = row.name.to_string_lossy();
        let text = std::ffi::CString::new(format!("{name}: {}", wrong.0)).unwrap_or_default();
        // SAFETY: both strings are NUL-terminated; "%s" takes one.
        unsafe { qjs::JS_ThrowTypeError(ctx, c"%s".as_ptr(), text.as_ptr()) }
    })
}
