//! Rules about the last hour: what the black box recorded, with the times when.
//!
//! Whether the machine was short of memory or the server's own control group: a group that comes to its own limits has
//! counts of it (`memory.events`), and everything in it waits; a machine that is short has waiting tasks and no such
//! counts. So a machine counts as short only where the group was not within the last ten seconds.

use super::finding::{Draft, Severity, Verdict, percent, round_up, sum, up_to};
use crate::limits::units::{bytes, duration, grouped};
use crate::memory::{GroupEvents, History, MemoryStalls, PressureLevel, Sample};
use std::cmp::Reverse;

/// A peak from this share of the limit on is near it.
const NEAR_PERCENT: u64 = 90;
/// Share of time in percent in which tasks waited for memory, above which somebody was short of it.
const SHORT_PERCENT: f64 = 10.0;
/// How long after the group came to a limit its own waiting is in the averages.
const AFTERMATH_MS: u64 = 10_000;
/// Fewer requests than that are no spike.
const SPIKE_REQUESTS: u64 = 32;
/// A spike is so many times what is usual.
const SPIKE_TIMES: u64 = 10;
/// Growth by less is nothing.
const NOTABLE_BYTES: u64 = 4 << 20;
const NOTABLE_PERCENT: u64 = 15;
/// Least samples in a quarter of a history that tells growth: about three minutes in all.
const LEAST_OF_A_QUARTER: usize = 45;

/// The part of a history that is looked at.
pub(super) struct Window<'h> {
    pub(super) history: &'h History,
    pub(super) samples: &'h [Sample],
    /// Writes a moment for people.
    pub(super) clock: &'h dyn Fn(u64) -> String,
}

impl Window<'_> {
    fn clock(&self, sample: &Sample) -> String {
        (self.clock)(sample.at_unix_ms)
    }

    /// When the first and the last of some samples were, and the time that all of them cover.
    fn times<'s>(&self, samples: impl Iterator<Item = &'s Sample> + Clone) -> Option<Times> {
        let (first, last) = (samples.clone().next()?, samples.clone().last()?);
        let ms = sum(samples.map(|sample| sample.span_ms));
        let when = if first.at_unix_ms == last.at_unix_ms {
            format!("at {}", self.clock(first))
        } else {
            format!("between {} and {}", self.clock(first), self.clock(last))
        };
        Some(Times { when, ms })
    }

    /// The largest parts of a sample, in words.
    fn largest(&self, sample: &Sample) -> String {
        let mut parts: Vec<_> = self.history.parts_of(sample).filter(|(_, kib)| *kib > 0).collect();
        parts.sort_by_key(|(_, kib)| Reverse(*kib));
        let shown: Vec<_> = parts
            .iter()
            .take(3)
            .map(|(name, kib)| format!("{name} {}", bytes(u64::from(*kib) * 1024)))
            .collect();
        if shown.is_empty() { "no part had a KiB".to_owned() } else { shown.join(", ") }
    }
}

struct Times {
    when: String,
    ms: u64,
}

pub(super) fn peak_near_limit(window: &Window<'_>) -> Verdict {
    let Some(limit) = window.history.limit_bytes.filter(|limit| *limit > 0) else {
        return Verdict::Unknown("no limit is known");
    };
    let Some(peak) = window.samples.iter().max_by_key(|sample| sample.rss_bytes) else {
        return Verdict::Fine;
    };
    let share = percent(peak.rss_bytes, limit);
    Verdict::of((share >= NEAR_PERCENT).then(|| {
        Draft {
            severity: if share >= 100 { Severity::Critical } else { Severity::Warning },
            problem: format!("At {} {} % of the limit were resident.", window.clock(peak), share),
            cause: "What came at once needed nearly all that the server may have.",
            evidence: format!(
                "{} of {}; largest: {}; {} requests in flight, {} connections.",
                bytes(peak.rss_bytes),
                bytes(limit),
                window.largest(peak),
                grouped(peak.in_flight),
                grouped(peak.connections)
            ),
            remedy: "See who held it then (`mcpool report --at`), and raise the limit or lower that part."
                .to_owned(),
            setting: Some(("memory_limit_bytes", round_up(limit.saturating_add(limit / 2)))),
            cost: up_to(limit / 2),
            bytes: peak.rss_bytes,
        }
        .into()
    }))
}

pub(super) fn work_was_refused(window: &Window<'_>) -> Verdict {
    let refusing = window.samples.iter().filter(|sample| sample.refused > 0);
    let Some(worst) = refusing.clone().max_by_key(|sample| sample.refused) else { return Verdict::Fine };
    let Some(times) = window.times(refusing.clone()) else { return Verdict::Fine };
    let refused = sum(refusing.map(|sample| sample.refused));
    let limit = window.history.limit_bytes.unwrap_or_default();
    Verdict::Found(
        Draft {
            severity: Severity::Critical,
            problem: format!("Work was refused {} times for lack of memory, {}.", grouped(refused), times.when),
            cause: "Large messages that were on their way at once needed more than was set aside for them, or \
                    pressure was critical.",
            evidence: format!(
                "most in {} until {}: {} refusals with {} resident and {} requests in flight; largest: {}.",
                duration(worst.span_ms),
                window.clock(worst),
                grouped(worst.refused),
                bytes(worst.rss_bytes),
                grouped(worst.in_flight),
                window.largest(worst)
            ),
            remedy: "Raise the limit, or have fewer clients send large messages at once.".to_owned(),
            setting: Some(("memory_limit_bytes", round_up(limit.saturating_mul(2)))),
            cost: up_to(limit),
            bytes: limit,
        }
        .into(),
    )
}

pub(super) fn pressure_was_high(window: &Window<'_>) -> Verdict {
    let high = window.samples.iter().filter(|sample| sample.pressure != PressureLevel::Normal);
    let Some(times) = window.times(high.clone()) else { return Verdict::Fine };
    let critical = high.clone().filter(|sample| sample.pressure == PressureLevel::Critical);
    let critical_ms = sum(critical.map(|sample| sample.span_ms));
    let peak = high.map(|sample| sample.rss_bytes).max().unwrap_or_default();
    Verdict::Found(
        Draft {
            severity: if critical_ms > 0 { Severity::Warning } else { Severity::Hint },
            problem: format!("Memory was under pressure for {}, {}.", duration(times.ms), times.when),
            cause: "What the server held came near its limit, or tasks of the machine waited for memory.",
            evidence: format!("critical for {}; at most {} resident.", duration(critical_ms), bytes(peak)),
            remedy: "Look at the seconds in which it began: `mcpool report --at`.".to_owned(),
            setting: None,
            cost: "nothing.".to_owned(),
            bytes: peak,
        }
        .into(),
    )
}

fn events(sample: &Sample) -> Option<GroupEvents> {
    sample.group.and_then(|group| group.events)
}

/// Whether the group came to a limit of its own.
fn is_group_short(sample: &Sample) -> bool {
    events(sample).is_some_and(|events| events != GroupEvents::default())
}

pub(super) fn group_was_short(window: &Window<'_>) -> Verdict {
    if !window.samples.iter().any(|sample| events(sample).is_some()) {
        return Verdict::Unknown("the kernel told no memory.events of the control group");
    }
    let short = window.samples.iter().filter(|sample| is_group_short(sample));
    let Some(times) = window.times(short.clone()) else { return Verdict::Fine };
    let count = |figure: fn(&GroupEvents) -> u64| sum(short.clone().filter_map(events).map(|e| figure(&e)));
    let (high, max, oom, killed) =
        (count(|e| e.high), count(|e| e.max), count(|e| e.oom), count(|e| e.oom_kill));
    let of_group = |sample: &Sample| sample.group.and_then(|group| group.current_bytes);
    let most = short.clone().filter_map(of_group).max().unwrap_or_default();
    let own = short.map(|sample| sample.rss_bytes).max().unwrap_or_default();
    Verdict::Found(
        Draft {
            severity: if [max, oom, killed].iter().any(|count| *count > 0) { Severity::Critical } else { Severity::Warning },
            problem: format!("The control group of the server was short of memory, {}.", times.when),
            cause: "The group came to its own limit, so the kernel took memory from its processes; the machine may have \
                    had plenty.",
            evidence: format!(
                "above memory.high {} times, at memory.max {} times, out of memory {} times, {} processes killed; the \
                 group had {}, of which this server {}.",
                grouped(high),
                grouped(max),
                grouped(oom),
                grouped(killed),
                bytes(most),
                bytes(own)
            ),
            remedy: "Raise the limit of the control group, or move what else runs in it; if most of it is this server's, \
                     lower memory_limit_bytes to what the group allows."
                .to_owned(),
            setting: None,
            cost: "memory that other groups then lack.".to_owned(),
            bytes: most,
        }
        .into(),
    )
}

pub(super) fn machine_was_short(window: &Window<'_>) -> Verdict {
    if !window.samples.iter().any(|sample| sample.machine.is_some()) {
        return Verdict::Unknown("the kernel told no pressure stall information");
    }
    let mut own_ms = None;
    let short: Vec<&Sample> = window
        .samples
        .iter()
        .filter(|sample| {
            if is_group_short(sample) {
                own_ms = Some(sample.at_unix_ms);
            }
            let is_aftermath =
                own_ms.is_some_and(|own| sample.at_unix_ms.saturating_sub(own) <= AFTERMATH_MS);
            let waits =
                |stalls: MemoryStalls| stalls.some_avg10 > SHORT_PERCENT || stalls.has_stalled == Some(true);
            !is_aftermath && sample.machine.is_some_and(waits)
        })
        .collect();
    let Some(times) = window.times(short.iter().copied()) else { return Verdict::Fine };
    let waits = short.iter().filter_map(|sample| sample.machine).map(|stalls| stalls.some_avg10);
    let own = short.iter().map(|sample| sample.rss_bytes).max().unwrap_or_default();
    Verdict::Found(
        Draft {
            severity: Severity::Warning,
            problem: format!("The machine was short of memory for {}, {}.", duration(times.ms), times.when),
            cause: "Processes of this machine waited for memory, and the server's own control group was at no limit: \
                    something else took it.",
            evidence: format!(
                "tasks waited for a tenth of two seconds, or of ten ({:.1} % of ten at most); this server had {} at most.",
                waits.fold(0.0, f64::max),
                bytes(own)
            ),
            remedy: "Move something off this machine, give it more memory, or put a limit on who takes it.".to_owned(),
            setting: None,
            cost: "nothing here.".to_owned(),
            bytes: own,
        }
        .into(),
    )
}

pub(super) fn requests_spiked(window: &Window<'_>) -> Verdict {
    let usual = median(window.samples.iter().map(|sample| sample.in_flight));
    let least = SPIKE_REQUESTS.max(usual.saturating_mul(SPIKE_TIMES));
    let mut spikes: Vec<&Sample> = window.samples.iter().filter(|sample| sample.in_flight >= least).collect();
    spikes.sort_by_key(|sample| Reverse(sample.in_flight));
    let Some(worst) = spikes.first() else { return Verdict::Fine };
    let shown: Vec<_> = spikes
        .iter()
        .take(3)
        .map(|sample| format!("{} at {}", grouped(sample.in_flight), window.clock(sample)))
        .collect();
    Verdict::Found(
        Draft {
            severity: Severity::Hint,
            problem: format!(
                "{} requests were in flight at {}, where {} are usual.",
                grouped(worst.in_flight),
                window.clock(worst),
                grouped(usual)
            ),
            cause: "Many clients called at once, or calls took longer than usual, so that they piled up.",
            evidence: format!("highest: {}; {} samples in all.", shown.join(", "), grouped(spikes.len() as u64)),
            remedy: "Compare that second with the minute before (`mcpool report --at`); bound what one client may have \
                     in flight."
                .to_owned(),
            setting: None,
            cost: "clients that send more at once wait.".to_owned(),
            bytes: worst.rss_bytes,
        }
        .into(),
    )
}

pub(super) fn memory_grew(window: &Window<'_>) -> Verdict {
    let quarter = window.samples.len() / 4;
    if quarter < LEAST_OF_A_QUARTER {
        return Verdict::Unknown("growth shows in three minutes at least");
    }
    // What a process needs when it starts is no growth, so the first quarter only has to be below the others.
    let quarters: Vec<&[Sample]> = window.samples.chunks(quarter).take(4).collect();
    let resident: Vec<u64> =
        quarters.iter().map(|samples| median(samples.iter().map(|sample| sample.rss_bytes))).collect();
    let [_, second, third, fourth] = resident[..] else { return Verdict::Fine };
    let is_steady = resident.windows(2).all(|two| two[0] < two[1]) && third - second >= NOTABLE_BYTES / 4;
    let grown = fourth.saturating_sub(second);
    let is_much = grown >= NOTABLE_BYTES && percent(grown, second) >= NOTABLE_PERCENT;
    let of_part = |quarter: usize, number: usize| {
        let kib = |sample: &Sample| u64::from(sample.parts_kib.get(number).copied().unwrap_or_default());
        quarters.get(quarter).map_or(0, |samples| median(samples.iter().map(kib)))
    };
    let growth = |number: usize| of_part(3, number).saturating_sub(of_part(1, number));
    let most = (0..window.history.parts.len()).max_by_key(|number| growth(*number));
    let most = most.filter(|number| growth(*number) > 0).and_then(|number| {
        Some(format!("most of it {} (+{})", window.history.parts.get(number)?, bytes(growth(number) * 1024)))
    });
    let begun = quarters.get(1).and_then(|samples| samples.first()).map(|sample| window.clock(sample));
    Verdict::of((is_steady && is_much).then(|| {
        Draft {
            severity: Severity::Warning,
            problem: format!("Resident memory grew by {} and went on growing.", bytes(grown)),
            cause: "Something is kept that does not go: sessions, subscriptions, events, or a leak of a tool.",
            evidence: format!(
                "{} in the quarter from {}, {} in the last one; {}.",
                bytes(second),
                begun.unwrap_or_default(),
                bytes(fourth),
                most.unwrap_or_else(|| "no part of the ledger grew".to_owned())
            ),
            remedy: "Compare two reports: `mcpool report diff`.".to_owned(),
            setting: None,
            cost: "nothing.".to_owned(),
            bytes: grown,
        }
        .into()
    }))
}

fn median(figures: impl Iterator<Item = u64>) -> u64 {
    let mut figures: Vec<u64> = figures.collect();
    let middle = figures.len() / 2;
    if figures.is_empty() { 0 } else { *figures.select_nth_unstable(middle).1 }
}
