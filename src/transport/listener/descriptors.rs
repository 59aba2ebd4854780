//! File descriptors: how many connections the system allows beside files and listeners.
//!
//! A connection without a descriptor is not accepted: it waits until its client gives up, and files cannot be
//! opened meanwhile. So the bound on connections is lowered to that of the system, less a reserve, and connections
//! beyond it are refused at once.

use crate::limits::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More descriptors than any server needs. Some systems report an unlimited hard limit and refuse to set it.
const MOST: u64 = 1 << 20;

/// Raises the soft limit of descriptors to the hard limit. The usual soft limit of 1,024 is for programs that still
/// call `select`.
pub(crate) fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current else { return };
    let most = maximum.unwrap_or(MOST).min(MOST);
    // Where the hard limit is endless, the kernel may have a smaller one of its own: what it takes is found by halves.
    let mut wanted = most;
    while wanted > current {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, wanted, "the limit of descriptors cannot be raised so far"),
        }
        wanted /= 2;
    }
}

/// How the descriptors of the process are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Affordable {
    /// Connections that may be open.
    pub(super) connections: usize,
    /// Descriptors for all else.
    pub(super) reserve: usize,
}

impl Affordable {
    /// As many connections as the settings say, or as the system has descriptors for; warns where the system has fewer.
    pub(super) fn of_system(limits: &Limits) -> Self {
        let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let affordable = Self::of(limits, usize::try_from(allowed).unwrap_or(usize::MAX));
        let (set, Self { connections, reserve }) = (limits.max_connections, affordable);
        if connections < set {
            tracing::warn!(
                "max_connections is {connections} instead of {set}: the system allows {allowed} file descriptors, \
                 of which {reserve} are for files and listeners (setting descriptor_reserve): raise its limit \
                 (ulimit -n, LimitNOFILE= in a unit), or lower max_connections"
            );
        }
        affordable
    }

    /// Of few descriptors half are for connections, whatever the reserve.
    fn of(limits: &Limits, descriptors: usize) -> Self {
        let reserve = limits.descriptor_reserve.min(descriptors / 2);
        Self { connections: limits.max_connections.min(descriptors - reserve).max(1), reserve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_give_way_to_what_the_system_allows() {
        for (max_connections, descriptors, connections, reserve) in [
            (10_000, usize::MAX, 10_000, 256),
            (10_000, 20_000, 10_000, 256),
            (10_000, 10_256, 10_000, 256),
            (10_000, 10_255, 9_999, 256),
            (10_000, 1_024, 768, 256),
            (10_000, 256, 128, 128),
            (100, 1_024, 100, 256),
            (100, 1, 1, 0),
            (100, 0, 1, 0),
        ] {
            let limits = Limits { max_connections, descriptor_reserve: 256, ..Limits::default() };
            assert_eq!(Affordable::of(&limits, descriptors), Affordable { connections, reserve });
        }
    }
}
