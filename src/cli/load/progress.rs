//! Shows on stderr how a load test is doing.

use crate::limits::units::bytes;
use crate::load::{LoadProgress, RateStep};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows on stderr how the test is doing, if that is a terminal.
pub(super) struct ProgressLine {
    bar: ProgressBar,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:12} {msg}");
        // Hidden where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self { bar: style.map_or(bar.clone(), |style| bar.with_style(style)) }
    }

    pub(super) fn show(&self, progress: &LoadProgress) {
        if let Some(duration) = progress.duration {
            self.bar.set_length(duration.as_millis() as u64);
            self.bar.set_position(progress.elapsed.as_millis() as u64);
        }
        self.bar.set_message(line(progress));
    }

    /// Shows a step of a search that is over.
    pub(super) fn step(&self, step: &RateStep) {
        let verdict = if step.missed.is_empty() { "holds" } else { "does not hold" };
        if step.rate > 0.0 {
            self.bar.println(format!("{:.1} a second: {verdict}", step.rate));
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn line(progress: &LoadProgress) -> String {
    let elapsed = progress.elapsed.as_secs();
    let phase = match progress.duration {
        _ if progress.is_warm_up => "warm-up".to_owned(),
        Some(duration) => format!("{elapsed}/{} s", duration.as_secs()),
        None => format!("{elapsed} s"),
    };
    let [p50, p95, p99] = [progress.p50_us, progress.p95_us, progress.p99_us].map(|us| us / 1e3);
    let rss = progress.server_rss_bytes.map(|rss| format!("  rss {}", bytes(rss))).unwrap_or_default();
    let (rate, failed) = (progress.rate, progress.failed);
    format!("{phase}  {rate:.0}/s  p50 {p50:.2} p95 {p95:.2} p99 {p99:.2} ms  {failed} failed{rss}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_of_progress_fits_a_terminal() {
        let warm_up = LoadProgress { is_warm_up: true, ..LoadProgress::default() };
        assert!(line(&warm_up).starts_with("warm-up  0/s"));
        let progress = LoadProgress {
            elapsed: Duration::from_secs(3),
            duration: Some(Duration::from_secs(30)),
            rate: 123_456.0,
            p50_us: 1e5,
            p95_us: 2e5,
            p99_us: 3e5,
            failed: 1_000,
            server_rss_bytes: Some(123 << 20),
            ..LoadProgress::default()
        };
        let line = line(&progress);
        assert!(line.starts_with("3/30 s  123456/s  p50 100.00 p95 200.00"), "{line}");
        assert!(line.len() < 100, "{}", line.len());
    }
}
