//! Durations as people write them: `500ms`, `10s`, `5m`.

use std::time::Duration;

/// Units of time, in seconds.
const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
/// The longest duration that can be written, in seconds.
const MAX_SECONDS: f64 = 1e7;

/// Reads a duration; a number alone is no duration, but for 0.
///
/// ```
/// use mcpool::load::parse_duration;
/// use std::time::Duration;
///
/// assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1_500)));
/// assert_eq!(parse_duration("10"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit.trim())?;
    let seconds = number.parse::<f64>().ok()? * factor;
    (0.0..=MAX_SECONDS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit() {
        for (text, want) in [
            ("250us", Some(Duration::from_micros(250))),
            ("5 ms", Some(Duration::from_millis(5))),
            ("0", Some(Duration::ZERO)),
            ("0s", Some(Duration::ZERO)),
            ("2m", Some(Duration::from_mins(2))),
            ("1h", Some(Duration::from_hours(1))),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("1e9s", None),
            ("99999999h", None),
        ] {
            assert_eq!(parse_duration(text), want, "{text}");
        }
    }
}
