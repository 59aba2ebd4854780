//! What bounds the memory of the process: the limit, where it comes from, and the part of it for large messages.
//!
//! Pure, but for [`Ceiling::of_process`], which asks the kernel. Whoever starts a server is told this in one line.

use super::process::{self, Process};
use crate::limits::units::bytes;
use crate::limits::{Limits, price};
use std::fmt;

/// Where a limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitSource {
    /// The setting `memory_limit_bytes`.
    Configured,
    /// The control group of the process, or one above it.
    Cgroup,
    /// A part of the machine's memory, as neither of the others is there.
    Physical,
}

impl LimitSource {
    /// The word for it in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Cgroup => "cgroup",
            Self::Physical => "physical",
        }
    }
}

/// What the process will not go above, and how it is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Ceiling {
    /// The limit of the resident memory; `None` where nothing says how much memory there is.
    pub limit_bytes: Option<u64>,
    /// Where the limit comes from.
    pub source: Option<LimitSource>,
    /// The limit of the control group, if there is one.
    pub cgroup_bytes: Option<u64>,
    /// Resident memory of the process when this was made.
    pub floor_bytes: u64,
    /// Large messages and answers that may be in memory at once; `None`: any.
    pub large_bytes: Option<u64>,
}

/// What the kernel says about memory, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Machine {
    /// What the control groups allow.
    pub(super) cgroup: Option<u64>,
    /// Memory of the machine.
    pub(super) physical: Option<u64>,
    /// Resident memory of the process.
    pub(super) rss: Option<u64>,
}

impl Ceiling {
    /// The ceiling of this process with those limits.
    pub(crate) fn of_process(limits: &Limits) -> Self {
        let machine = Machine {
            cgroup: process::cgroup_limit_bytes(),
            physical: process::physical_bytes(),
            rss: Process::rss_bytes(),
        };
        Self::of(limits, machine)
    }

    /// The configured limit, or that of the control group, or a part of the machine's memory.
    pub(super) fn of(limits: &Limits, machine: Machine) -> Self {
        let Machine { cgroup, physical, rss } = machine;
        let (limit_bytes, source) = match (limits.memory_limit_bytes as u64, cgroup, physical) {
            (0, Some(cgroup), physical) if physical.is_none_or(|physical| cgroup < physical) => {
                (Some(cgroup), Some(LimitSource::Cgroup))
            }
            (0, _, Some(physical)) => (Some(price::of_machine(physical)), Some(LimitSource::Physical)),
            (0, _, None) => (None, None),
            (configured, ..) => (Some(configured), Some(LimitSource::Configured)),
        };
        let floor_bytes = rss.unwrap_or_default();
        let large_bytes = match (limits.max_inflight_bytes, limit_bytes) {
            (0, Some(limit)) => Some(price::large_bytes(limit, floor_bytes)),
            (0, None) => None,
            (set, _) => Some(set as u64),
        };
        Self { limit_bytes, source, cgroup_bytes: cgroup, floor_bytes, large_bytes }
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(limit) = self.limit_bytes else {
            return f.write_str("memory ceiling: none, because nothing says how much memory there is");
        };
        let source = match self.source {
            Some(LimitSource::Cgroup) => "the limit of the control group".to_owned(),
            Some(LimitSource::Physical) => format!("{} % of the machine's memory", price::MACHINE_PERCENT),
            Some(LimitSource::Configured) | None => "configured".to_owned(),
        };
        let floor = bytes(self.floor_bytes);
        write!(f, "memory ceiling: {} ({source}); {floor} at the start", bytes(limit))?;
        match self.large_bytes {
            Some(large) => write!(f, ", at most {} in large messages", bytes(large)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn ceiling(configured: u64, cgroup: Option<u64>, physical: Option<u64>) -> Ceiling {
        let limits = Limits { memory_limit_bytes: configured as usize, ..Limits::default() };
        Ceiling::of(&limits, Machine { cgroup, physical, rss: Some(4 * MIB) })
    }

    #[test]
    fn the_limit_is_the_configured_one_or_the_groups_or_a_part_of_the_machine() {
        for (configured, cgroup, physical, want) in [
            (64 * MIB, Some(GIB), Some(8 * GIB), (Some(64 * MIB), Some(LimitSource::Configured))),
            (0, Some(GIB), Some(8 * GIB), (Some(GIB), Some(LimitSource::Cgroup))),
            (0, Some(GIB), None, (Some(GIB), Some(LimitSource::Cgroup))),
            // A group that may have all of the machine bounds nothing.
            (0, Some(8 * GIB), Some(8 * GIB), (Some(4 * GIB), Some(LimitSource::Physical))),
            (0, None, Some(8 * GIB), (Some(4 * GIB), Some(LimitSource::Physical))),
            (0, None, None, (None, None)),
        ] {
            let ceiling = ceiling(configured, cgroup, physical);
            assert_eq!((ceiling.limit_bytes, ceiling.source), want, "{configured} {cgroup:?} {physical:?}");
        }
    }

    #[test]
    fn large_messages_have_a_third_of_what_the_process_leaves_unless_set() {
        assert_eq!(ceiling(64 * MIB, None, None).large_bytes, Some(20 * MIB));
        assert_eq!(ceiling(MIB, None, None).large_bytes, Some(0));
        assert_eq!(ceiling(0, None, None).large_bytes, None);
        let limits = Limits { max_inflight_bytes: 7, ..Limits::default() };
        assert_eq!(Ceiling::of(&limits, Machine::default()).large_bytes, Some(7));
    }

    #[test]
    fn one_line_says_it_all() {
        for (ceiling, want) in [
            (
                ceiling(64 * MIB, None, None),
                "memory ceiling: 64.0 MiB (configured); 4.0 MiB at the start, at most 20.0 MiB in large messages",
            ),
            (
                ceiling(0, None, Some(128 * MIB)),
                "memory ceiling: 64.0 MiB (50 % of the machine's memory); 4.0 MiB at the start, at most 20.0 MiB in \
                 large messages",
            ),
            (ceiling(0, None, None), "memory ceiling: none, because nothing says how much memory there is"),
        ] {
            assert_eq!(ceiling.to_string(), want);
        }
    }
}
