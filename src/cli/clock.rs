//! Moments as people write and read them: in the zone of this machine.

use jiff::civil::{DateTime, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A moment as a report shows it: `14:03:20`.
pub(super) fn clock(unix_ms: u64) -> String {
    TimeZone::system().to_datetime(timestamp(unix_ms)).strftime("%H:%M:%S").to_string()
}

/// Moments beside each other, in milliseconds since 1970: as [`clock`] shows them if all are of today, otherwise with
/// their dates.
pub(super) fn clocks<const COUNT: usize>(unix_ms: [i64; COUNT]) -> [String; COUNT] {
    clocks_in_zone(unix_ms, Timestamp::now(), &TimeZone::system())
}

fn clocks_in_zone<const COUNT: usize>(
    unix_ms: [i64; COUNT],
    now: Timestamp,
    zone: &TimeZone,
) -> [String; COUNT] {
    let moments = unix_ms.map(|unix_ms| zone.to_datetime(signed_timestamp(unix_ms)));
    let today = zone.to_datetime(now).date();
    let are_of_today = moments.iter().all(|moment| moment.date() == today);
    let format = if are_of_today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    moments.map(|moment| moment.strftime(format).to_string())
}

/// A moment in the name of a file, in UTC: names ascend with time, whatever the zone does.
pub(super) fn file_stamp(unix_ms: u64) -> String {
    timestamp(unix_ms).strftime("%Y-%m-%dT%H-%M-%SZ").to_string()
}

/// The moment, or the last one that has a date.
fn timestamp(unix_ms: u64) -> Timestamp {
    signed_timestamp(i64::try_from(unix_ms).unwrap_or(i64::MAX))
}

/// The moment, or the nearest one that has a date.
fn signed_timestamp(unix_ms: i64) -> Timestamp {
    let beyond = if unix_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(unix_ms).unwrap_or(beyond)
}

/// Reads a moment, in milliseconds since 1970, before or after: `14:03:20` (the latest one), `2026-11-29T14:03:20` or
/// `2026-11-29`, the same with `Z`, an offset or `[Europe/Berlin]`, or `-5m` before `now_unix_ms`.
pub(super) fn parse_moment(text: &str, now_unix_ms: u64) -> Option<i64> {
    in_zone(text, now_unix_ms, &TimeZone::system())
}

fn in_zone(text: &str, now_unix_ms: u64, zone: &TimeZone) -> Option<i64> {
    let now = timestamp(now_unix_ms);
    if let Some(ago) = text.strip_prefix('-') {
        let ago_ms = i64::try_from(parse_duration_ms(ago)?).unwrap_or(i64::MAX);
        return Some(now.as_millisecond().saturating_sub(ago_ms));
    }
    // A date with a time is a time as well to who reads times, so dates come first.
    if let Ok(pieces) = Pieces::parse(text) {
        return Some(with_date(&pieces, zone)?.as_millisecond());
    }
    let time: Time = text.parse().ok()?;
    let today = zone.to_datetime(now).date();
    let moment = of_zone(today.to_datetime(time), zone);
    if moment <= now {
        return Some(moment.as_millisecond());
    }
    let yesterday = today.checked_sub(Span::new().days(1)).ok()?;
    Some(of_zone(yesterday.to_datetime(time), zone).as_millisecond())
}

/// A moment whose date is given; `None` where it names a zone that there is not.
fn with_date(pieces: &Pieces<'_>, zone: &TimeZone) -> Option<Timestamp> {
    let date_time = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    // An offset says which moment it is, also where a zone is named beside it.
    if let Some(offset) = pieces.to_numeric_offset() {
        return Some(of_zone(date_time, &TimeZone::fixed(offset)));
    }
    let named = pieces.to_time_zone().ok()?;
    Some(of_zone(date_time, named.as_ref().unwrap_or(zone)))
}

/// When a clock of the zone showed that, or the nearest moment there is: the last hours of the year 9999 are none.
fn of_zone(date_time: DateTime, zone: &TimeZone) -> Timestamp {
    let beyond = if date_time.year() < 1970 { Timestamp::MIN } else { Timestamp::MAX };
    zone.to_ambiguous_timestamp(date_time).compatible().unwrap_or(beyond)
}

/// Reads a duration in milliseconds: `90s`, `5m`, `1h`.
pub(super) fn parse_duration_ms(text: &str) -> Option<u64> {
    crate::load::parse_duration(text).map(|duration| duration.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a moment").as_millisecond()
    }

    #[test]
    fn moments_are_read_as_people_write_them() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
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
            // Other days, before and after.
            ("1999-01-01T23:16:25", Some(at("1999-01-01T21:16:25Z"))),
            ("1999-01-01 23:16", Some(at("1999-01-01T21:16:00Z"))),
            ("1999-01-01", Some(at("1998-12-31T22:00:00Z"))),
            ("2031-05-06T07:08:09", Some(at("2031-05-06T05:08:09Z"))),
            ("1999-01-01T23:16:25-03:00", Some(at("1999-01-02T02:16:25Z"))),
            ("1999-01-01T23:16:25[+05:00]", Some(at("1999-01-01T18:16:25Z"))),
            ("1999-01-01T23:16:25Z[+05:00]", Some(at("1999-01-01T23:16:25Z"))),
            ("1999-01-01T23:16:25[Nowhere/There]", None),
            ("1969-07-20T20:17:40Z", Some(at("1969-07-20T20:17:40Z"))),
            ("1960-01-01", Some(at("1959-12-31T22:00:00Z"))),
            ("9999-12-31T23:59:59Z", Some(Timestamp::MAX.as_millisecond())),
            ("9999-12-31T23:59:59", Some(Timestamp::MAX.as_millisecond())),
            ("-5m", Some(now - 300_000)),
            ("-90s", Some(now - 90_000)),
            ("-5", None),
            ("noon", None),
            ("25:00:00", None),
            ("2026-02-30T14:03:20", None),
            ("", None),
        ] {
            assert_eq!(in_zone(text, now.cast_unsigned(), &zone), want, "{text}");
        }
        assert_eq!(file_stamp(now.cast_unsigned()), "2026-11-29T13-00-00Z");
        // A hostile file was taken then.
        assert!(in_zone("14:03:20", u64::MAX, &zone).is_some() && in_zone("-5m", u64::MAX, &zone).is_some());
    }

    #[test]
    fn dates_are_shown_where_one_is_not_of_today() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now = "2026-11-29T13:00:00Z".parse().expect("a moment");
        let shown = |texts: [&str; 2]| clocks_in_zone(texts.map(at), now, &zone);
        assert_eq!(shown(["2026-11-28T22:00:00Z", "2026-11-29T21:59:59Z"]), ["00:00:00", "23:59:59"]);
        assert_eq!(
            shown(["1999-01-01T21:16:25Z", "2026-11-29T12:00:00Z"]),
            ["1999-01-01 23:16:25", "2026-11-29 14:00:00"]
        );
        assert_eq!(clocks_in_zone([i64::MIN, i64::MAX], now, &TimeZone::UTC)[1], "9999-12-30 22:00:00");
    }
}
