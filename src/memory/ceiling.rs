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
    /// What the process has whatever it does: that, and what its threads take.
    pub fixed_bytes: u64,
    /// What toolsets may keep beside all budgets, as the memory tools keep their graph: half of what the fixed part
    /// leaves at most.
    pub kept_bytes: u64,
    /// Large messages and answers that may be in memory at once; `None`: any.
    pub large_bytes: Option<u64>,
    /// Small objects that may be in memory at once: connections, sessions, subscriptions, small buffers, requests at
    /// work; `None`: any.
    pub small_bytes: Option<u64>,
    /// Idle memory that the pools may keep.
    pub pool_bytes: u64,
    /// Events that may be kept for clients that come back.
    pub event_bytes: u64,
    /// Results of tasks that may be kept.
    pub task_bytes: u64,
}

/// The configured limit is below what the process has by itself and needs for its first requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory_limit_bytes = {} is too small: the process has {} at its start, and {} is the smallest limit that works \
     with pressure_critical_percent = {critical_percent}",
    bytes(*limit_bytes), bytes(*floor_bytes), bytes(*least_bytes)
)]
pub struct LimitTooSmall {
    /// The setting `memory_limit_bytes`.
    pub limit_bytes: u64,
    /// Resident memory of the process at its start.
    pub floor_bytes: u64,
    /// The smallest limit that is accepted.
    pub least_bytes: u64,
    /// The setting `pressure_critical_percent`.
    pub critical_percent: u64,
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
    /// The ceiling of this process with those limits, where what follows from it and is not set is set; `kept` says what
    /// toolsets may keep with them.
    ///
    /// # Errors
    /// When the configured limit leaves nothing to serve with.
    pub(crate) fn of_process(
        limits: &mut Limits,
        kept: impl FnOnce(&Limits) -> usize,
    ) -> Result<Self, LimitTooSmall> {
        let machine = Machine {
            cgroup: process::cgroup_limit_bytes(),
            physical: process::physical_bytes(),
            rss: Process::rss_bytes(),
        };
        Self::of(limits, machine, kept)
    }

    /// The configured limit, or that of the control group, or a part of the machine's memory.
    pub(super) fn of(
        limits: &mut Limits,
        machine: Machine,
        kept: impl FnOnce(&Limits) -> usize,
    ) -> Result<Self, LimitTooSmall> {
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
        let fixed_bytes = price::fixed_bytes(floor_bytes, limits.all_threads() as u64);
        if source == Some(LimitSource::Configured) {
            check_configured(limits, floor_bytes, fixed_bytes)?;
        }
        let room_bytes = limit_bytes.map_or(u64::MAX, |limit| limit.saturating_sub(fixed_bytes));
        limits.divide(room_bytes);
        let kept_bytes = (kept(limits) as u64).min(room_bytes / 2);
        let taken_bytes = fixed_bytes.saturating_add(kept_bytes);
        let large_bytes = match (limits.max_inflight_bytes, limit_bytes) {
            (0, Some(limit)) => Some(price::large_bytes(limit, taken_bytes)),
            (0, None) => None,
            (set, _) => Some(set as u64),
        };
        let small_bytes = limit_bytes.map(|limit| price::small_bytes(limit, taken_bytes));
        Ok(Self {
            limit_bytes,
            source,
            cgroup_bytes: cgroup,
            floor_bytes,
            fixed_bytes,
            kept_bytes,
            large_bytes,
            small_bytes,
            pool_bytes: limits.pool_budget_bytes() as u64,
            event_bytes: limits.event_store_bytes() as u64,
            task_bytes: limits.max_task_bytes() as u64,
        })
    }
}

fn check_configured(limits: &Limits, floor_bytes: u64, fixed_bytes: u64) -> Result<(), LimitTooSmall> {
    let limit_bytes = limits.memory_limit_bytes as u64;
    let critical_percent = limits.pressure_critical_percent as u64;
    let least_bytes = price::least_limit(fixed_bytes, critical_percent);
    if limit_bytes >= least_bytes {
        return Ok(());
    }
    Err(LimitTooSmall { limit_bytes, floor_bytes, least_bytes, critical_percent })
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
        write!(f, "memory ceiling: {} ({source}); {floor} at the start, at most ", bytes(limit))?;
        if let Some(large) = self.large_bytes {
            write!(f, "{} in large messages, ", bytes(large))?;
        }
        if let Some(small) = self.small_bytes {
            write!(f, "{} in small objects, ", bytes(small))?;
        }
        if self.kept_bytes > 0 {
            write!(f, "{} in what toolsets keep, ", bytes(self.kept_bytes))?;
        }
        let (pools, events, tasks) =
            (bytes(self.pool_bytes), bytes(self.event_bytes), bytes(self.task_bytes));
        write!(f, "{pools} in idle pools, {events} in kept events, {tasks} in results of tasks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn ceiling(configured: u64, cgroup: Option<u64>, physical: Option<u64>) -> Ceiling {
        let mut limits =
            Limits { memory_limit_bytes: configured as usize, worker_threads: 2, ..Limits::default() };
        Ceiling::of(&mut limits, Machine { cgroup, physical, rss: Some(4 * MIB) }, |_| 0)
            .expect("large enough")
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
    fn large_messages_and_small_objects_have_a_third_each_of_what_the_process_leaves_unless_set() {
        // Nine threads, and the black box.
        const FIXED: u64 = 4 * MIB + 9 * 832 * 1024 + 256 * 1024;
        let whole = ceiling(64 * MIB, None, None);
        assert_eq!(whole.fixed_bytes, FIXED);
        assert_eq!(whole.large_bytes, Some((64 * MIB - FIXED) / 3));
        assert_eq!(whole.small_bytes, Some(price::small_bytes(64 * MIB, FIXED)));
        assert_eq!(ceiling(0, Some(MIB), None).large_bytes, Some(0));
        assert_eq!(ceiling(0, None, None).large_bytes, None);
        let mut limits = Limits { max_inflight_bytes: 7, ..Limits::default() };
        let ceiling = Ceiling::of(&mut limits, Machine::default(), |_| 0).expect("no limit");
        assert_eq!(ceiling.large_bytes, Some(7));
    }

    #[test]
    fn a_configured_limit_leaves_something_to_serve_with() {
        let of = |configured: u64, critical_percent, cgroup| {
            let mut limits = Limits {
                memory_limit_bytes: configured as usize,
                pressure_elevated_percent: critical_percent,
                pressure_critical_percent: critical_percent,
                worker_threads: 2,
                ..Limits::default()
            };
            Ceiling::of(&mut limits, Machine { cgroup, physical: None, rss: Some(5 * MIB) }, |_| 0)
        };
        for (critical_percent, least_bytes) in [(90, 18 * MIB), (100, 16 * MIB), (50, 32 * MIB)] {
            for limit_bytes in [1, 5 * MIB, least_bytes - 1] {
                let error = of(limit_bytes, critical_percent, None).expect_err("too small");
                assert_eq!((error.limit_bytes, error.floor_bytes), (limit_bytes, 5 * MIB));
                assert_eq!(error.least_bytes, least_bytes);
            }
            assert!(of(least_bytes, critical_percent, None).is_ok());
        }
        // The kernel's own limit is none of ours to refuse.
        assert!(of(0, 90, Some(MIB)).is_ok());
        assert_eq!(
            of(1, 90, None).expect_err("too small").to_string(),
            "memory_limit_bytes = 1 B is too small: the process has 5.0 MiB at its start, and 18.0 MiB is the smallest \
             limit that works with pressure_critical_percent = 90"
        );
    }

    #[test]
    fn one_line_says_it_all() {
        for (ceiling, want) in [
            (
                ceiling(64 * MIB, None, None),
                "memory ceiling: 64.0 MiB (configured); 4.0 MiB at the start, at most 17.5 MiB in large messages, 15.5 MiB in small objects, \
                 6.5 MiB in idle pools, 3.2 MiB in kept events, 6.5 MiB in results of tasks",
            ),
            (
                ceiling(0, None, Some(128 * MIB)),
                "memory ceiling: 64.0 MiB (50 % of the machine's memory); 4.0 MiB at the start, at most 17.5 MiB in \
                 large messages, 15.5 MiB in small objects, 6.5 MiB in idle pools, 3.2 MiB in kept events, 6.5 MiB in results of tasks",
            ),
            (ceiling(0, None, None), "memory ceiling: none, because nothing says how much memory there is"),
        ] {
            assert_eq!(ceiling.to_string(), want);
        }
    }
}
