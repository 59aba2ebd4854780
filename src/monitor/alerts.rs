//! The alerts that last or were over not long ago: one for each thing, however often it comes and goes.
//!
//! An alert is over when its condition has been for a minute. One that comes back within half an hour is the same again,
//! and is reported again at most each ten minutes. Time is an argument. Invariant: there are at most [`MAX_ALERTS`].

use super::alert::{Alert, AlertKind, Severity};

/// Most alerts; the one that was over first makes room.
const MAX_ALERTS: usize = 32;
/// An alert is over when its condition has been for so long.
const RESOLVE_AFTER_MS: u64 = 60_000;
/// An alert that was over for so long is forgotten.
const FORGET_AFTER_MS: u64 = 1_800_000;
/// An alert that comes and goes is reported at most each so often.
const REPORT_EACH_MS: u64 = 600_000;

/// What an alert is about: its kind and the number of what it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(pub(super) AlertKind, pub(super) usize);

/// The words of an alert.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) subject: String,
    pub(super) what: String,
    pub(super) against: String,
    pub(super) cause: String,
    pub(super) command: String,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    alert: Alert,
    /// When its condition was last true.
    seen_ms: u64,
    reported_ms: u64,
}

/// All alerts.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    entries: Vec<Entry>,
}

impl Alerts {
    /// The condition of an alert is true. Returns the alert if it is to be reported; `text` is asked for only then.
    pub(super) fn raise(
        &mut self,
        key: Key,
        severity: Severity,
        now_ms: u64,
        text: impl FnOnce() -> Text,
    ) -> Option<Alert> {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) else {
            return self.add(key, severity, now_ms, text());
        };
        entry.seen_ms = now_ms;
        let is_worse = severity > entry.alert.severity;
        let is_back = !entry.alert.is_active();
        if !is_worse && !is_back {
            return None;
        }
        let since_ms = if is_back { now_ms } else { entry.alert.since_unix_ms };
        let times = entry.alert.times + u32::from(is_back);
        entry.alert = Alert { times, ..alert_of(key, severity, since_ms, text()) };
        let is_due = is_worse || now_ms.saturating_sub(entry.reported_ms) >= REPORT_EACH_MS;
        if is_due {
            entry.reported_ms = now_ms;
        }
        is_due.then(|| entry.alert.clone())
    }

    fn add(&mut self, key: Key, severity: Severity, now_ms: u64, text: Text) -> Option<Alert> {
        if self.entries.len() == MAX_ALERTS {
            let over = self.entries.iter().enumerate().filter(|(_, entry)| !entry.alert.is_active());
            let first = over.min_by_key(|(_, entry)| entry.seen_ms).map(|(at, _)| at)?;
            self.entries.swap_remove(first);
        }
        let alert = alert_of(key, severity, now_ms, text);
        self.entries.push(Entry { key, alert: alert.clone(), seen_ms: now_ms, reported_ms: now_ms });
        Some(alert)
    }

    /// Ends the alerts whose condition is over, and forgets old ones. Returns those that ended now and had been reported.
    pub(super) fn settle(&mut self, now_ms: u64) -> Vec<Alert> {
        let mut ended = Vec::new();
        for entry in &mut self.entries {
            let is_over = now_ms.saturating_sub(entry.seen_ms) >= RESOLVE_AFTER_MS;
            if is_over && entry.alert.is_active() {
                entry.alert.resolved_unix_ms = Some(now_ms);
                if entry.reported_ms >= entry.alert.since_unix_ms {
                    ended.push(entry.alert.clone());
                }
            }
        }
        self.entries.retain(|entry| now_ms.saturating_sub(entry.seen_ms) < FORGET_AFTER_MS);
        ended
    }

    /// Heap bytes.
    pub(super) fn bytes(&self) -> usize {
        let texts = |Entry { alert, .. }: &Entry| {
            let Alert { subject, what, against, cause, command, .. } = alert;
            [subject, what, against, cause, command].map(String::capacity).iter().sum::<usize>()
        };
        self.entries.capacity() * size_of::<Entry>() + self.entries.iter().map(texts).sum::<usize>()
    }

    /// All alerts: those that last first, the worst before others.
    pub(super) fn all(&self) -> Vec<Alert> {
        let mut all: Vec<_> = self.entries.iter().map(|entry| entry.alert.clone()).collect();
        all.sort_by(|one, other| {
            let rank = |alert: &Alert| (alert.is_active(), alert.severity, alert.since_unix_ms);
            rank(other).cmp(&rank(one))
        });
        all
    }
}

fn alert_of(Key(kind, _): Key, severity: Severity, since_unix_ms: u64, text: Text) -> Alert {
    let Text { subject, what, against, cause, command } = text;
    Alert {
        severity,
        kind,
        subject,
        what,
        against,
        cause,
        command,
        since_unix_ms,
        resolved_unix_ms: None,
        times: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key(AlertKind::Regression, 3);
    const MINUTE_MS: u64 = 60_000;

    fn text() -> Text {
        let word = || "x".to_owned();
        Text { subject: word(), what: word(), against: word(), cause: word(), command: word() }
    }

    fn raise(alerts: &mut Alerts, severity: Severity, minute: u64) -> Option<(u32, Severity)> {
        let raised = alerts.raise(KEY, severity, minute * MINUTE_MS, text);
        raised.map(|alert| (alert.times, alert.severity))
    }

    #[test]
    fn what_lasts_is_reported_once_and_when_it_gets_worse_and_when_it_is_over() {
        let mut alerts = Alerts::default();
        assert_eq!(raise(&mut alerts, Severity::Warning, 1), Some((1, Severity::Warning)));
        for minute in 2..50 {
            assert_eq!(raise(&mut alerts, Severity::Warning, minute), None);
            assert_eq!(alerts.settle(minute * MINUTE_MS), []);
        }
        assert_eq!(raise(&mut alerts, Severity::Critical, 50), Some((1, Severity::Critical)));
        let ended = alerts.settle(51 * MINUTE_MS);
        assert_eq!((ended.len(), ended[0].since_unix_ms), (1, MINUTE_MS));
        assert_eq!(ended[0].resolved_unix_ms, Some(51 * MINUTE_MS));
        assert_eq!((alerts.settle(52 * MINUTE_MS), alerts.all().len()), (vec![], 1));
        alerts.settle(80 * MINUTE_MS);
        assert!(alerts.all().is_empty());
    }

    #[test]
    fn what_comes_and_goes_is_one_alert_that_is_seldom_reported() {
        let mut alerts = Alerts::default();
        let mut reports = 0;
        for round in 0..20 {
            let minute = 3 * round;
            reports += usize::from(raise(&mut alerts, Severity::Warning, minute).is_some());
            alerts.settle((minute + 1) * MINUTE_MS);
        }
        let all = alerts.all();
        assert_eq!((all.len(), all[0].times), (1, 20));
        assert!((5..=6).contains(&reports), "{reports}");
    }

    #[test]
    fn there_are_never_more_than_fit_and_those_that_last_stay() {
        let mut alerts = Alerts::default();
        for number in 0..100 {
            let key = Key(AlertKind::Requirement, number);
            let is_new = alerts.raise(key, Severity::Warning, 0, text).is_some();
            assert_eq!(is_new, number < MAX_ALERTS, "{number}");
        }
        alerts.settle(MINUTE_MS);
        assert!(alerts.all().iter().all(|alert| !alert.is_active()));
        assert_eq!(raise(&mut alerts, Severity::Warning, 2), Some((1, Severity::Warning)));
        let all = alerts.all();
        assert_eq!((all.len(), all[0].kind), (MAX_ALERTS, AlertKind::Regression));
    }
}
