//! What came of the hour.

use crate::{Hour, MAX_KEPT_BYTES, MIB, Memory, Wanted};
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

/// What was measured, and against what.
pub(crate) struct Verdict<'a> {
    pub(crate) wanted: &'a Wanted,
    pub(crate) base: Memory,
    pub(crate) end: Option<Memory>,
    /// What of it may stay.
    pub(crate) lasting: u64,
    pub(crate) hour: &'a Hour,
}

impl Verdict<'_> {
    /// The bounds that broke, by name.
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let Some(end) = self.end else { return vec![("ended", "the program ended".to_owned())] };
        let mut faults = Vec::new();
        if end.peak > self.wanted.limit_mib * MIB {
            let excess = end.peak - self.wanted.limit_mib * MIB;
            faults.push(("limit", format!("the peak is {excess} B above the limit")));
        }
        if end.anonymous > self.base.anonymous + self.lasting + MAX_KEPT_BYTES {
            let kept = end.anonymous - self.base.anonymous;
            let why =
                format!("{kept} B are kept 5 s after the last client, {} B of it by sessions", self.lasting);
            faults.push(("kept", why));
        }
        let lost = self.hour.lost.load(Ordering::Relaxed);
        if lost > 0 {
            faults.push(("lost", format!("{lost} requests were taken and not answered")));
        }
        let failed = self.hour.failed_probes.load(Ordering::Relaxed);
        if failed > 0 {
            let of = self.hour.probes.count();
            faults.push(("livez", format!("{failed} of {of} probes did not hear that it lives")));
        }
        if let Some(only) = &self.wanted.only {
            faults.retain(|(bound, _)| only.split(',').any(|name| name == *bound));
        }
        faults
    }

    pub(crate) fn json(&self) -> String {
        let times = |[p50, p99, max]: [f64; 3]| serde_json::json!({ "p50": p50, "p99": p99, "max": max });
        let faults = self.faults();
        serde_json::json!({
            "limit_bytes": self.wanted.limit_mib * MIB,
            "clients": self.wanted.clients,
            "seconds": self.wanted.seconds,
            "base_bytes": self.base.resident,
            "base_anonymous_bytes": self.base.anonymous,
            "peak_bytes": self.end.map(|end| end.peak),
            "bytes_after_5_s": self.end.map(|end| end.resident),
            "anonymous_bytes_after_5_s": self.end.map(|end| end.anonymous),
            "bytes_of_sessions": self.lasting,
            "small_ms": times(self.hour.small.ms()),
            "livez_ms": times(self.hour.probes.ms()),
            "livez_probes": self.hour.probes.count(),
            "livez_failed": self.hour.failed_probes.load(Ordering::Relaxed),
            "outcomes": *self.hour.outcomes.lock().expect("no panic"),
            "broken": faults.iter().map(|(bound, _)| *bound).collect::<Vec<_>>(),
            "faults": faults.iter().map(|(_, why)| &**why).collect::<Vec<_>>(),
        })
        .to_string()
    }

    pub(crate) fn text(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        let mut text = String::new();
        for (outcome, count) in self.hour.outcomes.lock().expect("no panic").iter() {
            let _ = writeln!(text, "{count:>9} {outcome}");
        }
        let (base, limit) = (mib(self.base.resident), self.wanted.limit_mib);
        if let Some(end) = self.end {
            let (peak, kept) = (mib(end.peak), mib(end.resident));
            let _ = writeln!(
                text,
                "resident MiB: base {base:.1}, peak {peak:.1} of {limit}, after 5 s {kept:.1}, of which sessions {:.1}; anonymous {:.1}, then {:.1}",
                mib(self.lasting),
                mib(self.base.anonymous),
                mib(end.anonymous)
            );
        }
        for (what, times) in [("small requests", &self.hour.small), ("/livez", &self.hour.probes)] {
            let [p50, p99, max] = times.ms();
            let _ = writeln!(text, "{what}: {}, ms: p50 {p50:.1}, p99 {p99:.1}, max {max:.1}", times.count());
        }
        let faults = self.faults();
        if faults.is_empty() {
            return text + "fine";
        }
        let faults: Vec<_> = faults.iter().map(|(bound, why)| format!("{bound} ({why})")).collect();
        text + "NOT fine: " + &faults.join("; ")
    }
}
