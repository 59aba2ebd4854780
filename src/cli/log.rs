//! Writes the log to stderr, because stdout belongs to the protocol.
//!
//! Invariants: an event is one line of bounded length, without a byte that a terminal or a reader of lines could take
//! for something else, whatever clients have put into names, paths, headers and errors; and no call site in the code
//! writes more than [`LINES_A_MINUTE`] lines each minute.
//!
//! `RUST_LOG` is read by `Targets` (`warn,mcpool::client=debug`), not by `EnvFilter`: that would bring a regular
//! expression engine for filters on spans that nobody sets here, 0.44 MiB of program and 0.2 MiB of idle memory
//! (release builds with either, `ls -l` and `/proc/self/smaps_rollup` after `start`).

use crate::lock::lock;
use crate::tools::thinking::LOG_TARGET;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Bytes of the longest value of a field: paths have 4 KiB at most, and less is enough to recognise one.
const MAX_FIELD_BYTES: usize = 1_024;
/// The most fields of a line; this program writes four at most.
const MAX_FIELDS: usize = 8;
/// The most lines that one call site may write each minute. Debugging output has no such limit.
const LINES_A_MINUTE: u32 = 30;

/// Starts logging; a `RUST_LOG` that cannot be read is reported and ignored.
pub(super) fn start() {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let targets = if wanted.is_empty() { Ok(quiet()) } else { wanted.parse() };
    let targets = targets.unwrap_or_else(|error| {
        let _ =
            writeln!(io::stderr(), "mcpool: RUST_LOG={wanted:?} cannot be read ({error}); logging warnings");
        quiet()
    });
    // Nothing depends on whether it can be written.
    let lines = Lines::new(|line| drop(io::stderr().write_all(line.as_bytes())));
    // This fails only if the program that contains this code has a logger already.
    let _ = EventsOnly.with(targets).with(lines).try_init();
}

/// Where the layers stand: it keeps no spans, which no line shows. The registry of the crate, which keeps them, takes
/// 32 KiB before there is one.
struct EventsOnly;

impl Subscriber for EventsOnly {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// Thoughts are what the thinking tool is asked to show; a setting turns them off.
fn quiet() -> Targets {
    Targets::new().with_default(LevelFilter::WARN).with_target(LOG_TARGET, LevelFilter::INFO)
}

/// Makes a line of each event, and passes it to `write`.
struct Lines<F> {
    write: F,
    call_sites: Mutex<HashMap<Identifier, CallSite>>,
}

impl<F: Fn(&str)> Lines<F> {
    fn new(write: F) -> Self {
        Self { write, call_sites: Mutex::default() }
    }

    /// Counts an event of a call site.
    fn count(&self, call_site: Identifier, now: Instant) -> Verdict {
        // There are as many entries as call sites in the code.
        let mut call_sites = lock(&self.call_sites);
        call_sites.entry(call_site).or_insert(CallSite { begun: now, written: 0, left_out: 0 }).count(now)
    }

    fn write(&self, event: &Event<'_>, verdict: Verdict) {
        let mut line = String::with_capacity(256);
        let metadata = event.metadata();
        // Writing to a string does not fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut line));
        let _ = write!(line, " {:>5} {}:", metadata.level().as_str(), metadata.target());
        event.record(&mut Fields { line: &mut line, count: 0 });
        match verdict {
            Verdict::Write { left_out: 0, is_last: false } | Verdict::LeaveOut => {}
            Verdict::Write { left_out: 0, is_last: true } => {
                line.push_str(" (more of these are left out for a minute)");
            }
            Verdict::Write { left_out, .. } => {
                let _ = write!(line, " ({left_out} of these were left out before)");
            }
        }
        line.push('\n');
        (self.write)(&line);
    }
}

impl<S: Subscriber, F: Fn(&str) + 'static> Layer<S> for Lines<F> {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let verdict = if *event.metadata().level() > Level::INFO {
            Verdict::Write { left_out: 0, is_last: false }
        } else {
            self.count(event.metadata().callsite(), Instant::now())
        };
        if verdict != Verdict::LeaveOut {
            self.write(event, verdict);
        }
    }
}

/// What one call site wrote in the current minute.
#[derive(Debug)]
struct CallSite {
    begun: Instant,
    written: u32,
    left_out: u64,
}

/// What happens to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Write { left_out: u64, is_last: bool },
    LeaveOut,
}

impl CallSite {
    fn count(&mut self, now: Instant) -> Verdict {
        if now.saturating_duration_since(self.begun) >= Duration::from_mins(1) {
            (self.begun, self.written) = (now, 0);
        }
        if self.written >= LINES_A_MINUTE {
            self.left_out += 1;
            return Verdict::LeaveOut;
        }
        self.written += 1;
        Verdict::Write {
            left_out: std::mem::take(&mut self.left_out),
            is_last: self.written == LINES_A_MINUTE,
        }
    }
}

/// Writes the fields of an event after its head.
struct Fields<'l> {
    line: &'l mut String,
    count: usize,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return;
        }
        self.line.push(' ');
        if field.name() != "message" {
            self.line.push_str(field.name());
            self.line.push('=');
        }
        let mut plain = Plain { line: self.line, left_bytes: MAX_FIELD_BYTES };
        if write!(plain, "{value:?}").is_err() {
            self.line.push_str("...");
        }
    }
}

/// Text of bounded length in which every character is visible.
struct Plain<'l> {
    line: &'l mut String,
    left_bytes: usize,
}

impl fmt::Write for Plain<'_> {
    /// Fails when the bound is reached, so that formatting stops.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let before = self.line.len();
            if is_visible(char) {
                self.line.push(char);
            } else {
                self.line.extend(char.escape_default());
            }
            let bytes = self.line.len() - before;
            if bytes > self.left_bytes {
                self.line.truncate(before);
                self.left_bytes = 0;
                return Err(fmt::Error);
            }
            self.left_bytes -= bytes;
        }
        Ok(())
    }
}

/// A text of others for a terminal: characters that would steer it are written as escapes.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_visible(char) || char == '\n' {
            shown.push(char);
        } else {
            shown.extend(char.escape_default());
        }
    }
    shown
}

/// Tells whether a character shows as itself: it is no control character or line end, and does not reverse or hide the
/// characters around it.
fn is_visible(char: char) -> bool {
    let hides = matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    !char.is_control() && !hides
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, proptest};
    use std::sync::Arc;

    /// What is written while `work` runs.
    fn lines_of(work: impl FnOnce()) -> String {
        let written: Arc<Mutex<String>> = Arc::default();
        let kept = Arc::clone(&written);
        let lines = Lines::new(move |line| kept.lock().expect("alive").push_str(line));
        tracing::subscriber::with_default(EventsOnly.with(lines), work);
        std::mem::take(&mut written.lock().expect("alive"))
    }

    fn assert_one_line(line: &str, hostile: &str) {
        let text = line.strip_suffix('\n').unwrap_or_else(|| panic!("{line:?} has no end"));
        assert!(text.chars().all(is_visible), "{hostile:?}: {text:?}");
        assert!(text.len() <= 5 * (MAX_FIELD_BYTES + 32) + 128, "{} bytes", text.len());
    }

    /// In each way in which a field can be given: as a text, with `%`, with `?`, as an error, in the message.
    fn log(hostile: &str) {
        let error = io::Error::other(hostile.to_owned());
        tracing::warn!(text = hostile, display = %hostile, debug = ?hostile, %error, "message {hostile}");
    }

    #[test]
    fn whatever_clients_say_an_event_is_one_line() {
        for hostile in [
            "plain",
            "a\nb",
            "a\r\n2026-01-01T00:00:00Z ERROR mcpool: all is lost",
            "\u{1b}[2J\u{1b}]0;title\u{7}",
            "\u{9b}31m",
            "abc\u{202e}gpj.exe",
            "\u{2066}\u{2069}\u{200f}\u{feff}",
            "line\u{2028}separator\u{2029}\u{85}",
            "\0\u{8}\u{7f}",
            "tag\u{e0041}",
            &"x".repeat(1_000_000),
            &"\n".repeat(1_000_000),
            &"\u{202e}".repeat(100_000),
        ] {
            assert_one_line(&lines_of(|| log(hostile)), hostile);
        }
        let line = lines_of(|| tracing::warn!(path = %"a\nb", n = 7, "caf\u{e9} is fine"));
        assert!(
            line.ends_with(" WARN mcpool::cli::log::tests: caf\u{e9} is fine path=a\\nb n=7\n"),
            "{line}"
        );
    }

    #[test]
    fn spans_pass_and_levels_hold() {
        let written: Arc<Mutex<String>> = Arc::default();
        let kept = Arc::clone(&written);
        let lines = Lines::new(move |line| kept.lock().expect("alive").push_str(line));
        tracing::subscriber::with_default(EventsOnly.with(quiet()).with(lines), || {
            let _outer = tracing::error_span!("outer", n = 1).entered();
            tracing::info_span!("inner").in_scope(|| tracing::warn!("within"));
            tracing::info!("not shown");
            tracing::info!(target: LOG_TARGET, "a thought");
        });
        let written = written.lock().expect("alive");
        let messages: Vec<_> =
            written.lines().filter_map(|line| line.split_once(": ")).map(|(_, m)| m).collect();
        assert_eq!(messages, ["within", "a thought"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_text_is_one_line(hostile in any::<String>()) {
            assert_one_line(&lines_of(|| log(&hostile)), &hostile);
        }
    }

    #[test]
    fn a_flood_is_thinned_and_counted() {
        let flood = lines_of(|| {
            for n in 0..10_000 {
                tracing::warn!(n, "again");
            }
            tracing::warn!("another place");
        });
        let lines: Vec<&str> = flood.lines().collect();
        assert_eq!(lines.len(), LINES_A_MINUTE as usize + 1);
        assert!(lines[29].ends_with("again n=29 (more of these are left out for a minute)"), "{}", lines[29]);
        assert!(lines[30].ends_with("another place"), "{}", lines[30]);
        let debugging = lines_of(|| (0..100).for_each(|n| tracing::debug!(n, "asked for")));
        assert_eq!(debugging.lines().count(), 100);
    }

    #[test]
    fn after_a_minute_the_next_line_tells_how_many_were_left_out() {
        let start = Instant::now();
        let mut place = CallSite { begun: start, written: 0, left_out: 0 };
        let verdicts: Vec<_> = (0..40).map(|_| place.count(start)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::LeaveOut).count(), 10);
        let later = place.count(start + Duration::from_mins(1));
        assert_eq!(later, Verdict::Write { left_out: 10, is_last: false });
        assert_eq!(
            place.count(start + Duration::from_mins(1)),
            Verdict::Write { left_out: 0, is_last: false }
        );
    }
}
