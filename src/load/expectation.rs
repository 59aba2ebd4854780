//! What a load test must show, absolutely or beside a saved run.
//!
//! Pure functions of reports. A figure that was not measured misses its expectation: nobody can say that it holds.

use super::quantity::parse_duration;
use super::report::{ExpectationReport, LoadTestReport};
use super::table::time;
use crate::limits::units::{bytes, parse_size};

/// A figure of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Mean,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
    Errors,
    Rate,
    RssPeak,
    RssAfter,
    Cpu,
    ConnectionBytes,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Time,
    Share,
    Rate,
    Bytes,
}

/// The names of figures, as expectations are written.
const FIGURES: [(&str, Figure, Kind); 13] = [
    ("mean", Figure::Mean, Kind::Time),
    ("p50", Figure::P50, Kind::Time),
    ("p90", Figure::P90, Kind::Time),
    ("p95", Figure::P95, Kind::Time),
    ("p99", Figure::P99, Kind::Time),
    ("p999", Figure::P999, Kind::Time),
    ("max", Figure::Max, Kind::Time),
    ("errors", Figure::Errors, Kind::Share),
    ("rate", Figure::Rate, Kind::Rate),
    ("rss_peak", Figure::RssPeak, Kind::Bytes),
    ("rss_after", Figure::RssAfter, Kind::Bytes),
    ("cpu", Figure::Cpu, Kind::Share),
    ("connection_bytes", Figure::ConnectionBytes, Kind::Bytes),
];

/// A text that is no expectation.
///
/// ```
/// use mcpool::load::{ExpectationError, LoadExpectation};
///
/// let expected = LoadExpectation::parse_list("p99=5ms,errors=0.1%")?;
/// assert_eq!(expected.len(), 2);
/// let refused: Result<_, ExpectationError> = LoadExpectation::parse("p99", "soon");
/// assert!(refused.is_err());
/// # Ok::<(), ExpectationError>(())
/// ```
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name} = {text:?} is no expectation: {why}")]
pub struct ExpectationError {
    name: String,
    text: String,
    why: &'static str,
}

/// A bound for one figure: at most, but for the rate, which is at least.
///
/// ```
/// use mcpool::load::{ExpectationError, LoadExpectation};
///
/// let expected = LoadExpectation::parse_list("p99=5ms,errors=0.1%")?;
/// assert_eq!(expected.len(), 2);
/// let refused: Result<_, ExpectationError> = LoadExpectation::parse("p99", "soon");
/// assert!(refused.is_err());
/// # Ok::<(), ExpectationError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LoadExpectation {
    name: &'static str,
    figure: Figure,
    kind: Kind,
    text: String,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    /// In microseconds, shares, requests a second or bytes.
    Absolute(f64),
    /// Times the figure of a saved run.
    Relative(f64),
}

impl LoadExpectation {
    /// Reads an expectation: a name and a bound. Times are written `5ms`, shares `0.1%`, sizes `64MiB`, rates as numbers;
    /// `+15%` and `-10%` are relative to a saved run.
    ///
    /// ```
    /// use mcpool::load::LoadExpectation;
    ///
    /// assert!(LoadExpectation::parse("p99", "5ms").is_ok());
    /// assert!(LoadExpectation::parse("rate", "-10%").is_ok_and(|rate| rate.is_relative()));
    /// assert!(LoadExpectation::parse("p99", "5").is_err());
    /// ```
    ///
    /// # Errors
    /// When the name or the bound is none.
    pub fn parse(name: &str, text: &str) -> Result<Self, ExpectationError> {
        let refuse = |why| Err(ExpectationError { name: name.to_owned(), text: text.to_owned(), why });
        let Some((name, figure, kind)) = FIGURES.into_iter().find(|(known, ..)| *known == name) else {
            return refuse(
                "figures are mean, p50, p90, p95, p99, p999, max, errors, rate, rss_peak, rss_after, cpu and connection_bytes",
            );
        };
        let text = text.trim();
        let bound = if let Some(percent) = text.strip_suffix('%').filter(|text| text.starts_with(['+', '-']))
        {
            percent
                .parse()
                .ok()
                .filter(|percent: &f64| *percent > -100.0)
                .map(|p| Bound::Relative(1.0 + p / 100.0))
        } else {
            absolute(kind, text).map(Bound::Absolute)
        };
        match (bound, kind) {
            (Some(bound), _) => Ok(Self { name, figure, kind, text: text.to_owned(), bound }),
            (None, Kind::Time) => refuse("write a time, as 5ms, or +15% beside a saved run"),
            (None, Kind::Share) => refuse("write a share, as 0.1%, or +15% beside a saved run"),
            (None, Kind::Rate) => refuse("write requests a second, as 500, or -10% beside a saved run"),
            (None, Kind::Bytes) => refuse("write a size, as 64MiB, or +10% beside a saved run"),
        }
    }

    /// Reads a list, as `p99=5ms,errors=0.1%`.
    ///
    /// # Errors
    /// When an entry is no expectation.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, ExpectationError> {
        let entries = list.split(',').filter(|entry| !entry.trim().is_empty());
        let expectations = entries.map(|entry| {
            let (name, bound) = entry.split_once('=').unwrap_or((entry, ""));
            Self::parse(name.trim(), bound.trim())
        });
        expectations.collect()
    }

    pub(super) fn is_of_errors(&self) -> bool {
        self.figure == Figure::Errors
    }

    pub(super) fn refused(&self, why: &'static str) -> ExpectationError {
        ExpectationError { name: self.name.to_owned(), text: self.text.clone(), why }
    }

    /// As reports say it.
    pub(super) fn describe(&self) -> String {
        let sign = if self.kind == Kind::Rate { ">=" } else { "<=" };
        format!("{} {sign} {}", self.name, self.text)
    }

    /// How many requests its figure needs to mean something: ten beyond the quantile.
    pub(super) fn requests_needed(&self) -> f64 {
        match self.figure {
            Figure::P999 => 10_000.0,
            Figure::P99 | Figure::Max => 1_000.0,
            // One that fails has to be less than the share that may.
            Figure::Errors => match self.bound {
                Bound::Absolute(share) => (1.0 / share.max(1e-4)).max(10.0),
                Bound::Relative(_) => 1_000.0,
            },
            Figure::P95 => 200.0,
            Figure::P90 => 100.0,
            _ => 50.0,
        }
    }

    /// Whether it needs a saved run.
    pub fn is_relative(&self) -> bool {
        matches!(self.bound, Bound::Relative(_))
    }

    /// Checks a report, beside a saved one where the expectation is relative.
    pub fn check(&self, report: &LoadTestReport, saved: Option<&LoadTestReport>) -> ExpectationReport {
        let found = self.figure.of(report);
        let bound = match self.bound {
            Bound::Absolute(bound) => Some(bound),
            Bound::Relative(factor) => saved.and_then(|saved| self.figure.of(saved)).map(|was| was * factor),
        };
        let is_met = match (found, bound) {
            (Some(found), Some(bound)) if self.kind == Kind::Rate => found >= bound,
            (Some(found), Some(bound)) => found <= bound,
            _ => false,
        };
        ExpectationReport {
            expected: self.describe(),
            found: found.map_or_else(|| "not measured".to_owned(), |found| self.kind.show(found)),
            bound: bound.map(|bound| self.kind.show(bound)),
            is_met,
        }
    }
}

fn absolute(kind: Kind, text: &str) -> Option<f64> {
    match kind {
        Kind::Time => parse_duration(text).map(|time| time.as_secs_f64() * 1e6),
        Kind::Share => {
            let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
            (percent >= 0.0 && percent.is_finite()).then_some(percent / 100.0)
        }
        Kind::Rate => text.parse().ok().filter(|rate: &f64| *rate >= 0.0 && rate.is_finite()),
        Kind::Bytes => parse_size(text).map(|bytes| bytes as f64),
    }
}

impl Kind {
    fn show(self, figure: f64) -> String {
        match self {
            Self::Time => time(figure),
            Self::Share => format!("{:.3} %", figure * 100.0),
            Self::Rate => format!("{figure:.1} a second"),
            Self::Bytes => bytes(figure as u64),
        }
    }
}

impl Figure {
    fn of(self, report: &LoadTestReport) -> Option<f64> {
        let latency = report.latency_with_time_outs.as_ref().or(report.latency.as_ref());
        let server = report.server.as_ref();
        match self {
            Self::Mean => latency.map(|latency| latency.mean_us),
            Self::P50 => latency.map(|latency| latency.p50_us),
            Self::P90 => latency.map(|latency| latency.p90_us),
            Self::P95 => latency.map(|latency| latency.p95_us),
            Self::P99 => latency.map(|latency| latency.p99_us),
            Self::P999 => latency.map(|latency| latency.p999_us),
            Self::Max => latency.map(|latency| latency.max_us),
            Self::Errors => (report.requests.scheduled > 0).then_some(report.requests.error_ratio),
            Self::Rate => Some(report.requests.rate),
            Self::RssPeak => server.map(|server| server.rss_peak_bytes as f64),
            Self::RssAfter => server.and_then(|server| server.rss_after_bytes).map(|bytes| bytes as f64),
            Self::Cpu => server.and_then(|server| server.cpu_load),
            Self::ConnectionBytes => server.and_then(|server| server.bytes_per_connection),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn check(name: &str, text: &str, report: &LoadTestReport, saved: Option<&LoadTestReport>) -> bool {
        LoadExpectation::parse(name, text).expect("an expectation").check(report, saved).is_met
    }

    #[test]
    fn bounds_are_upper_ones_but_for_the_rate() {
        // p95 4 ms, 100 a second, 1 % errors.
        let report = sample::report(4_000.0, 100.0, 0.01);
        for (name, text, want) in [
            ("p95", "4ms", true),
            ("p95", "3999us", false),
            ("errors", "1%", true),
            ("errors", "0.9%", false),
            ("rate", "100", true),
            ("rate", "101", false),
            ("rss_peak", "1GiB", false),
        ] {
            assert_eq!(check(name, text, &report, None), want, "{name} {text}");
        }
    }

    #[test]
    fn relative_bounds_are_those_of_a_saved_run() {
        let (saved, report) = (sample::report(4_000.0, 100.0, 0.01), sample::report(4_500.0, 91.0, 0.01));
        for (name, text, want) in
            [("p95", "+15%", true), ("p95", "+12%", false), ("rate", "-10%", true), ("rate", "-5%", false)]
        {
            assert_eq!(check(name, text, &report, Some(&saved)), want, "{name} {text}");
        }
        assert!(!check("p95", "+15%", &report, None), "without a saved run nobody can say");
    }

    #[test]
    fn what_is_no_expectation_is_refused_with_what_to_write() {
        for (name, text, want) in [
            ("p98", "5ms", "figures are"),
            ("p99", "5", "write a time"),
            ("errors", "0.1", "write a share"),
            ("rate", "fast", "write requests a second"),
            ("rss_peak", "64", ""),
            ("rss_peak", "much", "write a size"),
            ("p99", "-100%", "write a time"),
        ] {
            match LoadExpectation::parse(name, text) {
                Ok(_) => assert_eq!(want, "", "{name} {text}"),
                Err(error) => assert!(!want.is_empty() && error.to_string().contains(want), "{error}"),
            }
        }
    }
}
