//! What the answer to a call is at a given moment: pure functions of the arguments, the zones and the clock.

use super::zones::Zones;
use crate::server::TextBlock;
use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use std::fmt::{self, Write};
use thiserror::Error;

/// Characters of a name that an error repeats.
const SHOWN_NAME: usize = 200;

/// The zone, by both of its names, whose law says that the clock is set back for a part of the year. The reference goes by
/// that. The database here is in the form for programs that know no such thing (`rearguard`), where the rest of the year
/// is daylight saving time. (Morocco had such a law until 2026; the answers are about today.)
const NEGATIVE_SAVING: [&str; 2] = ["Eire", "Europe/Dublin"];

/// Why a call cannot be answered, in the words of the reference server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("Missing required argument: {0}")]
    Missing(&'static str),
    #[error("Invalid timezone: {0}")]
    Zone(String),
    #[error("Invalid time format. Expected HH:MM [24-hour format]")]
    Format,
    #[error("Invalid time: {time} does not exist in {zone} on {date} (skipped by a clock change)")]
    Skipped { time: String, zone: String, date: jiff::civil::Date },
}

/// A moment in a zone.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct TimeResult<'a> {
    timezone: &'a str,
    datetime: Short,
    day_of_week: &'static str,
    is_dst: bool,
}

/// A moment in two zones.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Conversion<'a> {
    source: TimeResult<'a>,
    target: TimeResult<'a>,
    time_difference: Short,
}

/// A time that the clock shows twice on that day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Twice<'a> {
    zone: &'a str,
    local: DateTime,
    first: Offset,
    second: Offset,
}

/// The time in a zone.
pub(super) fn current<'a>(zones: &Zones, name: &'a str, now: Timestamp) -> Result<TimeResult<'a>, Refusal> {
    required("timezone", name)?;
    Ok(in_zone(name, &zone(zones, name)?, now))
}

/// A time of today's date in the source zone, in both zones; and whether there are two such times.
pub(super) fn converted<'a>(
    zones: &Zones,
    source_name: &'a str,
    time: &str,
    target_name: &'a str,
    now: Timestamp,
) -> Result<(Conversion<'a>, Option<Twice<'a>>), Refusal> {
    required("source_timezone", source_name)?;
    required("target_timezone", target_name)?;
    let source = zone(zones, source_name)?;
    let target = zone(zones, target_name)?;
    let clock = read_time(time).ok_or(Refusal::Format)?;
    let local = source.to_datetime(now).date().to_datetime(clock);
    let (offset, twice) = match source.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => (offset, None),
        AmbiguousOffset::Fold { before, after } => {
            (before, Some(Twice { zone: source_name, local, first: before, second: after }))
        }
        AmbiguousOffset::Gap { .. } => {
            let (time, zone) = (time.to_owned(), source_name.to_owned());
            return Err(Refusal::Skipped { time, zone, date: local.date() });
        }
    };
    // The date is today's, far from the ends of the calendar.
    let moment = offset.to_timestamp(local).map_err(|_| Refusal::Format)?;
    let apart = target.to_offset(moment).duration_until(source.to_offset(moment));
    let conversion = Conversion {
        source: in_zone(source_name, &source, moment),
        target: in_zone(target_name, &target, moment),
        time_difference: difference(-apart),
    };
    Ok((conversion, twice))
}

fn required(argument: &'static str, value: &str) -> Result<(), Refusal> {
    if value.is_empty() { Err(Refusal::Missing(argument)) } else { Ok(()) }
}

fn zone(zones: &Zones, name: &str) -> Result<TimeZone, Refusal> {
    zones.get(name).ok_or_else(|| Refusal::Zone(no_zone(name)))
}

/// What the standard library of the reference says about a name that is no zone.
#[cold]
fn no_zone(name: &str) -> String {
    let shown: String = name.chars().take(SHOWN_NAME).collect();
    if name.starts_with('/') {
        return format!("ZoneInfo keys may not be absolute paths, got: {shown}");
    }
    let parts = || name.split('/');
    let is_normal = !parts().any(|part| part.is_empty() || part == ".")
        && parts().skip_while(|part| *part == "..").all(|part| part != "..");
    if name == "." {
        return "ZoneInfo keys must refer to subdirectories of TZPATH, got: .".to_owned();
    }
    if !is_normal {
        return format!("ZoneInfo keys must be normalized relative paths, got: {shown}");
    }
    if parts().next() == Some("..") {
        return format!("ZoneInfo keys must refer to subdirectories of TZPATH, got: {shown}");
    }
    if name.contains('\0') {
        return "embedded null byte".to_owned();
    }
    python_quoted(&format!("No time zone found with key {shown}"))
}

/// A text as Python shows it in quotes.
fn python_quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for character in text.chars() {
        let _ = match character {
            '\n' => quoted.write_str("\\n"),
            '\r' => quoted.write_str("\\r"),
            '\t' => quoted.write_str("\\t"),
            '\\' => quoted.write_str("\\\\"),
            _ if character == quote => write!(quoted, "\\{character}"),
            _ if character.is_control() => write!(quoted, "\\x{:02x}", u32::from(character)),
            _ => quoted.write_char(character),
        };
    }
    quoted.push(quote);
    quoted
}

/// Reads `H:M`, one or two digits each.
fn read_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_number = (1..=2).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<i8>().ok().filter(|_| is_number)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn in_zone<'a>(name: &'a str, zone: &TimeZone, moment: Timestamp) -> TimeResult<'a> {
    let info = zone.to_offset_info(moment);
    let local = info.offset().to_datetime(moment);
    TimeResult {
        timezone: name,
        datetime: Short::of(format_args!("{}", IsoTime(local, info.offset()))),
        day_of_week: english(local.weekday()),
        is_dst: info.dst().is_dst() != NEGATIVE_SAVING.contains(&name),
    }
}

/// `2026-11-30T09:05:00+01:00`.
struct IsoTime(DateTime, Offset);

impl fmt::Display for IsoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(local, offset) = self;
        let (year, month, day) = (local.year(), local.month(), local.day());
        let (hour, minute, second) = (local.hour(), local.minute(), local.second());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{}", IsoOffset(*offset))
    }
}

/// `+01:00`, with seconds where there are some.
struct IsoOffset(Offset);

impl fmt::Display for IsoOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let apart = seconds.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", apart / 3600, apart / 60 % 60)?;
        match apart % 60 {
            0 => Ok(()),
            seconds => write!(f, ":{seconds:02}"),
        }
    }
}

fn english(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

/// `+9.0h` for whole hours, `+5.75h` and `-3.5h` for others.
fn difference(apart: SignedDuration) -> Short {
    let seconds = apart.as_secs();
    let hours = seconds as f64 / 3600.0;
    if seconds % 3600 == 0 {
        return Short::of(format_args!("{hours:+.1}h"));
    }
    let exact = Short::of(format_args!("{hours:+.2}"));
    Short::of(format_args!("{}h", exact.as_str().trim_end_matches('0').trim_end_matches('.')))
}

impl Twice<'_> {
    /// Says which of the two times was taken.
    pub(super) fn write(&self, text: &mut TextBlock<'_>) {
        let Self { zone, local, first, second } = self;
        let (date, time) = (local.date(), local.time());
        for piece in [
            format_args!("{:02}:{:02}", time.hour(), time.minute()),
            format_args!(" occurs twice in {zone} on {date} (clocks are set back): this is the first, at "),
            format_args!("{}; the second is at {}.", IsoOffset(*first), IsoOffset(*second)),
        ] {
            // A block takes whatever is written to it.
            let _ = Pieces(text).write_fmt(piece);
        }
    }
}

struct Pieces<'a, 'r>(&'a mut TextBlock<'r>);

impl Write for Pieces<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.push_str(piece);
        Ok(())
    }
}

/// A short text that needs no heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short {
    bytes: [u8; Self::MAX_BYTES],
    len: usize,
}

impl Short {
    /// A time with its offset is 25 long, or 28.
    const MAX_BYTES: usize = 40;

    fn of(text: fmt::Arguments<'_>) -> Self {
        let mut short = Self { bytes: [0; Self::MAX_BYTES], len: 0 };
        // What does not fit is left out; nothing here is so long.
        let _ = short.write_fmt(text);
        short
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Short {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let end = self.len + piece.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(piece.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The answer at a moment, and whether the time occurs twice.
    fn at(now: &str, source: &str, time: &str, target: &str) -> Result<(Value, bool), String> {
        let now: Timestamp = now.parse().expect("a moment");
        let (answer, twice) =
            converted(&Zones::default(), source, time, target, now).map_err(|e| e.to_string())?;
        Ok((serde_json::to_value(answer).expect("JSON"), twice.is_some()))
    }

    #[test]
    fn the_time_in_a_zone_is_told_with_its_day_and_whether_it_is_daylight_saving() {
        for (now, zone, datetime, day, is_dst) in [
            ("2026-11-30T01:02:03.9Z", "UTC", "2026-11-30T01:02:03+00:00", "Monday", false),
            ("2026-07-01T23:00:00Z", "Europe/Berlin", "2026-07-02T01:00:00+02:00", "Thursday", true),
            ("2026-01-01T00:00:00Z", "America/New_York", "2025-12-31T19:00:00-05:00", "Wednesday", false),
            ("2026-01-01T00:00:00Z", "Asia/Kathmandu", "2026-01-01T05:45:00+05:45", "Thursday", false),
            // By Irish law, winter time is the exception.
            ("2026-01-01T00:00:00Z", "Europe/Dublin", "2026-01-01T00:00:00+00:00", "Thursday", true),
            ("2026-07-01T00:00:00Z", "Europe/Dublin", "2026-07-01T01:00:00+01:00", "Wednesday", false),
            ("2026-01-01T00:00:00Z", "Etc/GMT+5", "2025-12-31T19:00:00-05:00", "Wednesday", false),
            ("2045-01-01T00:00:00Z", "Australia/Lord_Howe", "2045-01-01T11:00:00+11:00", "Sunday", true),
        ] {
            let answer = current(&Zones::default(), zone, now.parse().expect("a moment")).expect("an answer");
            let want = json!({"timezone": zone, "datetime": datetime, "day_of_week": day, "is_dst": is_dst});
            assert_eq!(serde_json::to_value(answer).expect("JSON"), want);
        }
    }

    #[test]
    fn a_time_is_that_of_todays_date_in_the_source_zone() {
        let (answer, _) =
            at("2026-11-30T16:00:00Z", "Asia/Tokyo", "9:5", "America/New_York").expect("converted");
        let want = json!({
            "source": {"timezone": "Asia/Tokyo", "datetime": "2026-12-01T09:05:00+09:00", "day_of_week": "Tuesday", "is_dst": false},
            "target": {"timezone": "America/New_York", "datetime": "2026-11-30T19:05:00-05:00", "day_of_week": "Monday", "is_dst": false},
            "time_difference": "-14.0h",
        });
        assert_eq!(answer, want);
    }

    #[test]
    fn differences_are_written_as_the_reference_does() {
        for (source, target, want) in [
            ("UTC", "Asia/Tokyo", "+9.0h"),
            ("UTC", "America/New_York", "-5.0h"),
            ("UTC", "UTC", "+0.0h"),
            ("UTC", "Asia/Kathmandu", "+5.75h"),
            ("UTC", "America/St_Johns", "-3.5h"),
            ("Asia/Kathmandu", "Asia/Kolkata", "-0.25h"),
        ] {
            let (answer, _) = at("2026-01-15T12:00:00Z", source, "12:00", target).expect("converted");
            assert_eq!(answer["time_difference"], want, "{source} {target}");
        }
    }

    #[test]
    fn a_time_that_clocks_skip_is_refused_and_one_that_they_show_twice_is_said() {
        let skipped = at("2026-03-29T12:00:00Z", "Europe/Berlin", "02:30", "UTC").expect_err("refused");
        assert_eq!(
            skipped,
            "Invalid time: 02:30 does not exist in Europe/Berlin on 2026-03-29 (skipped by a clock change)"
        );
        let (twice, is_twice) =
            at("2026-10-25T12:00:00Z", "Europe/Berlin", "02:30", "UTC").expect("converted");
        assert!(is_twice);
        assert_eq!(twice["source"]["datetime"], "2026-10-25T02:30:00+02:00");
        assert_eq!(twice["source"]["is_dst"], true);
        assert_eq!(twice["target"]["datetime"], "2026-10-25T00:30:00+00:00");
        for time in ["01:59", "03:00"] {
            assert!(
                !at("2026-10-25T12:00:00Z", "Europe/Berlin", time, "UTC").expect("converted").1,
                "{time}"
            );
        }
    }

    #[test]
    fn what_is_no_time_or_no_zone_is_refused_in_the_words_of_the_reference() {
        let format = "Invalid time format. Expected HH:MM [24-hour format]";
        for time in [
            "", "9", "9:", ":5", "24:00", "12:60", " 9:05", "9:05 ", "09:05:00", "+9:05", "009:05", "9.05",
            "٩:٠٥",
        ] {
            assert_eq!(at("2026-01-01T00:00:00Z", "UTC", time, "UTC").expect_err(time), format, "{time:?}");
        }
        let zone = |name: &str| at("2026-01-01T00:00:00Z", name, "x", "UTC").expect_err(name);
        for (name, want) in [
            ("", "Missing required argument: source_timezone"),
            ("utc", "Invalid timezone: 'No time zone found with key utc'"),
            ("it's", "Invalid timezone: \"No time zone found with key it's\""),
            ("a\"'\\\n", "Invalid timezone: 'No time zone found with key a\"\\'\\\\\\n'"),
            (
                "/etc/localtime",
                "Invalid timezone: ZoneInfo keys may not be absolute paths, got: /etc/localtime",
            ),
            ("a/../b", "Invalid timezone: ZoneInfo keys must be normalized relative paths, got: a/../b"),
            ("x\0y", "Invalid timezone: embedded null byte"),
            ("../x", "Invalid timezone: ZoneInfo keys must refer to subdirectories of TZPATH, got: ../x"),
        ] {
            assert_eq!(zone(name), want);
        }
        assert!(zone(&"x".repeat(100_000)).len() < 300, "what is repeated is bounded");
        // Zones before the time, the source before the target, what is missing before all.
        let at =
            |source, time, target| at("2026-01-01T00:00:00Z", source, time, target).expect_err("refused");
        assert_eq!(at("no", "x", ""), "Missing required argument: target_timezone");
        assert!(at("no", "x", "nowhere").ends_with("key no'"));
        assert!(at("UTC", "x", "nowhere").ends_with("key nowhere'"));
    }
}
