//! QuickJS, the embedded programs in it, and what happens when one throws.

use crate::js::Arguments;
use crate::{heap, seal, sys};
use rquickjs::qjs;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::raw::{c_char, c_int, c_void};
use std::ptr;

include!(concat!(env!("OUT_DIR"), "/programs.rs"));

/// A script that throws is a fault of ours: programs catch what they expect.
const EXIT_UNCAUGHT: c_int = 70;
const EXIT_NO_PROGRAM: c_int = 64;
const EXIT_UNSEALED: c_int = 1;

/// Runs the embedded program that the command line names.
pub fn run(argv: *const *const c_char) -> c_int {
    let Some(program) = chosen() else {
        let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).filter(is_program).collect();
        complain(&format!("Cannot tell which program to be: want one of {}", names.join(", ")));
        return EXIT_NO_PROGRAM;
    };
    let name = PROGRAMS[program].0;
    if wants_seal(name)
        && let Err(why) = seal::ensure(argv)
    {
        complain(&format!("{name}: {why}"));
        return EXIT_UNSEALED;
    }
    call(program).unwrap_or_else(|error| {
        complain(&format!("{name}: uncaught {error}"));
        EXIT_UNCAUGHT
    })
}

/// Loads some programs, then writes this executable with them in its heap: `--keep-heap FILE NAME...`,
/// at build time. The others are read from their bytecode when they are asked for: what is in the heap
/// costs memory, since the kernel maps pages around each one that is touched.
pub fn keep(file: &str) -> c_int {
    const FIRST_NAME: usize = 3;
    let kept = start().and_then(|ctx| {
        for name in (FIRST_NAME..).map_while(sys::word) {
            let name = name.to_string_lossy();
            let program =
                find(name.as_bytes()).ok_or_else(|| format!("{name}: no such program"))?;
            let namespace = load(ctx, program).map_err(|why| format!("{name}: {why}"))?;
            heap::remember(program, namespace);
        }
        heap::close();
        heap::keep(file)
    });
    match kept {
        Ok(()) => 0,
        Err(why) => {
            complain(&format!("{file}: {why}"));
            EXIT_UNCAUGHT
        }
    }
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
const PROGRAM_PREFIX: &str = "tare-";
const PART_SEPARATOR: char = '~';

fn is_program(name: &&str) -> bool {
    name.starts_with(PROGRAM_PREFIX) && !name.contains(PART_SEPARATOR)
}

fn find(name: &[u8]) -> Option<usize> {
    PROGRAMS.iter().position(|(program, _)| program.as_bytes() == name)
}

/// The program named like the executable; else like the first argument; else the build's default.
fn chosen() -> Option<usize> {
    let named = |word: &CStr| {
        let name = word.to_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        find(name).filter(|program| is_program(&PROGRAMS[*program].0))
    };
    sys::word(0)
        .and_then(named)
        .or_else(|| sys::word(1).and_then(named))
        .or_else(|| find(DEFAULT.as_bytes()))
}

/// Calls the `main` of a program; the answer is the exit status.
fn call(program: usize) -> Result<c_int, String> {
    if heap::is_kept() {
        return call_kept(program, c"main", None);
    }
    let ctx = start()?;
    call_export(ctx, load(ctx, program)?, c"main", None)
}

/// Calls an export of a program that was kept.
fn call_kept(program: usize, name: &CStr, bytes: Option<&[u8]>) -> Result<c_int, String> {
    heap::begin();
    // SAFETY: the context was kept with everything that it names.
    unsafe { qjs::JS_UpdateStackTop(qjs::JS_GetRuntime(heap::context())) };
    let namespace = match heap::recall(program) {
        Some(namespace) => namespace,
        None => load(heap::context(), program)?,
    };
    call_export(heap::context(), namespace, name, bytes)
}

/// Forgets all that scripts made and calls `resume` of the program with some bytes; does not return
/// but where there is no heap to begin again with, with -ENOSYS.
pub fn restart(bytes: &[u8]) -> i64 {
    let (true, Some(program)) = (heap::is_kept(), chosen()) else {
        return -i64::from(libc::ENOSYS);
    };
    let copy = bytes.to_vec();
    // SAFETY: whoever called us is of the heap that goes; nothing returns to it.
    unsafe { heap::reset() };
    let status = call_kept(program, c"resume", Some(&copy)).unwrap_or_else(|error| {
        complain(&format!("{}: uncaught {error}", PROGRAMS[program].0));
        EXIT_UNCAUGHT
    });
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// Calls an export of a module, which is given the bytes; the answer is the exit status.
fn call_export(
    ctx: *mut qjs::JSContext,
    namespace: qjs::JSValue,
    name: &CStr,
    bytes: Option<&[u8]>,
) -> Result<c_int, String> {
    let mut status = 0;
    // SAFETY: the values are live; what is thrown is taken by `explain`. Nothing is given back: the
    // process ends now.
    unsafe {
        let main = qjs::JS_GetPropertyStr(ctx, namespace, name.as_ptr());
        let mut argument = match bytes {
            Some(bytes) => qjs::JS_NewUint8ArrayCopy(ctx, bytes.as_ptr(), bytes.len() as _),
            None => qjs::JS_UNDEFINED,
        };
        let answer = qjs::JS_Call(ctx, main, qjs::JS_UNDEFINED, 1, &mut argument);
        if qjs::JS_IsException(answer) || qjs::JS_ToInt32(ctx, &mut status, answer) < 0 {
            return Err(explain(ctx));
        }
    }
    Ok(status)
}

/// Runs a module from its source, for tests.
#[cfg(feature = "dev")]
pub fn run_source(file: &str, source: Vec<u8>) -> Result<(), String> {
    let ctx = start()?;
    let name = CString::new(file).map_err(|why| why.to_string())?;
    let length = source.len();
    let source = CString::new(source).map_err(|why| why.to_string())?;
    let kind = qjs::JS_EVAL_TYPE_MODULE as c_int;
    // SAFETY: both strings end with NUL; the engine copies what it needs.
    let promise = unsafe {
        qjs::JS_AddIntrinsicEval(ctx);
        qjs::JS_Eval(ctx, source.as_ptr(), length as _, name.as_ptr(), kind)
    };
    finish(ctx, promise)
}

/// Makes an engine in a heap of its own, with `tare:sys` declared.
fn start() -> Result<*mut qjs::JSContext, String> {
    heap::make()?;
    let none = || "the engine cannot be made".to_string();
    // SAFETY: plain calls on what the call before made; each is checked.
    unsafe {
        let runtime = qjs::JS_NewRuntime2(&heap::FUNCTIONS, ptr::null_mut());
        if runtime.is_null() {
            return Err(none());
        }
        // These programs live for milliseconds: a collection would cost more than it frees.
        qjs::JS_SetGCThreshold(runtime, u64::MAX as _);
        qjs::JS_SetModuleLoaderFunc(runtime, Some(normalize), Some(load_module), ptr::null_mut());
        let ctx = qjs::JS_NewContextRaw(runtime);
        if ctx.is_null() {
            return Err(none());
        }
        qjs::JS_AddIntrinsicBaseObjects(ctx);
        qjs::JS_AddIntrinsicJSON(ctx);
        qjs::JS_AddIntrinsicMapSet(ctx);
        qjs::JS_AddIntrinsicPromise(ctx);
        qjs::JS_AddIntrinsicTypedArrays(ctx);
        qjs::JS_AddIntrinsicRegExp(ctx);
        qjs::JS_AddIntrinsicDate(ctx);
        qjs::JS_AddIntrinsicProxy(ctx);
        heap::set_context(ctx);
        declare_sys(ctx)?;
        Ok(ctx)
    }
}

/// What was thrown, as one line, with the place where debug data has it.
fn explain(ctx: *mut qjs::JSContext) -> String {
    // SAFETY: takes the exception that is pending; reads properties of it as text.
    unsafe {
        let thrown = qjs::JS_GetException(ctx);
        let of = |name: &CStr| text(ctx, qjs::JS_GetPropertyStr(ctx, thrown, name.as_ptr()));
        if !qjs::JS_IsObject(thrown) {
            return text(ctx, thrown);
        }
        format!("{}: {} {}", of(c"name"), of(c"message"), of(c"stack")).replace('\n', " ")
    }
}

/// A value as text; nothing where it has none.
fn text(ctx: *mut qjs::JSContext, value: qjs::JSValue) -> String {
    // SAFETY: the text lives until it is freed; it is copied before.
    unsafe {
        let mut length = 0;
        let start = qjs::JS_ToCStringLen2(ctx, &mut length, value, false);
        if start.is_null() {
            return String::new();
        }
        let bytes = std::slice::from_raw_parts(start.cast::<u8>(), length as usize);
        let copy = String::from_utf8_lossy(bytes).into_owned();
        qjs::JS_FreeCString(ctx, start);
        copy
    }
}

fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", line.trim_end());
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
    // SAFETY: the name is NUL-terminated; a module is a pointer value, which the context keeps.
    unsafe {
        let Some(program) = find(CStr::from_ptr(name).to_bytes()) else {
            qjs::JS_ThrowReferenceError(ctx, c"no module %s".as_ptr(), name);
            return ptr::null_mut();
        };
        let object = read(ctx, program);
        if qjs::JS_IsException(object) {
            return ptr::null_mut();
        }
        let module = qjs::JS_VALUE_GET_PTR(object).cast();
        qjs::JS_FreeValue(ctx, object);
        module
    }
}

/// The module that the bytecode of a program is; not evaluated.
fn read(ctx: *mut qjs::JSContext, program: usize) -> qjs::JSValue {
    let (_, bytecode) = PROGRAMS[program];
    let flags = qjs::JS_READ_OBJ_BYTECODE as c_int;
    // SAFETY: the bytecode was written by this very version of QuickJS, at build time.
    unsafe { qjs::JS_ReadObject(ctx, bytecode.as_ptr(), bytecode.len() as _, flags) }
}

/// Loads and evaluates a module; the answer is its namespace.
fn load(ctx: *mut qjs::JSContext, program: usize) -> Result<qjs::JSValue, String> {
    // SAFETY: values are checked before use; JS_EvalFunction takes the module over, the context
    // keeps it.
    unsafe {
        let object = read(ctx, program);
        if qjs::JS_IsException(object) || qjs::JS_ResolveModule(ctx, object) < 0 {
            return Err(explain(ctx));
        }
        let module = qjs::JS_VALUE_GET_PTR(object).cast();
        finish(ctx, qjs::JS_EvalFunction(ctx, object))?;
        Ok(qjs::JS_GetModuleNamespace(ctx, module))
    }
}

/// Runs what waits until a module's promise is settled.
fn finish(ctx: *mut qjs::JSContext, promise: qjs::JSValue) -> Result<(), String> {
    // SAFETY: the promise is live; what it was rejected with is thrown again to be explained.
    unsafe {
        if qjs::JS_IsException(promise) {
            return Err(explain(ctx));
        }
        let mut other = ptr::null_mut();
        while qjs::JS_ExecutePendingJob(qjs::JS_GetRuntime(ctx), &mut other) > 0 {}
        if qjs::JS_PromiseState(ctx, promise) == qjs::JSPromiseStateEnum_JS_PROMISE_REJECTED {
            qjs::JS_Throw(ctx, qjs::JS_PromiseResult(ctx, promise));
            return Err(explain(ctx));
        }
        qjs::JS_FreeValue(ctx, promise);
        Ok(())
    }
}

/// The namespace of a part, which is evaluated where it was not kept; or the exception.
pub fn load_part(ctx: *mut qjs::JSContext, name: &str) -> qjs::JSValue {
    let refuse = |why: &str| {
        let text = CString::new(format!("{name}: {why}")).unwrap_or_default();
        // SAFETY: both strings are NUL-terminated.
        unsafe { qjs::JS_ThrowReferenceError(ctx, c"%s".as_ptr(), text.as_ptr()) }
    };
    let Some(part) = find(name.as_bytes()) else { return refuse("no such part") };
    let namespace = match heap::recall(part) {
        Some(namespace) => namespace,
        None => match load(ctx, part) {
            Ok(namespace) => {
                heap::remember(part, namespace);
                namespace
            }
            Err(why) => return refuse(&why),
        },
    };
    // SAFETY: one more reference, which the caller of the row gets.
    unsafe { qjs::JS_DupValue(ctx, namespace) }
}

/// Declares the module `tare:sys`: a function for each row, one C function behind them all.
fn declare_sys(ctx: *mut qjs::JSContext) -> Result<(), String> {
    // SAFETY: makes a module in a live context; names are NUL-terminated constants.
    unsafe {
        let module = qjs::JS_NewCModule(ctx, c"tare:sys".as_ptr(), Some(fill_sys));
        if module.is_null() {
            return Err(explain(ctx));
        }
        for row in sys::rows() {
            qjs::JS_AddModuleExport(ctx, module, row.name.as_ptr());
        }
    }
    Ok(())
}

unsafe extern "C" fn fill_sys(ctx: *mut qjs::JSContext, module: *mut qjs::JSModuleDef) -> c_int {
    for (area, (_, rows)) in sys::AREAS.iter().enumerate() {
        for (index, row) in rows.iter().enumerate() {
            // SAFETY: `call_row` has the signature of generic_magic.
            unsafe {
                let function = qjs::JS_NewCFunction2(
                    ctx,
                    std::mem::transmute::<qjs::JSCFunctionMagic, qjs::JSCFunction>(Some(call_row)),
                    row.name.as_ptr(),
                    0,
                    qjs::JSCFunctionEnum_JS_CFUNC_generic_magic,
                    (area << AREA_SHIFT | index) as c_int,
                );
                if qjs::JS_SetModuleExport(ctx, module, row.name.as_ptr(), function) < 0 {
                    return -1;
                }
            }
        }
    }
    0
}

/// A row by a number of 16 bits, which is what the engine keeps beside a function.
const AREA_SHIFT: usize = 8;

unsafe extern "C" fn call_row(
    ctx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    count: c_int,
    values: *mut qjs::JSValue,
    magic: c_int,
) -> qjs::JSValue {
    let args = Arguments { ctx, count: count as usize, values };
    let number = magic as usize;
    let row = &sys::AREAS[number >> AREA_SHIFT].1[number & ((1 << AREA_SHIFT) - 1)];
    (row.call)(&args).unwrap_or_else(|wrong| {
        let name = row.name.to_string_lossy();
        let text = CString::new(format!("{name}: {}", wrong.0)).unwrap_or_default();
        // SAFETY: both strings are NUL-terminated; "%s" takes one.
        unsafe { qjs::JS_ThrowTypeError(ctx, c"%s".as_ptr(), text.as_ptr()) }
    })
}
