//! Which processors the generator and the server may run on.

#[cfg(target_os = "linux")]
use rustix::process::Pid;
#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// One more than the highest number of a processor.
#[cfg(target_os = "linux")]
const MAX_PROCESSORS: usize = CpuSet::MAX_CPU;
#[cfg(not(target_os = "linux"))]
const MAX_PROCESSORS: usize = 1_024;

/// Processors by number.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Processors(Vec<usize>);

/// Processors for the generator, and perhaps others for the server.
///
/// ```
/// use mcpool::load::LoadPin;
///
/// assert!(LoadPin::parse("1/0").is_some_and(|pin| pin.has_server()));
/// assert!(LoadPin::parse("2-3,7").is_some_and(|pin| !pin.has_server()));
/// assert_eq!(LoadPin::parse("all"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadPin {
    generator: Processors,
    server: Option<Processors>,
}

impl LoadPin {
    /// Reads `GENERATOR` or `GENERATOR/SERVER`, each a list as `0-3,7`.
    pub fn parse(text: &str) -> Option<Self> {
        let (generator, server) = match text.split_once('/') {
            Some((generator, server)) => (generator, Some(Processors::parse(server)?)),
            None => (text, None),
        };
        Some(Self { generator: Processors::parse(generator)?, server })
    }

    /// Whether it says where the server runs.
    pub fn has_server(&self) -> bool {
        self.server.is_some()
    }

    /// Has this thread run on the generator's processors until the guard is dropped.
    pub(super) fn generator(&self) -> io::Result<Pinned> {
        self.generator.pin_this_thread()
    }

    /// The same with those of the server: what is started meanwhile keeps them.
    pub(super) fn while_starting(&self) -> io::Result<Option<Pinned>> {
        self.server.as_ref().map(Processors::pin_this_thread).transpose()
    }

    /// Has each thread of a process run on the server's processors; those that it starts later do so, too.
    #[cfg(target_os = "linux")]
    pub(super) fn process(&self, id: u32) -> io::Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        for entry in std::fs::read_dir(format!("/proc/{id}/task"))? {
            let thread =
                entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            match thread.map(|thread| sched_setaffinity(Some(thread), &server.set())) {
                // It ended meanwhile.
                None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn process(&self, _: u32) -> io::Result<()> {
        if self.server.is_some() { Err(unsupported()) } else { Ok(()) }
    }
}

/// Other systems place threads themselves.
#[cfg(not(target_os = "linux"))]
fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "only Linux lets a program choose its processors")
}

impl Processors {
    fn parse(list: &str) -> Option<Self> {
        let mut all = Vec::new();
        for part in list.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to): (usize, usize) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            if from > to || to >= MAX_PROCESSORS {
                return None;
            }
            all.extend(from..=to);
        }
        Some(Self(all))
    }

    #[cfg(target_os = "linux")]
    fn set(&self) -> CpuSet {
        let mut set = CpuSet::new();
        self.0.iter().for_each(|number| set.set(*number));
        set
    }

    #[cfg(target_os = "linux")]
    fn pin_this_thread(&self) -> io::Result<Pinned> {
        let before = sched_getaffinity(None)?;
        sched_setaffinity(None, &self.set())?;
        Ok(Pinned { before })
    }

    #[cfg(not(target_os = "linux"))]
    #[expect(clippy::unused_self, reason = "that of Linux uses it")]
    fn pin_this_thread(&self) -> io::Result<Pinned> {
        Err(unsupported())
    }
}

/// A thread that runs where it was told to; afterwards it runs where it did before.
pub(super) struct Pinned {
    #[cfg(target_os = "linux")]
    before: CpuSet,
}

#[cfg(target_os = "linux")]
impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(Processors::parse("0-2,7"), Some(Processors(vec![0, 1, 2, 7])));
        for wrong in ["", "x", "3-1", "1-", "99999", "-1"] {
            assert_eq!(Processors::parse(wrong), None, "{wrong}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_runs_there_and_then_where_it_did() {
        let before = sched_getaffinity(None).expect("known");
        let first = (0..CpuSet::MAX_CPU).find(|number| before.is_set(*number)).expect("a processor");
        let pin = LoadPin::parse(&first.to_string()).expect("a list");
        let pinned = pin.generator().expect("allowed");
        assert_eq!(sched_getaffinity(None).expect("known").count(), 1);
        drop(pinned);
        assert_eq!(sched_getaffinity(None).expect("known").count(), before.count());
    }
}
