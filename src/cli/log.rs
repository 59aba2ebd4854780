//! Writes the log to stderr, because stdout belongs to the protocol.
//!
//! A server of one client says what matters: the client may take what is on stderr for an error. A server of sockets
//! says more, [`talk`]: among it a line for each request that ends, of which [`REQUESTS`] has the bound.
//!
//! Invariants: an event is one line of bounded length, without a byte that a terminal or a reader of lines could take
//! for something else, whatever clients have put into names, paths, headers and errors; and no call site in the code
//! writes more than [`LINES_A_MINUTE`] lines each minute.
//!
//! `RUST_LOG` is read by `Targets` (`warn,mcpool::client=debug`), not by `EnvFilter`: that would bring a regular
//! expression engine for filters on spans that nobody sets here, 0.44 MiB of program and 0.2 MiB of idle memory
//! (release builds with either, `ls -l` and `/proc/self/smaps_rollup` after `start`).

mod stderr;

pub(super) use stderr::{MAX_BYTES as MAX_THREAD_BYTES, end_thread, write};

use crate::lock::lock;
use crate::tools::thinking::LOG_TARGET;
use crate::traffic::{EndedRequest, Line};
use crate::visible;
use jiff::Timestamp;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::callsite::{Identifier, rebuild_interest_cache};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
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
/// The most lines that one call site may write. Debugging output has no such limit.
const CALL_SITE: Bound = Bound { lines: LINES_A_MINUTE, window: Duration::from_mins(1) };
const LINES_A_MINUTE: u32 = 30;
/// The most lines about requests: more than people read. A file has them all (`access_log`).
const REQUESTS: Bound = Bound { lines: 20, window: Duration::from_secs(1) };
/// What `RUST_LOG` calls the lines about requests.
const REQUESTS_TARGET: &str = "mcpool::requests";

/// Whether a server of sockets is at work.
static IS_TALKATIVE: AtomicBool = AtomicBool::new(false);
/// What was written about requests in the last second.
static WRITTEN_REQUESTS: Mutex<Option<Written>> = Mutex::new(None);

/// Starts logging; a `RUST_LOG` that cannot be read is reported and ignored.
pub(super) fn start() {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let asked = if wanted.is_empty() { Ok(None) } else { wanted.parse::<Targets>().map(Some) };
    let asked = asked.unwrap_or_else(|error| {
        let _ = writeln!(
            io::stderr(),
            "mcpool: RUST_LOG={wanted:?} cannot be read ({error}); logging as without it"
        );
        None
    });
    let levels = match asked {
        Some(targets) => Levels { quiet: targets.clone(), talkative: targets },
        None => Levels { quiet: quiet(), talkative: quiet().with_target("mcpool", LevelFilter::INFO) },
    };
    let lines = Lines::new(|line| write(line.as_bytes()));
    // This fails only if the program that contains this code has a logger already.
    let _ = EventsOnly.with(levels).with(lines).try_init();
}

/// Logs from now on what whoever runs a server of many clients wants to know, unless `RUST_LOG` says otherwise.
pub(super) fn talk() {
    IS_TALKATIVE.store(true, Ordering::Relaxed);
    rebuild_interest_cache();
}

/// Whether requests are logged here.
pub(super) fn shows_requests() -> bool {
    tracing::enabled!(target: REQUESTS_TARGET, Level::INFO)
}

/// Writes the line of a request that ended, if few enough were written just now. It allocates nothing.
pub(super) fn request(request: &EndedRequest<'_>) {
    let now = Instant::now();
    let verdict = lock(&WRITTEN_REQUESTS).get_or_insert_with(|| Written::from(now)).count(REQUESTS, now);
    let Verdict::Write { left_out, .. } = verdict else { return };
    let mut line = Line::new();
    let _ = write!(line, "{:.6}  INFO {REQUESTS_TARGET}: {request}", Timestamp::now());
    if left_out > 0 {
        let _ = write!(line, " ({left_out} requests before it are not shown)");
    }
    let _ = line.write_all(b"\n");
    write(line.as_bytes());
}

/// Has a thread of its own write from now on, which also says how many requests are not shown once there are no more.
///
/// # Errors
/// When there can be no further thread.
pub(super) fn begin_thread() -> io::Result<()> {
    stderr::begin_thread(|is_end, out| {
        let (left_out, asks_in) = not_shown(is_end);
        if let Some(left_out) = left_out {
            let (mut line, now) = (Line::new(), Timestamp::now());
            let _ = writeln!(
                line,
                "{now:.6}  INFO {REQUESTS_TARGET}: {left_out} requests before this are not shown"
            );
            let _ = out.write_all(line.as_bytes());
        }
        asks_in
    })
}

/// How many requests are not shown of which no line told, if it is time for one or this is the end; and when to ask again.
fn not_shown(is_end: bool) -> (Option<u64>, Option<Duration>) {
    let mut written = lock(&WRITTEN_REQUESTS);
    let Some(written) = written.as_mut() else { return (None, None) };
    if is_end { (written.left(), None) } else { written.overdue(REQUESTS, Instant::now()) }
}

/// Which events are logged.
struct Levels {
    quiet: Targets,
    talkative: Targets,
}

impl Levels {
    fn now(&self) -> &Targets {
        if IS_TALKATIVE.load(Ordering::Relaxed) { &self.talkative } else { &self.quiet }
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        Layer::<S>::register_callsite(self.now(), metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        Layer::<S>::enabled(self.now(), metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(self.now())
    }
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
    call_sites: Mutex<HashMap<Identifier, Written>>,
}

impl<F: Fn(&str)> Lines<F> {
    fn new(write: F) -> Self {
        Self { write, call_sites: Mutex::default() }
    }

    /// Counts an event of a call site.
    fn count(&self, call_site: Identifier, now: Instant) -> Verdict {
        // There are as many entries as call sites in the code.
        let mut call_sites = lock(&self.call_sites);
        call_sites.entry(call_site).or_insert_with(|| Written::from(now)).count(CALL_SITE, now)
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

/// How many lines may be written in which time.
#[derive(Debug, Clone, Copy)]
struct Bound {
    lines: u32,
    window: Duration,
}

/// What was written in the current window of a bound.
#[derive(Debug)]
struct Written {
    begun: Instant,
    lines: u32,
    left_out: u64,
}

/// What happens to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Write { left_out: u64, is_last: bool },
    LeaveOut,
}

impl Written {
    fn from(begun: Instant) -> Self {
        Self { begun, lines: 0, left_out: 0 }
    }

    fn count(&mut self, bound: Bound, now: Instant) -> Verdict {
        if now.saturating_duration_since(self.begun) >= bound.window {
            (self.begun, self.lines) = (now, 0);
        }
        if self.lines >= bound.lines {
            self.left_out += 1;
            return Verdict::LeaveOut;
        }
        self.lines += 1;
        Verdict::Write { left_out: std::mem::take(&mut self.left_out), is_last: self.lines == bound.lines }
    }

    /// What was left out in a window that is over, of which no line told; and when to ask again.
    fn overdue(&mut self, bound: Bound, now: Instant) -> (Option<u64>, Option<Duration>) {
        if self.left_out == 0 && self.lines < bound.lines {
            return (None, None);
        }
        let left = bound.window.saturating_sub(now.saturating_duration_since(self.begun));
        if !left.is_zero() {
            return (None, Some(left));
        }
        self.lines = 0;
        (self.left(), None)
    }

    /// What was left out, of which no line told.
    fn left(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.left_out)).filter(|left_out| *left_out > 0)
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
            visible::write_char(self.line, char)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visible::{HOSTILE, is_visible};
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
        let long = ["x", "\n", "\u{202e}"].map(|char| char.repeat(1_000_000));
        let forged = "a\r\n2026-01-01T00:00:00Z ERROR mcpool: all is lost";
        let hostile = HOSTILE.into_iter().chain(["plain", forged]).chain(long.iter().map(String::as_str));
        for hostile in hostile {
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
    fn what_a_flood_of_requests_leaves_is_told_without_another() {
        let start = Instant::now();
        let mut written = Written::from(start);
        assert_eq!(written.overdue(REQUESTS, start), (None, None));
        for _ in 0..30 {
            written.count(REQUESTS, start);
        }
        let soon = start + REQUESTS.window / 2;
        assert_eq!(written.overdue(REQUESTS, soon), (None, Some(REQUESTS.window / 2)));
        assert_eq!(written.overdue(REQUESTS, start + REQUESTS.window), (Some(10), None));
        assert_eq!(written.overdue(REQUESTS, start + REQUESTS.window), (None, None), "told once");
        for _ in 0..25 {
            written.count(REQUESTS, start + REQUESTS.window);
        }
        assert_eq!((written.left(), written.left()), (Some(5), None), "the end waits for nothing");
    }

    #[test]
    fn after_a_minute_the_next_line_tells_how_many_were_left_out() {
        let start = Instant::now();
        let mut written = Written::from(start);
        let verdicts: Vec<_> = (0..40).map(|_| written.count(CALL_SITE, start)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::LeaveOut).count(), 10);
        let later = written.count(CALL_SITE, start + Duration::from_mins(1));
        assert_eq!(later, Verdict::Write { left_out: 10, is_last: false });
        assert_eq!(
            written.count(CALL_SITE, start + Duration::from_mins(1)),
            Verdict::Write { left_out: 0, is_last: false }
        );
    }
}
