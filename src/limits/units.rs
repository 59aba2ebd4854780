//! How sizes, counts, durations and moments are written for people, and how sizes are read.

use std::fmt;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;
pub(crate) const GIB: usize = 1024 * MIB;

/// Suffixes of sizes, largest first.
const SIZES: [(&str, usize); 4] = [("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

/// What a setting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; written `10MiB`, `64KiB`, `1GiB` or as a plain number.
    Bytes,
    /// Objects.
    Count,
    /// Milliseconds.
    Millis,
    /// Hundredths of a whole.
    Percent,
    /// 0 for off, 1 for on.
    Switch,
}

impl Unit {
    /// Shows `value` as a person would write it: `10MiB`, `100`, `30000 ms`.
    pub fn show(self, value: usize) -> impl fmt::Display {
        Amount { unit: self, value }
    }

    /// Writes `value` as it stands in the configuration file: `"10MiB"`, `100`.
    pub fn to_toml(self, value: usize) -> String {
        match exact_size(value) {
            Some(size) if self == Self::Bytes => format!("\"{size}\""),
            _ => value.to_string(),
        }
    }
}

struct Amount {
    unit: Unit,
    value: usize,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.unit {
            Unit::Count | Unit::Switch => write!(f, "{value}"),
            Unit::Millis => write!(f, "{value} ms"),
            Unit::Percent => write!(f, "{value} %"),
            Unit::Bytes => match exact_size(value) {
                Some(size) => f.write_str(&size),
                None => write!(f, "{value} bytes"),
            },
        }
    }
}

/// A whole number of KiB in the largest unit of which it is a whole number: `10MiB`.
fn exact_size(bytes: usize) -> Option<String> {
    let is_whole = |factor: usize| factor > 1 && bytes > 0 && bytes.is_multiple_of(factor);
    let (suffix, factor) = SIZES.iter().find(|(_, factor)| is_whole(*factor))?;
    Some(format!("{}{suffix}", bytes / factor))
}

/// Reads `10MiB`, `64 kib`, `12B` or a plain number of bytes.
pub(crate) fn parse_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = (text.get(..digits)?, text.get(digits..)?.trim_start());
    let factor = match SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(suffix)) {
        Some((_, factor)) => *factor,
        None if suffix.is_empty() => 1,
        None => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

/// Bytes as a person says them: `512 B`, `1.5 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = "KiB";
    for larger in ["MiB", "GiB", "TiB"] {
        // 1023.95 would be shown as 1024.0.
        if value < 1023.95 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    format!("{value:.1} {unit}")
}

/// A count with its thousands set apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut shown = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A time in its two largest units.
pub(crate) fn duration(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// A short time to three digits: `1.25 ms`.
pub(crate) fn latency(ns: u64) -> String {
    let us = ns as f64 / 1e3;
    let digits = |value: f64| match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let (value, unit) = match us {
        ..999.5 => (us, "us"),
        ..999_500.0 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    format!("{value:.*} {unit}", digits(value))
}

/// The same for round times: a second unit that is zero is left out.
pub(crate) fn round_duration(ms: u64) -> String {
    let s = ms / 1_000;
    let told = |large: u64, unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {small_unit}") }
    };
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => told(s / 60, "min", s % 60, "s"),
        3_600..86_400 => told(s / 3_600, "h", s % 3_600 / 60, "min"),
        _ => told(s / 86_400, "d", s % 86_400 / 3_600, "h"),
    }
}

/// A time in its largest unit.
pub(crate) fn rough_duration(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        _ => format!("{:.1} h", ms as f64 / 3_600_000.0),
    }
}

/// A moment in UTC as RFC 3339 writes it: `2026-01-02T03:04:05.678Z`.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Year, month and day that lie `days` after 1970-01-01.
///
/// Counted in years that begin in March, so that a leap day is the last day of its year: the algorithm
/// `civil_from_days` of Howard Hinnant, <https://howardhinnant.github.io/date_algorithms.html>.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const DAYS_BEFORE_1970: u64 = 719_468;
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / (DAYS_OF_400_YEARS - 1);
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits() {
        for (ns, want) in [
            (0, "0.00 us"),
            (990, "0.99 us"),
            (9_996, "10.0 us"),
            (99_960, "100 us"),
            (999_600, "1.00 ms"),
            (1_250_000, "1.25 ms"),
            (62_000_000_000, "62.0 s"),
        ] {
            assert_eq!(latency(ns), want);
        }
    }

    #[test]
    fn sizes_times_and_counts_are_rounded_the_way_people_read_them() {
        for (count, want) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(count), want);
        }
        for (ms, want) in [
            (7, "7 ms"),
            (1_250, "1.2 s"),
            (61_000, "1 min 1 s"),
            (3_900_000, "1 h 5 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(ms), want);
        }
        for (count, want) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(count), want);
        }
    }

    #[test]
    fn moments_are_written_in_utc() {
        for (unix_ms, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_868_799_000, "2000-02-29T23:59:59.000Z"),
            (1_709_164_800_010, "2024-02-29T00:00:00.010Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(unix_ms), want);
        }
    }
}
