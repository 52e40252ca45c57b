//! The border between QuickJS values and Rust: arguments in, answers out.
//!
//! A wrong argument is a `TypeError` before any system call; a failed call is the number `-errno`.
//! Pointers stay on this side: TypeScript sees numbers, strings, byte arrays and descriptors.

use rquickjs::qjs;
use std::ffi::{CString, c_char};
use std::slice;

/// What a script passed to a call that does not take it.
pub struct WrongArgument(pub String);

/// The arguments of one call from a script.
pub struct Arguments {
    pub ctx: *mut qjs::JSContext,
    pub count: usize,
    pub values: *mut qjs::JSValue,
}

impl Arguments {
    fn at(&self, index: usize) -> qjs::JSValue {
        if index >= self.count {
            return qjs::JS_UNDEFINED;
        }
        // SAFETY: QuickJS passes `count` values.
        unsafe { *self.values.add(index) }
    }

    fn is_absent(&self, index: usize) -> bool {
        let value = self.at(index);
        // SAFETY: the tag of a live value.
        let tag = unsafe { qjs::JS_VALUE_GET_TAG(value) };
        tag == qjs::JS_TAG_NULL || tag == qjs::JS_TAG_UNDEFINED
    }
}

/// An argument type of the table: how it is read and what TypeScript calls it.
pub trait Argument: Sized {
    /// Printed by the development host only.
    #[cfg_attr(not(feature = "dev"), expect(dead_code))]
    const TYPE: &'static str;
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument>;
}

fn wrong<T>(index: usize, want: &str) -> Result<T, WrongArgument> {
    Err(WrongArgument(format!("argument {}: want {want}", index + 1)))
}

/// Reads an integer exactly; a fraction or a number past 2^53 is refused.
fn integer(args: &Arguments, index: usize) -> Result<i64, WrongArgument> {
    const SAFE_MAX: f64 = 9_007_199_254_740_991.0;
    let value = args.at(index);
    let mut result = 0i64;
    // SAFETY: reads the tag and the number of a live value; a BigInt is converted modulo 2^64.
    unsafe {
        match qjs::JS_VALUE_GET_TAG(value) {
            qjs::JS_TAG_INT | qjs::JS_TAG_SHORT_BIG_INT | qjs::JS_TAG_BIG_INT => {
                if qjs::JS_ToInt64Ext(args.ctx, &mut result, value) < 0 {
                    return wrong(index, "an integer");
                }
                Ok(result)
            }
            qjs::JS_TAG_FLOAT64 => {
                let mut float = 0f64;
                qjs::JS_ToFloat64(args.ctx, &mut float, value);
                if float.fract() != 0.0 || float.abs() > SAFE_MAX {
                    return wrong(index, "an integer below 2^53, or a bigint");
                }
                Ok(float as i64)
            }
            _ => wrong(index, "an integer"),
        }
    }
}

macro_rules! integer_argument {
    ($type:ty, $name:literal) => {
        impl Argument for $type {
            const TYPE: &'static str = $name;
            fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
                <$type>::try_from(integer(args, index)?)
                    .or_else(|_| wrong(index, concat!("a number that fits ", stringify!($type))))
            }
        }
    };
}
integer_argument!(i32, "number");
integer_argument!(u32, "number");

impl Argument for u64 {
    const TYPE: &'static str = "number | bigint";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        // A negative number is its two's complement: the kernel's "-1, no limit".
        Ok(integer(args, index)? as u64)
    }
}

/// A file descriptor, or one of the kernel's special values such as `AT_FDCWD`.
#[derive(Clone, Copy)]
pub struct Fd(pub i32);

impl Argument for Fd {
    const TYPE: &'static str = "Fd";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        i32::take(args, index).map(Fd)
    }
}

/// A C string: text or bytes without NUL. A NUL would end it early, behind the back of any check.
pub struct Path(CString);

impl Path {
    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr()
    }
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn path_of(
    ctx: *mut qjs::JSContext,
    value: qjs::JSValue,
    index: usize,
) -> Result<Path, WrongArgument> {
    let bytes = match bytes_of(ctx, value) {
        Some(bytes) => bytes.to_vec(),
        None => text_of(ctx, value, index)?,
    };
    CString::new(bytes).map(Path).or_else(|_| wrong(index, "a string without NUL"))
}

fn text_of(
    ctx: *mut qjs::JSContext,
    value: qjs::JSValue,
    index: usize,
) -> Result<Vec<u8>, WrongArgument> {
    // SAFETY: the string lives until JS_FreeCString; it is copied before.
    unsafe {
        if qjs::JS_VALUE_GET_TAG(value) != qjs::JS_TAG_STRING && !qjs::JS_IsString(value) {
            return wrong(index, "a string or a Uint8Array");
        }
        let mut length = 0;
        let text = qjs::JS_ToCStringLen2(ctx, &mut length, value, false);
        if text.is_null() {
            return wrong(index, "a string");
        }
        let copy = slice::from_raw_parts(text.cast::<u8>(), length as usize).to_vec();
        qjs::JS_FreeCString(ctx, text);
        Ok(copy)
    }
}

/// The memory of a Uint8Array, until the call returns: no script runs in between.
fn bytes_of<'a>(ctx: *mut qjs::JSContext, value: qjs::JSValue) -> Option<&'a mut [u8]> {
    // SAFETY: JS_GetUint8Array is asked only of a value whose type was checked.
    unsafe {
        if qjs::JS_GetTypedArrayType(value) != qjs::JSTypedArrayEnum_JS_TYPED_ARRAY_UINT8 as i32 {
            return None;
        }
        let mut length = 0;
        let start = qjs::JS_GetUint8Array(ctx, &mut length, value);
        if start.is_null() {
            return Some(&mut []);
        }
        Some(slice::from_raw_parts_mut(start, length as usize))
    }
}

impl Argument for Path {
    const TYPE: &'static str = "string | Uint8Array";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        path_of(args.ctx, args.at(index), index)
    }
}

impl Argument for Option<Path> {
    const TYPE: &'static str = "string | Uint8Array | null";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        if args.is_absent(index) { Ok(None) } else { Path::take(args, index).map(Some) }
    }
}

/// The pointer of an optional C string: NULL where it is absent.
pub fn pointer(path: &Option<Path>) -> *const c_char {
    path.as_ref().map_or(std::ptr::null(), Path::as_ptr)
}

/// A string as its UTF-8 bytes, NUL allowed.
pub struct Text(pub Vec<u8>);

/// The context of the calling script, for rows that make values of their own.
pub struct Caller(pub *mut qjs::JSContext);

impl Argument for Caller {
    /// No parameter of the call.
    const TYPE: &'static str = "";
    fn take(args: &Arguments, _index: usize) -> Result<Self, WrongArgument> {
        Ok(Caller(args.ctx))
    }
}

impl Argument for Text {
    const TYPE: &'static str = "string";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        text_of(args.ctx, args.at(index), index).map(Text)
    }
}

/// Bytes that the kernel reads or writes, in the caller's buffer.
pub struct Buffer(&'static mut [u8]);

impl Buffer {
    pub fn bytes(&self) -> &[u8] {
        self.0
    }
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
    pub fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Argument for Buffer {
    const TYPE: &'static str = "Uint8Array";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        match bytes_of(args.ctx, args.at(index)) {
            Some(bytes) => Ok(Buffer(bytes)),
            None => wrong(index, "a Uint8Array"),
        }
    }
}

impl Argument for Option<Buffer> {
    const TYPE: &'static str = "Uint8Array | null";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        if args.is_absent(index) { Ok(None) } else { Buffer::take(args, index).map(Some) }
    }
}

/// An Int32Array that the kernel reads or fills: pairs of descriptors, poll sets, wait statuses.
pub struct Ints(&'static mut [i32]);

impl Ints {
    pub fn values(&mut self) -> &mut [i32] {
        self.0
    }
}

impl Argument for Ints {
    const TYPE: &'static str = "Int32Array";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        let value = args.at(index);
        let (mut offset, mut length, mut size, mut total) = (0, 0, 0, 0);
        // SAFETY: the type is checked first; offset and length are those of this view.
        unsafe {
            if qjs::JS_GetTypedArrayType(value) != qjs::JSTypedArrayEnum_JS_TYPED_ARRAY_INT32 as i32
            {
                return wrong(index, "an Int32Array");
            }
            let buffer =
                qjs::JS_GetTypedArrayBuffer(args.ctx, value, &mut offset, &mut length, &mut size);
            let start = qjs::JS_GetArrayBuffer(args.ctx, &mut total, buffer);
            qjs::JS_FreeValue(args.ctx, buffer);
            if start.is_null() {
                return Ok(Ints(&mut []));
            }
            let first = start.add(offset as usize).cast::<i32>();
            Ok(Ints(slice::from_raw_parts_mut(first, length as usize / size_of::<i32>())))
        }
    }
}

/// A list of C strings, as for `argv` and `envp`.
pub struct PathList(Vec<Path>);

impl PathList {
    /// The NULL-terminated array that execve takes; it points into this list.
    pub fn pointers(&self) -> Vec<*const c_char> {
        self.0.iter().map(Path::as_ptr).chain([std::ptr::null()]).collect()
    }
}

impl Argument for PathList {
    const TYPE: &'static str = "readonly (string | Uint8Array)[]";
    fn take(args: &Arguments, index: usize) -> Result<Self, WrongArgument> {
        let list = args.at(index);
        let mut length = 0i64;
        // SAFETY: reads the elements of a live array, each freed after its copy.
        unsafe {
            if !qjs::JS_IsArray(list) || qjs::JS_GetLength(args.ctx, list, &mut length) < 0 {
                return wrong(index, "an array of strings");
            }
            let mut paths = Vec::with_capacity(length as usize);
            for position in 0..length as u32 {
                let element = qjs::JS_GetPropertyUint32(args.ctx, list, position);
                let path = path_of(args.ctx, element, index);
                qjs::JS_FreeValue(args.ctx, element);
                paths.push(path?);
            }
            Ok(PathList(paths))
        }
    }
}

/// Refuses a buffer too small for what the kernel writes.
pub fn room(length: usize, want: usize) -> Result<(), WrongArgument> {
    if length < want {
        return Err(WrongArgument(format!("want room for {want}, got {length}")));
    }
    Ok(())
}

/// A result type of the table: how it is given back and what TypeScript calls it.
pub trait Answer {
    /// Printed by the development host only.
    #[cfg_attr(not(feature = "dev"), expect(dead_code))]
    const TYPE: &'static str;
    fn give(self, ctx: *mut qjs::JSContext) -> qjs::JSValue;
}

fn number(value: i64) -> qjs::JSValue {
    match i32::try_from(value) {
        Ok(small) => qjs::JS_MKVAL(qjs::JS_TAG_INT, small),
        // SAFETY: makes a plain float value.
        Err(_) => qjs::JS_NewFloat64(value as f64),
    }
}

/// A count, a pid or a status, or `-errno`.
pub struct Count(pub i64);
impl Answer for Count {
    const TYPE: &'static str = "Ret<number>";
    fn give(self, _ctx: *mut qjs::JSContext) -> qjs::JSValue {
        number(self.0)
    }
}

/// A new descriptor or `-errno`.
pub struct NewFd(pub i64);
impl Answer for NewFd {
    const TYPE: &'static str = "Ret<Fd>";
    fn give(self, _ctx: *mut qjs::JSContext) -> qjs::JSValue {
        number(self.0)
    }
}

/// Zero or `-errno`.
pub struct Done(pub i64);
impl Answer for Done {
    const TYPE: &'static str = "Ret<void>";
    fn give(self, _ctx: *mut qjs::JSContext) -> qjs::JSValue {
        number(self.0)
    }
}

/// A call that cannot fail.
pub struct Plain(pub i64);
impl Answer for Plain {
    const TYPE: &'static str = "number";
    fn give(self, _ctx: *mut qjs::JSContext) -> qjs::JSValue {
        number(self.0)
    }
}

/// A 64-bit value that must stay exact.
pub struct Exact(pub i64);
impl Answer for Exact {
    const TYPE: &'static str = "bigint";
    fn give(self, ctx: *mut qjs::JSContext) -> qjs::JSValue {
        // SAFETY: `ctx` is the calling context.
        unsafe { qjs::JS_NewBigInt64(ctx, self.0) }
    }
}

/// New bytes, owned by the script.
pub struct Bytes(pub Vec<u8>);
impl Answer for Bytes {
    const TYPE: &'static str = "Uint8Array";
    fn give(self, ctx: *mut qjs::JSContext) -> qjs::JSValue {
        // SAFETY: QuickJS copies the bytes.
        unsafe { qjs::JS_NewUint8ArrayCopy(ctx, self.0.as_ptr(), self.0.len() as _) }
    }
}

fn js_string(ctx: *mut qjs::JSContext, text: &str) -> qjs::JSValue {
    // SAFETY: QuickJS copies the text, which is UTF-8.
    unsafe { qjs::JS_NewStringLen(ctx, text.as_ptr().cast(), text.len() as _) }
}

/// Text, or null where the bytes are not UTF-8.
pub struct MaybeText(pub Option<String>);
impl Answer for MaybeText {
    const TYPE: &'static str = "string | null";
    fn give(self, ctx: *mut qjs::JSContext) -> qjs::JSValue {
        self.0.map_or(qjs::JS_NULL, |text| js_string(ctx, &text))
    }
}

/// A list of texts.
pub struct Texts(pub Vec<String>);
impl Answer for Texts {
    const TYPE: &'static str = "readonly string[]";
    fn give(self, ctx: *mut qjs::JSContext) -> qjs::JSValue {
        // SAFETY: fills a new array; JS_SetPropertyUint32 takes each value over.
        unsafe {
            let list = qjs::JS_NewArray(ctx);
            for (index, text) in self.0.iter().enumerate() {
                qjs::JS_SetPropertyUint32(ctx, list, index as u32, js_string(ctx, text));
            }
            list
        }
    }
}

/// A value made by the script engine itself; the caller says what it is.
pub struct Made(pub qjs::JSValue);
impl Answer for Made {
    const TYPE: &'static str = "unknown";
    fn give(self, _ctx: *mut qjs::JSContext) -> qjs::JSValue {
        self.0
    }
}
