//! Whether the process has anything left to do, however busy the machine is.
//!
//! Time tells nothing there: a thread that has work may wait for a core for longer than any rest. Its state tells: it is
//! runnable. Invariant: looking takes no heap memory, as it is done while the heap is watched.

/// Whether no other thread of this process has work to do: each sleeps.
///
/// What they are woken by is not looked at: who waits for a time that is to come has to be waited for.
#[cfg(target_os = "linux")]
pub(crate) fn others_sleep() -> bool {
    use rustix::fs::{Mode, OFlags, RawDir, open};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    let own = rustix::thread::gettid().as_raw_nonzero().get();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(threads) = open(c"/proc/self/task", flags, Mode::empty()) else { return true };
    let mut space = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(threads.as_fd(), &mut space);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        let number = std::str::from_utf8(name).ok().and_then(|name| name.parse::<i32>().ok());
        if number.is_some_and(|number| number != own) && works(threads.as_fd(), name) {
            return false;
        }
    }
    true
}

/// Whether the thread of that number runs, or would if it had a core, or waits for a disk.
#[cfg(target_os = "linux")]
fn works(threads: std::os::fd::BorrowedFd<'_>, number: &[u8]) -> bool {
    use rustix::fs::{Mode, OFlags, openat};

    let mut path = [0_u8; 32];
    path[..number.len()].copy_from_slice(number);
    path[number.len()..][..5].copy_from_slice(b"/stat");
    let Ok(path) = std::ffi::CStr::from_bytes_until_nul(&path) else { return false };
    // One that is gone has nothing to do.
    let Ok(stat) = openat(threads, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    let mut text = [0_u8; 512];
    let Ok(length) = rustix::io::read(&stat, &mut text) else { return false };
    // The state follows the name, which is in parentheses and may have some itself.
    let name_end = text[..length].iter().rposition(|byte| *byte == b')');
    name_end.and_then(|end| text.get(end + 2)).is_some_and(|state| matches!(state, b'R' | b'D'))
}

/// Where the system does not tell, time has to.
#[cfg(not(target_os = "linux"))]
pub(crate) fn others_sleep() -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_thread_that_works_is_seen() {
        let (works, ends) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                works.store(true, Ordering::SeqCst);
                while !ends.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
            });
            while !works.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            assert!(!others_sleep());
            ends.store(true, Ordering::SeqCst);
        });
    }
}
