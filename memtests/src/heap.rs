//! What a piece of work may do to the heap: the assertions, and the watch that they are made of.
//!
//! dhat must be the allocator of the process. Its profiler is global, so one process watches one thing at a
//! time and each test is a process of its own. An assertion that fails writes all back-traces to a file that
//! DHAT's viewer opens, and says the worst of them in words. Invariant: a witness that sees nothing cannot pass
//! for one that saw nothing happen, as each watch begins by seeing a block.

use crate::alone::own_name;
use crate::profile::{Figure, Profile};
use crate::quiet::others_sleep;
use dhat::{HeapStats, Profiler};
use std::fmt;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};

/// Fails when `work` allocates, on whatever thread; gives what it gives. Warm up first.
///
/// ```no_run
/// use mcpool_memtests::assert_no_allocations;
///
/// #[global_allocator]
/// static ALLOCATOR: dhat::Alloc = dhat::Alloc;
///
/// let mut buffer = Vec::with_capacity(16);
/// assert_no_allocations(|| buffer.extend_from_slice(b"it has room"));
/// ```
///
/// # Panics
/// With the back-trace of each place that allocated.
#[track_caller]
pub fn assert_no_allocations<R>(work: impl FnOnce() -> R) -> R {
    let watch = Watch::begin();
    let result = work();
    watch.settle();
    let blocks = watch.stats().total_blocks;
    if blocks > 0 {
        watch.fail(Figure::Allocated, format_args!("{blocks} blocks were allocated where none may be"));
    }
    result
}

/// Fails when `work`, done again and again, leaves more on the heap each time.
///
/// What is made at the first time and kept is no leak, nor is what one time leaves and the next does not: a thread or a
/// table that the runtime makes when it is busy. Work that ends on another thread, a while after `work`
/// has returned, is waited for.
///
/// ```no_run
/// use mcpool_memtests::assert_no_leaks;
///
/// #[global_allocator]
/// static ALLOCATOR: dhat::Alloc = dhat::Alloc;
///
/// let mut kept = std::collections::HashMap::new();
/// assert_no_leaks(|| kept.insert("one key", vec![0_u8; 64]));
/// ```
///
/// # Panics
/// With the back-trace of each place whose blocks are left.
#[track_caller]
pub fn assert_no_leaks<R>(mut work: impl FnMut() -> R) {
    let watch = Watch::begin();
    drop(work());
    watch.settle();
    let (mut blocks, mut bytes) = (0, 0);
    for _ in 0..ROUNDS {
        let before = watch.stats();
        drop(work());
        watch.settle();
        let after = watch.stats();
        blocks = after.curr_blocks.saturating_sub(before.curr_blocks);
        bytes = after.curr_bytes.saturating_sub(before.curr_bytes);
        if blocks == 0 && bytes == 0 {
            return;
        }
    }
    drop(watch);
    // Watched from here on, what lives at the end is what this time left.
    let watch = Watch::begin();
    drop(work());
    watch.settle();
    let message = format_args!("{blocks} blocks, {bytes} B more are left each time the work is done");
    watch.fail(Figure::Live, message);
}

/// The heap bytes that each of `count` things keeps, as `make` makes them: what one more of them costs.
///
/// ```no_run
/// use mcpool_memtests::bytes_per;
///
/// #[global_allocator]
/// static ALLOCATOR: dhat::Alloc = dhat::Alloc;
///
/// bytes_per(|| vec![0_u8; 100], 1_000).at_most(100);
/// ```
#[track_caller]
pub fn bytes_per<T>(mut make: impl FnMut() -> T, count: usize) -> BytesPer<T> {
    let mut things = Vec::with_capacity(count + 1);
    // The first pays for what all share.
    things.push(make());
    let watch = Watch::begin();
    watch.settle();
    let before = watch.stats().curr_bytes;
    for _ in 0..count {
        things.push(make());
    }
    watch.settle();
    let bytes = watch.stats().curr_bytes.saturating_sub(before);
    BytesPer { watch, things, bytes, count }
}

/// Things that are still there, and the bytes that they keep.
#[derive(Debug)]
pub struct BytesPer<T> {
    watch: Watch,
    things: Vec<T>,
    bytes: usize,
    count: usize,
}

impl<T> BytesPer<T> {
    /// Bytes for each, rounded up.
    pub fn bytes(&self) -> usize {
        self.bytes.div_ceil(self.count.max(1))
    }

    /// Fails when each keeps more than `allowed` bytes; gives the things back.
    ///
    /// # Panics
    /// With the back-trace of each place whose blocks they keep.
    #[track_caller]
    pub fn at_most(self, allowed: usize) -> Vec<T> {
        let bytes = self.bytes();
        if bytes > allowed {
            let count = self.count;
            let message = format_args!("each of {count} keeps {bytes} B of heap, {allowed} B are allowed");
            self.watch.fail(Figure::Live, message);
        }
        self.things
    }
}

/// The heap, watched from its beginning until it is dropped. Blocks from before are invisible.
#[derive(Debug)]
pub struct Watch {
    /// Dropped last of all: what the messages are made of is not watched.
    _profiler: Profiler,
    file: PathBuf,
}

/// How often a leak has to leave something, one time after the other.
const ROUNDS: usize = 4;
/// Frames of each back-trace: enough to come from the allocator through a runtime to who asked for the block.
const FRAMES: usize = 48;
/// How long what runs the tests has for its own beginning, before the first watch of a process.
const START: Duration = Duration::from_millis(150);
static FIRST: Once = Once::new();
/// How long the heap must not have moved.
const STILL: Duration = Duration::from_millis(20);
/// How long that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

impl Watch {
    /// Begins to watch.
    ///
    /// # Panics
    /// When another watch is on, or dhat is not the allocator of this process.
    #[track_caller]
    pub fn begin() -> Self {
        Self::with_frames(FRAMES)
    }

    /// Begins to watch with shorter back-traces, for work that allocates a million times.
    ///
    /// # Panics
    /// As [`Watch::begin`].
    #[track_caller]
    pub fn with_frames(frames: usize) -> Self {
        // The thread that runs the tests makes a few blocks after it has started this one.
        FIRST.call_once(|| std::thread::sleep(START));
        let blocks = {
            // A profiler of its own, so that the block is in no profile.
            let _profiler = Profiler::builder().testing().build();
            drop(black_box(Box::new([0_u8; 64])));
            HeapStats::get().total_blocks
        };
        assert!(blocks > 0, "dhat is not the allocator of this process: `static ALLOCATOR: dhat::Alloc`");
        let file = profile_file();
        // Now, as it takes blocks; and if it cannot be, whoever has to read the file is told.
        let _ = file.parent().map(std::fs::create_dir_all);
        let builder = Profiler::builder().testing().trim_backtraces(Some(frames));
        Self { _profiler: builder.file_name(&file).build(), file }
    }

    /// The heap since the beginning.
    pub fn stats(&self) -> HeapStats {
        HeapStats::get()
    }

    /// Waits until nobody has anything to do and the heap does not move any more, at most a minute.
    pub fn settle(&self) {
        let began = Instant::now();
        let mut last = self.stats();
        while began.elapsed() < PATIENCE {
            std::thread::sleep(STILL);
            let now = self.stats();
            if now == last && others_sleep() {
                break;
            }
            last = now;
        }
    }

    /// Writes the profile and ends the test with `message`, the worst places by `figure`, and where the file is.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail(self, figure: Figure, message: fmt::Arguments<'_>) -> ! {
        let places = match self.save() {
            Ok(profile) => profile.worst(figure),
            Err(fault) => format!("and there are no back-traces: {fault}\n"),
        };
        let file = self.file.display();
        panic!("{message}\n\n{places}\nAll of them: {file} (open it in dh_view.html of DHAT)\n");
    }

    /// dhat writes the file of a test when one of its assertions fails, and only then.
    fn save(&self) -> Result<Profile, String> {
        let is_as_expected = false;
        let failed = catch_unwind(AssertUnwindSafe(|| dhat::assert!(is_as_expected, "the profile follows")));
        assert!(failed.is_err(), "dhat holds what is false for true");
        Profile::read(&self.file)
    }
}

/// Where the profile of this test goes: `target/debug/dhat/TEST/dhat-heap.json`, beside the test's binary.
fn profile_file() -> PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    let folder = binary.parent().unwrap_or(Path::new("."));
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let test = own_name().unwrap_or_else(|| {
        let stem = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // Cargo appends a hash to the name of a test.
        stem.rsplit_once('-').map_or(stem.clone(), |(name, _)| name.to_owned())
    });
    folder.join("dhat").join(test).join("dhat-heap.json")
}
