//! Sets when mimalloc, the allocator of the program, returns freed memory to the system, and allocates what lasts apart.
//!
//! By default mimalloc 3 keeps pages for a second after they are freed, and looks at them only when somebody allocates:
//! half of a server's peak was memory that nobody used. What a program wants to keep, it keeps in its pools.
//!
//! A page of mimalloc is 64 KiB of blocks of one size (16 KiB in the program of a release), and stays while one of its
//! blocks is in use. What lasts for minutes must therefore not lie among what lasts for microseconds: sessions that were
//! opened in a burst kept its pages.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;
//!
//! mcpool_mimalloc::set_purge_delay_ms(0);
//! let large = vec![1_u8; 10 << 20];
//! drop(large); // its pages are with the system again
//! let before = mcpool_mimalloc::set_apart(true);
//! let session = Box::new([1_u8; 200]); // not among what is allocated otherwise
//! mcpool_mimalloc::set_apart(before);
//! drop(session);
//! mcpool_mimalloc::collect();
//! ```

use libmimalloc_sys as ffi;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{CString, c_int, c_long};
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `mi_option_purge_delay` of mimalloc 3, which has no name in `libmimalloc-sys`.
const PURGE_DELAY: c_int = 15;

/// The first version of mimalloc whose heaps may be used by all threads.
const FIRST_SHARED: c_int = 30_000;

/// Sets how long freed pages are kept, in milliseconds; 0 returns them at once. The environment variable
/// `MIMALLOC_PURGE_DELAY` has precedence.
///
/// For the start of a program, before there are threads. Returns the delay that holds from now on.
#[allow(unsafe_code)]
pub fn set_purge_delay_ms(delay_ms: u16) -> c_long {
    // SAFETY: the functions read and write one word of a table, and check the index. Writing it while another thread
    // reads it gives that thread the old delay or the new one: mimalloc itself reads and writes it so.
    unsafe {
        ffi::mi_option_set_default(PURGE_DELAY, c_long::from(delay_ms));
        ffi::mi_option_get(PURGE_DELAY)
    }
}

/// Returns what the calling thread has freed, and what ended threads left, to the system, whatever the delay.
///
/// It takes as long as the system takes for the pages: milliseconds for hundreds of MiB.
#[allow(unsafe_code)]
pub fn collect() {
    // SAFETY: the functions may be called on any thread at any time; they free nothing that is in use.
    unsafe {
        ffi::mi_collect(true);
        // A thread that never allocated apart has no part of that heap, and would get one.
        if HAS_ALLOCATED_APART.get()
            && let Some(apart) = APART.get()
        {
            ffi::mi_heap_collect(apart.0, true);
        }
    }
}

/// The statistics of mimalloc as JSON.
pub fn stats_json() -> Option<CString> {
    mimalloc::MiMalloc::stats_json().ok().map(|json| json.to_owned())
}

/// Has the calling thread allocate in the heap for what lasts, or no longer. Returns whether it did before.
///
/// A block is freed in the same way whichever heap it is from. That heap is made at the first use, and takes 200 KiB.
pub fn set_apart(is_apart: bool) -> bool {
    IS_APART.replace(is_apart)
}

thread_local! {
    static IS_APART: Cell<bool> = const { Cell::new(false) };
    static HAS_ALLOCATED_APART: Cell<bool> = const { Cell::new(false) };
}

/// The heap for what lasts; it is never deleted.
static APART: OnceLock<Heap> = OnceLock::new();

struct Heap(*mut ffi::mi_heap_t);

// SAFETY: a heap of mimalloc 3 may be used by all threads at once: each gets a part of its own at its first use.
#[allow(unsafe_code)]
unsafe impl Send for Heap {}
// SAFETY: the same.
#[allow(unsafe_code)]
unsafe impl Sync for Heap {}

/// The heap for what lasts, if the calling thread is to allocate there.
#[inline]
fn apart() -> Option<*mut ffi::mi_heap_t> {
    if IS_APART.get() { make_apart() } else { None }
}

#[cold]
#[allow(unsafe_code)]
fn make_apart() -> Option<*mut ffi::mi_heap_t> {
    HAS_ALLOCATED_APART.set(true);
    let heap = APART.get_or_init(|| {
        // SAFETY: the functions have no precondition. `OnceLock` allocates nothing, so this does not call itself.
        Heap(unsafe { if ffi::mi_version() < FIRST_SHARED { null_mut() } else { ffi::mi_heap_new() } })
    });
    let heap = heap.0;
    (!heap.is_null()).then_some(heap)
}

/// Bytes of all blocks that are handed out, each as large as mimalloc makes it.
static BLOCK_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the blocks that are handed out, each as large as mimalloc makes it: at least what was asked for, and at most a
/// quarter more for small ones. The difference to what was asked for is what the rounding costs.
pub fn block_bytes() -> usize {
    BLOCK_BYTES.load(Ordering::Relaxed)
}

/// Adds a new block, if there is one.
#[allow(unsafe_code)]
fn count_in(block: *mut u8) -> *mut u8 {
    // SAFETY: null, for which mimalloc gives 0, or a block that it has just handed out.
    BLOCK_BYTES.fetch_add(unsafe { ffi::mi_usable_size(block.cast()) }, Ordering::Relaxed);
    block
}

/// Takes off as many bytes.
fn count_out(bytes: usize) {
    BLOCK_BYTES.fetch_sub(bytes, Ordering::Relaxed);
}

/// mimalloc as the allocator of a program, with a heap for what lasts: [`set_apart`].
#[derive(Debug, Clone, Copy, Default)]
pub struct MiMalloc;

// SAFETY: each function is mimalloc's own for this purpose, as in the crate `mimalloc`. Those that take a heap differ from
// those without in nothing else, and the heap is never deleted.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for MiMalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's; see above.
        count_in(unsafe {
            match apart() {
                Some(heap) => ffi::mi_heap_malloc_aligned(heap, layout.size(), layout.align()).cast(),
                None => mimalloc::MiMalloc.alloc(layout),
            }
        })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's; see above.
        count_in(unsafe {
            match apart() {
                Some(heap) => ffi::mi_heap_zalloc_aligned(heap, layout.size(), layout.align()).cast(),
                None => mimalloc::MiMalloc.alloc_zeroed(layout),
            }
        })
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's; mimalloc finds the heap of a block by its address.
        unsafe {
            count_out(ffi::mi_usable_size(block.cast()));
            mimalloc::MiMalloc.dealloc(block, layout);
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller's; the block may be of any heap.
        let (old_bytes, new) = unsafe {
            let old_bytes = ffi::mi_usable_size(block.cast());
            let new: *mut u8 = match apart() {
                Some(heap) => ffi::mi_heap_realloc_aligned(heap, block.cast(), bytes, layout.align()).cast(),
                None => mimalloc::MiMalloc.realloc(block, layout, bytes),
            };
            (old_bytes, new)
        };
        // Without memory for the new one the old one stays.
        if !new.is_null() {
            count_in(new);
            count_out(old_bytes);
        }
        new
    }
}
