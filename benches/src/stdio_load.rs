//! Load over pipes: a window of requests in flight on one connection, from one thread.
//!
//! Knows lines and ids, not what is asked. Each slot in the window has its id and its request, built before, so
//! that nothing is allocated while it is measured; answers may come in any order. Invariant: each answer is checked
//! whole, and the first that is not as expected ends the run with its text.

use crate::calls::{Call, Era};
use crate::figures::{Figures, LATE, Tally};
use crate::http_client::Expected;
use crate::schedule::{Pace, Schedule, Span};
use crate::server_process::own_cpu;
use crate::stdio_server::StdioServer;
use memchr::memmem;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// The id of the first slot: apart from those that a server may use for requests of its own.
const FIRST_ID: usize = 4000;
/// An id stands at the begin or at the end of a message, so many bytes from it at most.
const ID_WITHIN_BYTES: usize = 80;
const SILENCE: Duration = Duration::from_secs(30);
/// A wait that is shorter than this is spent looking: the system's timer counts milliseconds.
const SHORT_WAIT: Duration = Duration::from_millis(2);

/// Asks a greeted server, with at most `window` requests in flight.
///
/// # Errors
/// When the connection breaks, an answer is wrong or none comes for 30 s.
pub fn run(server: &mut StdioServer, call: &Call, window: usize, pace: Pace) -> io::Result<Figures> {
    let expected = call.expected();
    Window::new(server, call, window, pace, &expected).run()
}

/// Microseconds of a line there and back, half of them at most: for a server that says back each line.
///
/// # Errors
/// As for [`run`].
pub fn round_trip(server: &mut StdioServer, span: Span) -> io::Result<f64> {
    let expected = Expected::ok("ping");
    let figures = Window::new(server, &Call::Ping, 1, Pace::Closed(span), &expected).run()?;
    Ok(figures.tally.latency.value_at_quantile(0.5) as f64 / 1e3)
}

/// A slot in the window.
struct Slot {
    line: Vec<u8>,
    since: Instant,
}

struct Window<'a> {
    server: &'a mut StdioServer,
    expected: &'a Expected,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Places whose request is to be written; the first may be so in part.
    queue: VecDeque<usize>,
    written: usize,
    begins: Instant,
    ends: Option<Instant>,
    is_open: bool,
    schedule: Option<Schedule>,
    tally: Tally,
}

impl<'a> Window<'a> {
    fn new(
        server: &'a mut StdioServer,
        call: &Call,
        window: usize,
        pace: Pace,
        expected: &'a Expected,
    ) -> Self {
        let now = Instant::now();
        let to_place = |index| {
            let body = call.body_with_id(Era::Legacy, FIRST_ID + index);
            Slot { line: [body.as_bytes(), b"\n"].concat(), since: now }
        };
        let slots: Vec<_> = (0..window).map(to_place).collect();
        let now = Instant::now();
        let (begins, ends) = pace.window(now);
        let schedule = match (pace, ends) {
            (Pace::Open { rate, .. }, Some(ends)) => Some(Schedule::new(now, ends, rate, 0, 1)),
            _ => None,
        };
        Self {
            server,
            expected,
            slots,
            free: (0..window).rev().collect(),
            queue: VecDeque::with_capacity(window),
            written: 0,
            begins,
            ends,
            is_open: schedule.is_some(),
            schedule,
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> io::Result<Figures> {
        let mut before = None;
        let mut after = None;
        let started = Instant::now();
        if !self.is_open {
            while let Some(index) = self.free.pop() {
                self.begin(index, Instant::now());
            }
        }
        let mut heard = started;
        loop {
            let wait = self.begin_due();
            let now = Instant::now();
            if before.is_none() && now >= self.begins {
                before = Some((self.server.cpu()?, own_cpu(), now));
            }
            if after.is_none() && self.ends.is_some_and(|ends| now >= ends) {
                after = Some((self.server.cpu()?, own_cpu(), now));
            }
            if self.free.len() == self.slots.len() && wait.is_none() {
                break;
            }
            self.write()?;
            if self.server.read()? {
                heard = now;
                self.take_answers()?;
            } else if now - heard > SILENCE && self.free.len() < self.slots.len() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "requests have no answer"));
            } else if wait != Some(Duration::ZERO) {
                self.server.wait(Some(wait.unwrap_or(Duration::from_secs(1))))?;
            }
        }
        let now = || Ok::<_, io::Error>((self.server.cpu()?, own_cpu(), Instant::now()));
        let before = before.map_or_else(now, Ok)?;
        let after = after.map_or_else(now, Ok)?;
        Ok(Figures {
            elapsed: self.ends.map_or(after.2 - before.2, |ends| ends - self.begins),
            server_cpu: after.0.saturating_sub(before.0),
            client_cpu: after.1.saturating_sub(before.1),
            tally: self.tally,
        })
    }

    fn begin(&mut self, index: usize, since: Instant) {
        self.slots[index].since = since;
        self.queue.push_back(index);
    }

    /// Begins what is due; gives how long to wait for the next, `None` without one.
    fn begin_due(&mut self) -> Option<Duration> {
        let ends = self.ends?;
        let mut now = Instant::now();
        let schedule = self.schedule.as_mut()?;
        if now >= ends {
            self.tally.unsent += schedule.overdue(now).saturating_sub(schedule.overdue(self.begins));
            self.schedule = None;
            return None;
        }
        while let Some(&index) = self.free.last() {
            let Some(due) = schedule.take_due(now) else { break };
            self.free.pop();
            self.tally.late += u64::from(due >= self.begins && now - due > LATE);
            self.slots[index].since = due;
            self.queue.push_back(index);
            now = Instant::now();
        }
        Some(match schedule.until_next(now) {
            Some(wait) if self.free.is_empty() => wait.max(SHORT_WAIT),
            Some(wait) if wait < SHORT_WAIT => Duration::ZERO,
            Some(wait) => wait.saturating_sub(Duration::from_millis(1)),
            None => ends.saturating_duration_since(now) + Duration::from_millis(1),
        })
    }

    /// Writes what is queued, as far as the pipe takes it.
    fn write(&mut self) -> io::Result<()> {
        while let Some(&index) = self.queue.front() {
            let line = &self.slots[index].line;
            let wrote = self.server.write(&line[self.written..])?;
            if wrote == 0 {
                break;
            }
            self.written += wrote;
            if self.written == line.len() {
                self.queue.pop_front();
                self.written = 0;
            }
        }
        Ok(())
    }

    fn take_answers(&mut self) -> io::Result<()> {
        while let Some(line) = self.server.take_line() {
            let Some(index) = id(line).and_then(|id| id.checked_sub(FIRST_ID)) else { continue }; // a notification
            if index >= self.slots.len() || !self.expected.is_met_by(line) {
                let text = String::from_utf8_lossy(&line[..line.len().min(600)]).into_owned();
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a wrong answer: {text}")));
            }
            self.answered(index);
        }
        Ok(())
    }

    fn answered(&mut self, index: usize) {
        let now = Instant::now();
        let since = self.slots[index].since;
        // In an open loop the time of the request decides whether it counts: what is slow must not fall out.
        let counted = if self.is_open { since } else { now };
        if counted >= self.begins && self.ends.is_none_or(|ends| counted < ends) {
            self.tally.answered(now - since);
        }
        if !self.is_open && self.ends.is_some_and(|ends| now < ends) {
            self.begin(index, now);
        } else {
            self.free.push(index);
        }
    }
}

/// The id of a message: servers write it first or last.
fn id(message: &[u8]) -> Option<usize> {
    const NAME: &[u8] = br#""id":"#;
    let (head, tail) =
        (&message[..message.len().min(ID_WITHIN_BYTES)], message.len().saturating_sub(ID_WITHIN_BYTES));
    let found =
        memmem::find(head, NAME).or_else(|| memmem::rfind(&message[tail..], NAME).map(|at| at + tail))?;
    let digits = &message[found + NAME.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A server that says back each line: a call is its own answer.
    fn cat() -> StdioServer {
        StdioServer::start(&mut Command::new("cat")).expect("started")
    }

    #[test]
    fn an_id_is_found_at_both_ends() {
        let long = "x".repeat(1000);
        for (message, expected) in [
            (r#"{"jsonrpc":"2.0","id":4001,"result":{}}"#.to_owned(), Some(4001)),
            (format!(r#"{{"result":{{"text":"{long}"}},"jsonrpc":"2.0","id":4063}}"#), Some(4063)),
            (r#"{"jsonrpc":"2.0","method":"notifications/x"}"#.to_owned(), None),
            (r#"{"id":"text"}"#.to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(id(message.as_bytes()), expected, "{message}");
        }
    }

    #[test]
    fn each_place_of_the_window_is_asked_and_answered() {
        let mut server = cat();
        for (bytes, window) in [(100, 1), (100, 64), (1 << 20, 8)] {
            let figures = run(&mut server, &Call::Echo(bytes), window, Pace::Once).expect("a run");
            assert_eq!(figures.tally.answers, window as u64);
        }
        let span = Span { warm_up: Duration::from_millis(10), measured: Duration::from_millis(100) };
        assert!(round_trip(&mut server, span).expect("a run") > 0.0);
        let figures = run(&mut server, &Call::Echo(100), 4, Pace::Closed(span)).expect("a run");
        assert!(figures.tally.answers > 4 && figures.elapsed >= span.measured, "{figures:?}");
        assert_eq!(figures.tally.answers, figures.tally.latency.len());
    }

    #[test]
    fn an_open_loop_counts_all_that_was_due() {
        let span = Span { warm_up: Duration::from_millis(50), measured: Duration::from_millis(500) };
        let pace = Pace::Open { rate: 200.0, span };
        let figures = run(&mut cat(), &Call::Echo(100), 8, pace).expect("a run");
        assert_eq!(figures.tally.answers + figures.tally.unsent, 100, "{:?}", figures.tally);
    }

    #[test]
    fn a_wrong_answer_ends_the_run_with_its_text() {
        // A ping is said back as it was, which is no answer to it.
        let error = run(&mut cat(), &Call::Ping, 1, Pace::Once).expect_err("a wrong answer");
        assert!(error.to_string().contains(r#""method":"ping""#), "{error}");
    }
}
