//! Rules about the process as a whole: its limit, its pages, its allocator.

use super::finding::{Draft, Severity, Verdict, percent, raised_limit, round_up, setting, up_to};
use crate::limits::units::{bytes, grouped};
use crate::memory::{MemoryReport, PressureLevel};

const MIB: u64 = 1 << 20;
/// Less memory than this is not worth a finding.
const NOTABLE_BYTES: u64 = 4 * MIB;

pub(super) fn under_pressure(report: &MemoryReport) -> Verdict {
    let (Some(limit), Some(rss)) = (report.pressure.limit_bytes, report.usage.rss_bytes) else {
        return Verdict::Unknown("no limit, or no resident size, is known");
    };
    let severity = match report.pressure.level {
        PressureLevel::Normal => return Verdict::Fine,
        PressureLevel::Elevated => Severity::Warning,
        PressureLevel::Critical => Severity::Critical,
    };
    let largest = report.parts.first().map_or("nothing", |part| &part.name);
    let (raise, setting) = raised_limit(report, round_up(limit.saturating_add(limit / 2)));
    Verdict::Found(
        Draft {
            severity,
            problem: format!("Memory is short: {} of {} are in use.", bytes(rss), bytes(limit)),
            cause: "What the server holds comes near its limit, so it gives idle memory back and, when critical, \
                    turns large work away.",
            evidence: format!(
                "{} % of the limit ({}); most is in: {largest}.",
                percent(rss, limit),
                report.pressure.limit_source.as_deref().unwrap_or("unknown")
            ),
            remedy: format!("{raise}, or lower what fills it (the parts of `mcpool report`, largest first)."),
            setting,
            cost: up_to(limit / 2),
            bytes: rss,
        }
        .into(),
    )
}

pub(super) fn limit_exceeded(report: &MemoryReport) -> Verdict {
    let (Some(limit), Some(rss)) = (report.pressure.limit_bytes, report.usage.rss_bytes) else {
        return Verdict::Unknown("no limit, or no resident size, is known");
    };
    let peak = report.usage.peak_rss_bytes.unwrap_or(rss).max(rss);
    let (severity, problem) = if rss > limit {
        let problem = format!("{} are resident, and the limit is {}.", bytes(rss), bytes(limit));
        (Severity::Critical, problem)
    } else {
        let problem = format!("{} were resident at once, and the limit is {}.", bytes(peak), bytes(limit));
        (Severity::Warning, problem)
    };
    let largest = report.parts.iter().max_by_key(|part| part.peak_bytes);
    let largest = largest.map_or_else(
        || "no part is known".to_owned(),
        |part| format!("the largest part was {} with {}", part.name, bytes(part.peak_bytes)),
    );
    let wanted = round_up(peak.saturating_add(peak / 4));
    let (raise, setting) = raised_limit(report, wanted);
    Verdict::of((peak > limit).then(|| {
        Draft {
            severity,
            problem,
            cause: "The limit leaves too little beside what the process needs by itself, or something was not charged \
                    to it: small messages, sessions, memory of tools.",
            evidence: format!("now {}, at most {}; {largest}.", bytes(rss), bytes(peak)),
            remedy: format!(
                "{raise}; with the same load and a limit that holds there is less for each client (`mcpool plan`)."
            ),
            setting,
            cost: up_to(wanted.saturating_sub(limit)),
            bytes: peak - limit,
        }
        .into()
    }))
}

pub(super) fn work_refused(report: &MemoryReport) -> Verdict {
    let refused = report.pressure.refused;
    if refused == 0 {
        return Verdict::Fine;
    }
    let limit = report.pressure.limit_bytes.unwrap_or_default();
    let (raise, setting) = raised_limit(report, round_up(limit.saturating_mul(2)));
    Verdict::Found(
        Draft {
            severity: Severity::Critical,
            problem: format!("Work was turned away {} times for want of memory.", grouped(refused)),
            cause: "Large messages that were on their way at once needed more than was set aside for them, slow \
                    ones of one client made way for those of another, or pressure was critical.",
            evidence: format!(
                "{} refusals; critical {} times; limit {}.",
                grouped(refused),
                report.pressure.entered[2],
                bytes(limit)
            ),
            remedy: format!("{raise}, or have fewer clients send large messages at once, and faster."),
            setting,
            cost: up_to(limit),
            bytes: limit,
        }
        .into(),
    )
}

pub(super) fn limit_above_cgroup(report: &MemoryReport) -> Verdict {
    if report.server.os != "linux" {
        return Verdict::Unknown("control groups are Linux's");
    }
    let pressure = &report.pressure;
    let (Some(limit), Some(cgroup)) = (pressure.limit_bytes, pressure.cgroup_limit_bytes) else {
        return Verdict::Fine;
    };
    let is_above = pressure.limit_source.as_deref() == Some("configured") && limit > cgroup;
    Verdict::of(is_above.then(|| {
        Draft {
            severity: Severity::Critical,
            problem: format!(
                "memory_limit_bytes ({}) is above what the control group allows ({}).",
                bytes(limit),
                bytes(cgroup)
            ),
            cause: "The kernel kills the process at the group's limit, before the server sees any pressure.",
            evidence: format!("configured {}, cgroup {}.", bytes(limit), bytes(cgroup)),
            remedy: "Leave memory_limit_bytes at 0, and the group's limit is the one that is watched."
                .to_owned(),
            setting: Some(("memory_limit_bytes", 0)),
            cost: "nothing.".to_owned(),
            bytes: limit - cgroup,
        }
        .into()
    }))
}

/// Whether that is more than half of the limit.
fn may_fill(limit: u64, bytes: u64) -> bool {
    limit > 0 && bytes > limit / 2
}

pub(super) fn pools_may_fill_the_limit(report: &MemoryReport) -> Verdict {
    let Some(limit) = report.pressure.limit_bytes else {
        return Verdict::Unknown("no limit is known");
    };
    let budget = report.budget.limit_bytes;
    Verdict::of(may_fill(limit, budget).then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!("The pools may keep {} of the {} that there are.", bytes(budget), bytes(limit)),
            cause: "Idle objects are counted against pool_budget_bytes, whatever the limit of the process is.",
            evidence: format!("{} of the budget are filled now.", bytes(report.budget.used_bytes)),
            remedy: "Give the pools a quarter of the limit; `mcpool tune --budget` spreads it.".to_owned(),
            setting: Some(("pool_budget_bytes", (limit / 4 / MIB).max(1) * MIB)),
            cost: "more misses where the pools really need so much; `mcpool tune` tells how many.".to_owned(),
            bytes: budget,
        }
        .into()
    }))
}

pub(super) fn events_may_fill_the_limit(report: &MemoryReport) -> Verdict {
    let Some(limit) = report.pressure.limit_bytes else {
        return Verdict::Unknown("no limit is known");
    };
    let events = setting(report, "event_store_bytes");
    let held = report.part("event stores").map_or(0, |part| part.bytes);
    Verdict::of(may_fill(limit, events).then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!(
                "Events kept for clients that come back may take {} of {}.",
                bytes(events),
                bytes(limit)
            ),
            cause: "event_store_bytes bounds the events of all streams together, and is more than half of the limit.",
            evidence: format!("{} are kept now.", bytes(held)),
            remedy: "Keep fewer events: a client that was gone for long then misses some and has to ask anew."
                .to_owned(),
            setting: Some(("event_store_bytes", (limit / 8 / MIB).max(1) * MIB)),
            cost: "streams can be resumed less far back.".to_owned(),
            bytes: events,
        }
        .into()
    }))
}

/// Share of time spent waiting for memory, in percent, from which users notice it.
const PSI_FELT: f64 = 10.0;

pub(super) fn machine_short_of_memory(report: &MemoryReport) -> Verdict {
    let Some(waiting) = report.pressure.psi_some_avg10 else {
        return Verdict::Unknown("the kernel does not report stalls (PSI)");
    };
    Verdict::of((waiting > PSI_FELT).then(|| {
        Draft {
            severity: Severity::Warning,
            problem: "The machine is short of memory: tasks wait for it.".to_owned(),
            cause: "Other programs, or this one, use more than there is, and the kernel has to find pages.",
            evidence: format!("{waiting:.1} % of the last 10 s somebody waited for memory."),
            remedy: "Stop what is not needed; `mcpool report` shows whether it is this server.".to_owned(),
            setting: None,
            cost: "nothing.".to_owned(),
            bytes: report.usage.rss_bytes.unwrap_or_default(),
        }
        .into()
    }))
}

pub(super) fn huge_pages(report: &MemoryReport) -> Verdict {
    let (Some(huge), Some(rss)) = (report.usage.huge_page_bytes, report.usage.rss_bytes) else {
        return Verdict::Unknown("huge pages are not reported");
    };
    Verdict::of((huge >= NOTABLE_BYTES && percent(huge, rss) >= 25).then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!("{} lie in transparent huge pages.", bytes(huge)),
            cause: "The kernel backs a few used bytes with 2 MiB at a time (THP set to always).",
            evidence: format!("{} % of the resident memory.", percent(huge, rss)),
            remedy: "Set transparent_hugepage to madvise on this machine, or start the server with \
                     MIMALLOC_ALLOW_THP=0."
                .to_owned(),
            setting: None,
            cost: "slightly more page faults under heavy load.".to_owned(),
            bytes: huge,
        }
        .into()
    }))
}

pub(super) fn fragmentation(report: &MemoryReport) -> Verdict {
    let (Some(free), Some(private)) = (report.part("allocator, free"), report.usage.private_bytes) else {
        return Verdict::Unknown("the allocator reports no figures");
    };
    let is_much = free.bytes >= 4 * NOTABLE_BYTES && percent(free.bytes, private) >= 50;
    Verdict::of(is_much.then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!("The allocator holds {} that nobody uses.", bytes(free.bytes)),
            cause: "Blocks of a burst are freed, and their pages are still resident: in gaps between live blocks, \
                    or not yet given back.",
            evidence: format!(
                "{} % of {} private; live heap {}.",
                percent(free.bytes, private),
                bytes(private),
                bytes(report.usage.heap_bytes.unwrap_or_default())
            ),
            remedy: "Look again in ten seconds; if it stays, `mcpool report --reclaim` gives back what can be given. What \
                     stays then lies between live blocks, and goes with them."
                .to_owned(),
            setting: None,
            cost: "pages that are needed again have to be faulted in again.".to_owned(),
            bytes: free.bytes,
        }
        .into()
    }))
}

/// Share of the resident memory by which the ledger may be wrong, of either sign, and the bytes from which it matters.
const LEDGER_ERROR_RATIO: f64 = 0.05;
const LEDGER_ERROR_BYTES: u64 = MIB;

pub(super) fn ledger_wrong(report: &MemoryReport) -> Verdict {
    let usage = &report.usage;
    let (Some(error), Some(ratio), Some(rss)) = (usage.error_bytes, usage.error_ratio, usage.rss_bytes)
    else {
        return Verdict::Unknown("the platform does not report resident memory");
    };
    let wrong = error.unsigned_abs();
    let is_wrong = ratio.abs() > LEDGER_ERROR_RATIO && wrong >= LEDGER_ERROR_BYTES;
    let (problem, cause) = if error > 0 {
        let cause = "An account tells more than it holds, or bytes are in two lines; where the allocator reports no \
                     figures, it may be buffers that nobody has written to.";
        (format!("The ledger counts {} that are not resident.", bytes(wrong)), cause)
    } else if usage.heap_bytes.is_none() {
        let cause = "The program's allocator reports no figures, so what no account enters cannot be told.";
        (format!("{} are not explained.", bytes(wrong)), cause)
    } else {
        let cause = "Something on the heap has no account, or a library keeps memory of its own.";
        (format!("{} are not explained.", bytes(wrong)), cause)
    };
    Verdict::of(is_wrong.then(|| {
        Draft {
            severity: Severity::Warning,
            problem,
            cause,
            evidence: format!(
                "the parts are {} of {} resident: {:+.1} %.",
                bytes(usage.explained_bytes),
                bytes(rss),
                ratio * 100.0
            ),
            remedy: "In a program of your own, tell the allocator's figures (MemoryManager::set_allocator) and the \
                     bytes of your tools (Toolset::state_bytes); otherwise send the report (`mcpool report --json`) \
                     with an issue."
                .to_owned(),
            setting: None,
            cost: "nothing.".to_owned(),
            bytes: wrong,
        }
        .into()
    }))
}
