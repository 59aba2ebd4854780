//! What lasts is allocated apart from what passes, where the program's allocator can do that.
//!
//! An allocator returns a page when no block of it is in use. Sessions and subscriptions that are opened in a burst would
//! lie among the blocks of the burst, a few in each page, and keep all of its pages for as long as they last. So would what
//! a program makes once and keeps, if it makes it while it serves: counts, tables, pools.

use std::sync::OnceLock;

static SWITCH: OnceLock<fn(bool) -> bool> = OnceLock::new();

/// Sets how the calling thread is told to allocate apart, or no longer; the function returns whether it did before. It is
/// for the program that chooses the allocator. Only the first call has an effect.
///
/// ```
/// use std::cell::Cell;
///
/// thread_local! {
///     static APART: Cell<bool> = const { Cell::new(false) };
/// }
///
/// // An allocator with two heaps looks at it.
/// mcpool_pools::set_lasting_switch(|apart| APART.replace(apart));
/// assert!(mcpool_pools::lasting(|| APART.get()));
/// assert!(!APART.get());
/// ```
pub fn set_lasting_switch(switch: fn(bool) -> bool) {
    let _ = SWITCH.set(switch);
}

/// Makes something that lasts: what `make` allocates lies apart. Without a switch it calls `make` and no more.
///
/// ```
/// let count = mcpool_pools::lasting(|| Box::new([0_u64; 128]));
/// assert_eq!(count.len(), 128);
/// ```
pub fn lasting<R>(make: impl FnOnce() -> R) -> R {
    let Some(&switch) = SWITCH.get() else { return make() };
    let _apart = Apart { switch, before: switch(true) };
    make()
}

/// Makes something that passes, where something is made that lasts: what `make` allocates does not lie apart.
///
/// ```
/// let count = mcpool_pools::lasting(|| Box::new(mcpool_pools::passing(|| vec![1; 1024]).len()));
/// assert_eq!(*count, 1024);
/// ```
pub fn passing<R>(make: impl FnOnce() -> R) -> R {
    let Some(&switch) = SWITCH.get() else { return make() };
    let _apart = Apart { switch, before: switch(false) };
    make()
}

/// Ends with its scope, however that ends.
struct Apart {
    switch: fn(bool) -> bool,
    before: bool,
}

impl Drop for Apart {
    fn drop(&mut self) {
        (self.switch)(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::panic::catch_unwind;

    thread_local! {
        static IS_APART: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn a_thread_allocates_apart_as_long_as_it_makes_something_that_lasts() {
        set_lasting_switch(|is_apart| IS_APART.replace(is_apart));
        assert!(lasting(|| lasting(|| IS_APART.get()) && IS_APART.get()));
        assert!(lasting(|| !passing(|| IS_APART.get()) && IS_APART.get()));
        assert!(!IS_APART.get());
        assert!(catch_unwind(|| lasting(|| panic!("a tool"))).is_err());
        assert!(!IS_APART.get());
    }
}
