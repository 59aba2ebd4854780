//! Writes times as JavaScript does: `Tue Nov 14 2023 22:13:20 GMT+0000 (Coordinated Universal Time)`.
//!
//! The zone is that of the system or of `TZ`. The names of zones in `zones.txt` are those of the Unicode
//! CLDR in English, as Node.js 20 gives them: standard time, daylight time, the zones that use them.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::SystemTime;

const ZONES: &str = include_str!("zones.txt");

/// A time in the local zone.
pub(crate) fn javascript(time: SystemTime) -> String {
    in_zone(time, &TimeZone::system())
}

fn in_zone(time: SystemTime, zone: &TimeZone) -> String {
    let Ok(timestamp) = Timestamp::try_from(time) else { return "Invalid Date".to_owned() };
    let info = zone.to_offset_info(timestamp);
    let offset = info.offset().seconds() / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    let name = match zone.iana_name().and_then(names) {
        // In Ireland, winter time is the daylight saving time by law; the names follow the clock.
        Some((standard, daylight)) if daylight == "Irish Standard Time" => {
            if offset == 0 {
                standard.to_owned()
            } else {
                daylight.to_owned()
            }
        }
        Some((_, daylight)) if info.dst().is_dst() && !daylight.is_empty() => daylight.to_owned(),
        Some((standard, _)) => standard.to_owned(),
        None if zone.iana_name() == Some("UTC") || zone.is_unknown() => {
            "Coordinated Universal Time".to_owned()
        }
        None => format!("GMT{sign}{hours:02}:{minutes:02}"),
    };
    let local = info.offset().to_datetime(timestamp);
    format!("{} GMT{sign}{hours:02}{minutes:02} ({name})", local.strftime("%a %b %d %Y %H:%M:%S"))
}

/// The names of the standard and the daylight time of a zone.
fn names(zone: &str) -> Option<(&'static str, &'static str)> {
    ZONES.lines().find_map(|line| {
        let mut fields = line.split('|');
        let (standard, daylight, zones) = (fields.next()?, fields.next()?, fields.next()?);
        zones.split(' ').any(|name| name == zone).then_some((standard, daylight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_read_as_in_javascript() {
        // Seconds since 1970, zone, and what `String(new Date(ms))` gives.
        let rows = [
            (1_700_000_000, "UTC", "Tue Nov 14 2023 22:13:20 GMT+0000 (Coordinated Universal Time)"),
            (1_700_000_000, "Etc/UTC", "Tue Nov 14 2023 22:13:20 GMT+0000 (Coordinated Universal Time)"),
            (1_736_899_200, "Europe/Dublin", "Wed Jan 15 2025 00:00:00 GMT+0000 (Greenwich Mean Time)"),
            (1_752_537_600, "Europe/Dublin", "Tue Jul 15 2025 01:00:00 GMT+0100 (Irish Standard Time)"),
            (
                1_752_537_600,
                "Europe/Berlin",
                "Tue Jul 15 2025 02:00:00 GMT+0200 (Central European Summer Time)",
            ),
            (1_736_899_200, "Asia/Kathmandu", "Wed Jan 15 2025 05:45:00 GMT+0545 (Nepal Time)"),
            (0, "America/New_York", "Wed Dec 31 1969 19:00:00 GMT-0500 (Eastern Standard Time)"),
            (0, "Etc/GMT+5", "Wed Dec 31 1969 19:00:00 GMT-0500 (GMT-05:00)"),
            (1_752_537_600, "Antarctica/Troll", "Tue Jul 15 2025 02:00:00 GMT+0200 (GMT+02:00)"),
        ];
        for (seconds, zone, want) in rows {
            // Where the system has no table of zones there is nothing to test but UTC.
            let Ok(zone) = TimeZone::get(zone) else { continue };
            assert_eq!(in_zone(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), &zone), want);
        }
    }
}
