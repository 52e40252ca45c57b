//! The memory that scripts live in. It begins at a fixed address, so that a heap with all programs
//! loaded can be kept in the executable at build time: the kernel maps it with the rest of the file,
//! and a start neither makes an engine nor reads bytecode. What is allocated later is mapped where
//! the kernel likes.
//!
//! Kept is what lies between `BASE` and the end of what was in use. Addresses in it are those of this
//! very executable, which therefore is not position-independent, and of itself; that nothing else is
//! named is checked when it is made.

use rquickjs::qjs;
use std::fs;
use std::os::raw::c_void;
use std::ptr;

/// Above an executable that is linked for its default address and the gigabyte behind it in which the
/// kernel may begin its brk(2) area; far below everything else.
const BASE: usize = 0x1_0000_0000;
/// For the heap that is being made; most of it is never touched.
const ROOM_BYTES: usize = 64 << 20;
/// What is asked of the kernel at a time once a program runs.
const CHUNK_BYTES: usize = 256 << 10;
const PAGE_BYTES: usize = 4096;
const ALIGNMENT: usize = 16;

/// Sizes up to here are multiples of `FINE_STEP`; above, powers of two and the halves between.
const FINE_BYTES: usize = 8192;
const FINE_STEP: usize = 64;
const FINE_CLASSES: usize = FINE_BYTES / FINE_STEP;
const CLASSES: usize = FINE_CLASSES + 2 * 40;
const ENTRIES_MAX: usize = 256;

/// What the heap begins with.
#[repr(C)]
struct Head {
    /// From here to `end` nothing was handed out yet.
    next: usize,
    end: usize,
    /// Blocks that were given back, by class: each holds the address of the one after it.
    free: [usize; CLASSES],
    /// What was mapped since: the address of the last piece, which names the one before it.
    pieces: usize,
    context: *mut qjs::JSContext,
    entries: usize,
    entry: [(usize, qjs::JSValue); ENTRIES_MAX],
}

/// Before each block: its class.
#[repr(C, align(16))]
struct Before {
    class: usize,
}

pub const FUNCTIONS: qjs::JSMallocFunctions = qjs::JSMallocFunctions {
    js_calloc: Some(calloc),
    js_malloc: Some(malloc),
    js_free: Some(free),
    js_realloc: Some(realloc),
    js_malloc_usable_size: Some(usable_size),
};

fn head() -> *mut Head {
    ptr::with_exposed_provenance_mut(BASE)
}

/// What the executable is mapped from.
fn segments() -> impl Iterator<Item = &'static libc::Elf64_Phdr> {
    // SAFETY: the kernel gives every process its program headers.
    let headers = unsafe {
        let first = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        std::slice::from_raw_parts(first, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    headers.iter().filter(|it| it.p_type == libc::PT_LOAD)
}

/// The bytes of the heap that this executable has in it; 0 where it has none.
fn kept_bytes() -> usize {
    segments().find(|it| it.p_vaddr as usize == BASE).map_or(0, |it| it.p_memsz as usize)
}

/// Whether this executable has a heap in it: a segment of its own at the address.
pub fn is_kept() -> bool {
    kept_bytes() > 0
}

#[cfg(feature = "shipped")]
unsafe extern "C" {
    /// engine/kept.h: how much of the heap lives as long as the process.
    static mut tare_kept_bytes: usize;
    /// The engine's part of `close`.
    fn tare_close(runtime: *mut qjs::JSRuntime);
}

/// To be called before anything of the kept heap is used.
pub fn begin() {
    // SAFETY: this process has one thread.
    #[cfg(feature = "shipped")]
    unsafe {
        tare_kept_bytes = kept_bytes();
    }
}

/// Gives pages back: what a private mapping of a file had written to them is gone, the file's bytes
/// are there again.
///
/// # Safety
/// Nothing that was written there may be needed any more.
unsafe fn give_back(start: usize, bytes: usize) {
    let from = start & !(PAGE_BYTES - 1);
    let length = (start + bytes).next_multiple_of(PAGE_BYTES) - from;
    // SAFETY: the range is mapped; the caller vouches for its content.
    unsafe { libc::madvise(ptr::with_exposed_provenance_mut(from), length, libc::MADV_DONTNEED) };
}

/// The heap as it was kept: everything that scripts made since is gone.
///
/// # Safety
/// No value of a script may be used any more.
pub unsafe fn reset() {
    // SAFETY: each piece begins with the address of the one before it and its own size.
    unsafe {
        let mut piece = (*head()).pieces;
        while piece != 0 {
            let [before, bytes] = *ptr::with_exposed_provenance::<[usize; 2]>(piece);
            libc::munmap(ptr::with_exposed_provenance_mut(piece), bytes);
            piece = before;
        }
        give_back(BASE, kept_bytes());
    }
}

/// Gives back every page that is the same in the executable: of the heap, those that `pagemap`, the
/// file of /proc/self, says were not written; it is closed. They are read again when they are needed.
pub fn rest(pagemap: i32) {
    rest_heap(pagemap);
    // SAFETY: who calls gave the descriptor away.
    unsafe { libc::close(pagemap) };
    // Last: the pages that run from here on are mapped again at once.
    for it in segments().filter(|it| it.p_flags & libc::PF_W == 0) {
        // SAFETY: nothing can have been written there.
        unsafe { give_back(it.p_vaddr as usize, it.p_memsz as usize) };
    }
}

fn rest_heap(pagemap: i32) {
    const OF_FILE: u64 = 1 << 61;
    let mut pages = vec![0u64; kept_bytes() / PAGE_BYTES];
    let bytes = size_of_val(&pages[..]);
    let offset = BASE / PAGE_BYTES * size_of::<u64>();
    // SAFETY: reads at most as many bytes as there is room for.
    let read = unsafe { libc::pread(pagemap, pages.as_mut_ptr().cast(), bytes, offset as i64) };
    if read != bytes as isize {
        return;
    }
    for (index, _) in pages.iter().enumerate().filter(|(_, page)| **page & OF_FILE != 0) {
        // SAFETY: a page of the file, which nobody has written to.
        unsafe { give_back(BASE + index * PAGE_BYTES, PAGE_BYTES) };
    }
}

/// Maps an empty heap, for an engine that is made now.
pub fn make() -> Result<(), String> {
    let kind =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE | libc::MAP_NORESERVE;
    // SAFETY: maps where nothing is mapped; the flag says so to the kernel.
    let place = unsafe {
        libc::mmap(head().cast(), ROOM_BYTES, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0)
    };
    if place as usize != BASE {
        return Err(format!(
            "Cannot make a heap at {BASE:#x}: {}",
            std::io::Error::last_os_error()
        ));
    }
    // SAFETY: the head lies in what was just mapped, all zero, which is a valid one.
    unsafe {
        (*head()).next = BASE + size_of::<Head>().next_multiple_of(ALIGNMENT);
        (*head()).end = BASE + ROOM_BYTES;
    }
    Ok(())
}

/// The context that was kept.
pub fn context() -> *mut qjs::JSContext {
    // SAFETY: callers ask only where a heap is kept, or was made.
    unsafe { (*head()).context }
}

pub fn set_context(context: *mut qjs::JSContext) {
    // SAFETY: as above.
    unsafe { (*head()).context = context }
}

/// Keeps a value under the number of a program.
pub fn remember(program: usize, value: qjs::JSValue) {
    // SAFETY: as above; the index is checked by the array.
    unsafe {
        let head = &mut *head();
        head.entry[head.entries] = (program, value);
        head.entries += 1;
    }
}

/// The value that was kept under the number of a program.
pub fn recall(program: usize) -> Option<qjs::JSValue> {
    // SAFETY: as above.
    let head = unsafe { &*head() };
    head.entry[..head.entries].iter().find(|(number, _)| *number == program).map(|(_, it)| *it)
}

fn class_of(bytes: usize) -> usize {
    if bytes <= FINE_BYTES {
        return bytes.div_ceil(FINE_STEP) - 1;
    }
    let power = bytes.ilog2() as usize;
    let middle = (1 << power) + (1 << (power - 1));
    let above = FINE_CLASSES + 2 * (power - FINE_BYTES.ilog2() as usize);
    if bytes == 1 << power {
        above - 1
    } else if bytes <= middle {
        above
    } else {
        above + 1
    }
}

fn bytes_of(class: usize) -> usize {
    if class < FINE_CLASSES {
        return (class + 1) * FINE_STEP;
    }
    let step = class - FINE_CLASSES;
    let power = 1usize << (FINE_BYTES.ilog2() as usize + step / 2);
    if step.is_multiple_of(2) { power + power / 2 } else { power * 2 }
}

/// A block for `size` bytes with what stands before it; null where there is no memory.
fn take(size: usize) -> *mut c_void {
    take_or_reuse(size).0
}

/// The same, and whether somebody had it before: else it is as the kernel gave it, all zero.
fn take_or_reuse(size: usize) -> (*mut c_void, bool) {
    let Some(bytes) = size.checked_add(size_of::<Before>()).filter(|it| *it < 1 << 40) else {
        return (ptr::null_mut(), false);
    };
    let class = class_of(bytes);
    // SAFETY: the head is ours, this process has one thread; blocks come from memory that is mapped.
    unsafe {
        let head = &mut *head();
        let block = head.free[class];
        if block != 0 {
            head.free[class] = *ptr::with_exposed_provenance::<usize>(block);
            return (ptr::with_exposed_provenance_mut(block), true);
        }
        let bytes = bytes_of(class);
        if bytes > head.end - head.next && !more(head, bytes) {
            return (ptr::null_mut(), false);
        }
        let before = ptr::with_exposed_provenance_mut::<Before>(head.next);
        head.next += bytes;
        (*before).class = class;
        (before.add(1).cast(), false)
    }
}

/// Asks the kernel for memory; what is left of the present piece is given up.
fn more(head: &mut Head, bytes: usize) -> bool {
    let size = (bytes + ALIGNMENT).max(CHUNK_BYTES).next_multiple_of(PAGE_BYTES);
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping where the kernel likes.
    let place = unsafe {
        libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0)
    };
    if place == libc::MAP_FAILED {
        return false;
    }
    let piece = place.expose_provenance();
    // SAFETY: the piece is larger than that.
    unsafe { place.cast::<[usize; 2]>().write([head.pieces, size]) };
    head.pieces = piece;
    head.next = piece + ALIGNMENT;
    head.end = piece + size;
    true
}

/// How many bytes a block has room for.
///
/// # Safety
/// `block` is one of ours.
unsafe fn room(block: *const c_void) -> usize {
    // SAFETY: what stands before a block of ours.
    bytes_of(unsafe { (*block.cast::<Before>().sub(1)).class }) - size_of::<Before>()
}

unsafe extern "C" fn malloc(_opaque: *mut c_void, size: qjs::size_t) -> *mut c_void {
    take(size as usize)
}

unsafe extern "C" fn calloc(
    _opaque: *mut c_void,
    count: qjs::size_t,
    size: qjs::size_t,
) -> *mut c_void {
    let Some(bytes) = (count as usize).checked_mul(size as usize) else { return ptr::null_mut() };
    let (block, reused) = take_or_reuse(bytes);
    if reused {
        // SAFETY: the block has room for them.
        unsafe { block.write_bytes(0, bytes) };
    }
    block
}

unsafe extern "C" fn free(_opaque: *mut c_void, block: *mut c_void) {
    if block.is_null() {
        return;
    }
    // SAFETY: QuickJS gives back what it got from us, once.
    unsafe {
        let class = (*block.cast::<Before>().sub(1)).class;
        *block.cast::<usize>() = (*head()).free[class];
        (*head()).free[class] = block.expose_provenance();
    }
}

unsafe extern "C" fn realloc(
    opaque: *mut c_void,
    block: *mut c_void,
    size: qjs::size_t,
) -> *mut c_void {
    // SAFETY: as in `free`; a null block is a new one, as realloc(3) has it.
    unsafe {
        if block.is_null() {
            return take(size as usize);
        }
        let had = room(block);
        if size as usize <= had {
            return block;
        }
        let larger = take(size as usize);
        if !larger.is_null() {
            larger.copy_from_nonoverlapping(block, had);
            free(opaque, block);
        }
        larger
    }
}

unsafe extern "C" fn usable_size(block: *const c_void) -> qjs::size_t {
    // SAFETY: QuickJS asks for blocks of ours, and for null.
    if block.is_null() { 0 } else { (unsafe { room(block) }) as qjs::size_t }
}

/// Nothing that was given back is handed out again: what is allocated once a program runs lies together
/// in new memory, not in holes of pages that would be copied for it.
pub fn close() {
    // SAFETY: the head and the runtime are ours, this process has one thread.
    unsafe {
        (*head()).free = [0; CLASSES];
        #[cfg(feature = "shipped")]
        tare_close(qjs::JS_GetRuntime(context()));
    }
}

/// Writes this executable with the heap as a segment of its own, in place of its notes.
pub fn keep(file: &str) -> Result<(), String> {
    // SAFETY: what is in use of the heap that was made.
    let used = unsafe {
        (*head()).next = (*head()).next.next_multiple_of(PAGE_BYTES);
        (*head()).end = (*head()).next;
        std::slice::from_raw_parts(head().cast::<u8>(), (*head()).next - BASE)
    };
    check_addresses(used)?;
    let mut program = fs::read("/proc/self/exe").map_err(|why| why.to_string())?;
    program.resize(program.len().next_multiple_of(PAGE_BYTES), 0);
    let offset = program.len();
    let size = size_of::<libc::Elf64_Phdr>();
    let first = usize::from_le_bytes(program[32..40].try_into().map_err(|_| "no ELF header")?);
    let count = u16::from_le_bytes([program[56], program[57]]) as usize;
    let notes = (0..count)
        .map(|index| first + index * size)
        .find(|at| program[*at..*at + 4] == libc::PT_NOTE.to_le_bytes())
        .ok_or("the executable has no notes whose place could be taken")?;
    let flags = libc::PF_R | libc::PF_W;
    let header = [
        u64::from(libc::PT_LOAD) | u64::from(flags) << 32,
        offset as u64,
        BASE as u64,
        BASE as u64,
        used.len() as u64,
        used.len() as u64,
        PAGE_BYTES as u64,
    ];
    let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    program[notes..notes + size].copy_from_slice(&bytes);
    program.extend_from_slice(used);
    fs::write(file, program).map_err(|why| format!("Cannot write {file:?}: {why}"))
}

/// Whatever the kernel places for this process will be elsewhere next time: nothing may name it, but
/// the bounds of the stack in the runtime, which are set at each start. The brk(2) area is not looked
/// for, since its addresses may be small numbers: the build has malloc(3) keep out of it.
fn check_addresses(used: &[u8]) -> Result<(), String> {
    const STACK_BOUNDS: usize = 2;
    let maps = fs::read_to_string("/proc/self/maps").map_err(|why| why.to_string())?;
    let placed: Vec<(usize, usize)> = maps
        .lines()
        .filter_map(|line| line.split_once(' ')?.0.split_once('-'))
        .filter_map(|(from, to)| {
            Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
        })
        .filter(|(from, _)| *from >= BASE + ROOM_BYTES)
        .collect();
    let names = |word: usize| placed.iter().any(|(from, to)| (*from..*to).contains(&word));
    let found: Vec<String> = used
        .chunks_exact(size_of::<usize>())
        .map(|bytes| usize::from_le_bytes(bytes.try_into().unwrap_or_default()))
        .enumerate()
        .filter(|(_, word)| names(*word))
        .map(|(index, word)| format!("{word:#x} at {:#x}", BASE + index * size_of::<usize>()))
        .collect();
    if found.len() <= STACK_BOUNDS {
        return Ok(());
    }
    Err(format!("Cannot keep the heap: it names memory outside of it: {}", found.join(", ")))
}
