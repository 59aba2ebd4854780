//! Moments as people write and read them: in the zone of this machine.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A moment as a report shows it: `14:03:20`.
pub(super) fn clock(unix_ms: u64) -> String {
    TimeZone::system().to_datetime(timestamp(unix_ms)).strftime("%H:%M:%S").to_string()
}

/// A moment in the name of a file, in UTC: names ascend with time, whatever the zone does.
pub(super) fn file_stamp(unix_ms: u64) -> String {
    timestamp(unix_ms).strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

fn timestamp(unix_ms: u64) -> Timestamp {
    i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// Reads a moment, in milliseconds since 1970: `14:03:20` (the latest one), `2026-11-29T14:03:20`, the same with `Z` or
/// an offset, or `-5m` before `now_unix_ms`.
pub(super) fn parse_moment(text: &str, now_unix_ms: u64) -> Option<u64> {
    in_zone(text, now_unix_ms, &TimeZone::system())
}

fn in_zone(text: &str, now_unix_ms: u64, zone: &TimeZone) -> Option<u64> {
    if let Some(ago) = text.strip_prefix('-') {
        return now_unix_ms.checked_sub(parse_duration_ms(ago)?);
    }
    let of_day = |date_time: DateTime| {
        Some(zone.to_ambiguous_timestamp(date_time).compatible().ok()?.as_millisecond())
    };
    let unix_ms = if let Ok(moment) = text.parse::<Timestamp>() {
        moment.as_millisecond()
    } else if let Ok(time) = text.parse::<Time>() {
        let now = timestamp(now_unix_ms);
        let today = zone.to_datetime(now).date();
        let unix_ms = of_day(today.to_datetime(time))?;
        if unix_ms <= now.as_millisecond() {
            unix_ms
        } else {
            of_day(today.checked_sub(Span::new().days(1)).ok()?.to_datetime(time))?
        }
    } else {
        of_day(text.parse::<DateTime>().ok()?)?
    };
    u64::try_from(unix_ms).ok()
}

/// Reads a duration in milliseconds: `90s`, `5m`, `1h`.
pub(super) fn parse_duration_ms(text: &str) -> Option<u64> {
    crate::load::parse_duration(text).map(|duration| duration.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let at = |text: &str| text.parse::<Timestamp>().expect("a moment").as_millisecond().cast_unsigned();
        let now = at("2026-11-29T13:00:00Z");
        for (text, want) in [
            ("14:03:20", Some(at("2026-11-29T12:03:20Z"))),
            ("14:03", Some(at("2026-11-29T12:03:00Z"))),
            // Not yet today.
            ("15:00:01", Some(at("2026-11-28T13:00:01Z"))),
            ("2026-11-29T14:03:20", Some(at("2026-11-29T12:03:20Z"))),
            ("2026-11-29 14:03:20", Some(at("2026-11-29T12:03:20Z"))),
            ("2026-11-29T14:03:20Z", Some(at("2026-11-29T14:03:20Z"))),
            ("2026-11-29T14:03:20+01:00", Some(at("2026-11-29T13:03:20Z"))),
            ("-5m", Some(now - 300_000)),
            ("-90s", Some(now - 90_000)),
            ("-5", None),
            ("noon", None),
            ("25:00:00", None),
            ("", None),
        ] {
            assert_eq!(in_zone(text, now, &zone), want, "{text}");
        }
        assert_eq!(file_stamp(now), "2026-11-29T13-00-00Z");
    }
}
