//! Sets when mimalloc, the allocator of the program, returns freed memory to the system.
//!
//! By default mimalloc 3 keeps pages for a second after they are freed, and looks at them only when somebody allocates:
//! half of a server's peak was memory that nobody used. What a program wants to keep, it keeps in its pools.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: mcpool_mimalloc::MiMalloc = mcpool_mimalloc::MiMalloc;
//!
//! mcpool_mimalloc::set_purge_delay_ms(0);
//! let large = vec![1_u8; 10 << 20];
//! drop(large); // its pages are with the system again
//! mcpool_mimalloc::collect();
//! ```

pub use mimalloc::MiMalloc;

use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` of mimalloc 3, which has no name in `libmimalloc-sys`.
const PURGE_DELAY: c_int = 15;

/// Sets how long freed pages are kept, in milliseconds; 0 returns them at once. The environment variable
/// `MIMALLOC_PURGE_DELAY` has precedence.
///
/// For the start of a program, before there are threads. Returns the delay that holds from now on.
#[allow(unsafe_code)]
pub fn set_purge_delay_ms(delay_ms: u16) -> c_long {
    // SAFETY: the functions read and write one word of a table, and check the index. Writing it while another thread
    // reads it gives that thread the old delay or the new one: mimalloc itself reads and writes it so.
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, c_long::from(delay_ms));
        libmimalloc_sys::mi_option_get(PURGE_DELAY)
    }
}

/// Returns what the calling thread has freed, and what ended threads left, to the system, whatever the delay.
///
/// It takes as long as the system takes for the pages: milliseconds for hundreds of MiB.
#[allow(unsafe_code)]
pub fn collect() {
    // SAFETY: the function may be called on any thread at any time; it frees nothing that is in use.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
