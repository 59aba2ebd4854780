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
}

impl Unit {
    /// Shows `value` as a person would write it: `10MiB`, `100`, `30000 ms`.
    pub fn show(self, value: usize) -> impl fmt::Display {
        Amount { unit: self, value }
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
            Unit::Count => write!(f, "{value}"),
            Unit::Millis => write!(f, "{value} ms"),
            Unit::Percent => write!(f, "{value} %"),
            Unit::Bytes => {
                let whole = SIZES
                    .iter()
                    .find(|(_, factor)| *factor > 1 && value > 0 && value.is_multiple_of(*factor));
                match whole {
                    Some((suffix, factor)) => write!(f, "{}{suffix}", value / factor),
                    None => write!(f, "{value} bytes"),
                }
            }
        }
    }
}

/// Reads `10MiB`, `64 kib`, `12B` or a plain number of bytes.
pub(super) fn parse_size(text: &str) -> Option<usize> {
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
