//! Times from bytes in to bytes out, on one connection.
//!
//! Reading the clock costs more than recording, so it is read where a moment serves twice: the last bytes come when the
//! first message begins, and one message ends when the next begins. Of the writes one in [`SAMPLED_WRITES`] is measured,
//! and on a connection that is not busy each. Invariant: a moment is used until something was waited for, no longer.

use crate::metrics::Moment;
use crate::server::Latencies;

/// One of so many writes is measured.
const SAMPLED_WRITES: u8 = 8;
/// After so long without one, each is measured.
const SAMPLED_AFTER_NS: u64 = 1_000_000;

/// The moments of one connection.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    /// When the last bytes came whose requests are not all answered.
    read: Moment,
    /// The latest moment, if nothing was waited for since.
    latest: Moment,
    /// Answers to be written of requests that did not wait. How long others wait is up to their handlers.
    answers: u32,
    /// Writes, counted up to [`SAMPLED_WRITES`].
    writes: u8,
    /// The end of the last write that was measured.
    sampled: Moment,
}

impl RoundTrips {
    /// Bytes came.
    pub(super) fn note_read(&mut self) {
        self.latest = Moment::now();
        if self.answers == 0 {
            self.read = self.latest;
        }
    }

    /// When the message came that is begun now; the default if that is not known.
    pub(super) fn came(&self) -> Moment {
        self.latest
    }

    /// A message was served, or has to wait. Returns the moment.
    pub(super) fn note_served(&mut self) -> Moment {
        self.latest = Moment::now();
        self.latest
    }

    /// Something is waited for: the next message begins at another moment.
    pub(super) fn note_wait(&mut self) {
        self.latest = Moment::default();
    }

    /// The answer of a request that did not wait is to be written.
    pub(super) fn note_answer(&mut self) {
        self.answers += 1;
    }

    /// All answers are written.
    pub(super) fn note_written(&mut self, latencies: &Latencies) {
        self.note_wait();
        let answers = std::mem::take(&mut self.answers);
        if answers == 0 {
            return;
        }
        self.writes += 1;
        let is_busy = self.read.ns_since(self.sampled) < SAMPLED_AFTER_NS;
        if is_busy && self.writes < SAMPLED_WRITES {
            return;
        }
        self.writes = 0;
        let now = Moment::now();
        self.sampled = now;
        latencies.round_trips.record_many(now.ns_since(self.read), answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::LatencyKind;
    use crate::server::{Drain, Server};
    use crate::transport::serve_lines;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn recorded(latencies: &Latencies) -> u64 {
        let reports = latencies.report(std::iter::empty(), Moment::coarse());
        let round_trips = reports.iter().find(|report| report.kind == LatencyKind::RoundTrip);
        round_trips.map_or(0, |report| report.windows[0].count)
    }

    #[test]
    fn each_write_of_a_quiet_connection_is_measured_and_one_in_eight_of_a_busy_one() {
        let latencies = Latencies::new(0, Moment::coarse());
        let mut round_trips = RoundTrips::default();
        round_trips.note_read();
        round_trips.note_answer();
        round_trips.note_answer();
        round_trips.note_written(&latencies);
        assert_eq!(recorded(&latencies), 2);
        // Nothing was answered: nothing is measured.
        round_trips.note_written(&latencies);
        assert_eq!(recorded(&latencies), 2);
        let sampled = Moment::now();
        for _ in 0..80 {
            // As busy as can be: all at one moment.
            (round_trips.read, round_trips.sampled) = (sampled, sampled);
            round_trips.note_answer();
            round_trips.note_written(&latencies);
        }
        assert_eq!(recorded(&latencies), 12);
        round_trips.sampled = Moment::default();
        round_trips.note_answer();
        round_trips.note_written(&latencies);
        assert_eq!(recorded(&latencies), 13);
    }

    #[test]
    fn a_moment_is_used_until_something_was_waited_for() {
        let mut round_trips = RoundTrips::default();
        assert_eq!(round_trips.came(), Moment::default());
        round_trips.note_read();
        let read = round_trips.came();
        assert!(read > Moment::default());
        let served = round_trips.note_served();
        assert!(served >= read && round_trips.came() == served);
        round_trips.note_wait();
        assert_eq!(round_trips.came(), Moment::default());
    }

    #[tokio::test]
    async fn what_comes_on_lines_is_measured_as_message_method_and_round_trip() {
        let server = Server::builder("test", "1").build().expect("a server");
        let (mut client, stream) = tokio::io::duplex(64 * 1024);
        let (reader, writer) = tokio::io::split(stream);
        let drain = Drain::default();
        let serving = serve_lines(&server, reader, writer, &drain);
        let pings = async {
            let lines = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n".repeat(5);
            client.write_all(lines.as_bytes()).await.expect("room");
            client.shutdown().await.expect("open");
            let mut answers = String::new();
            client.read_to_string(&mut answers).await.expect("text");
            answers.lines().count()
        };
        let (answers, ended) = tokio::join!(pings, serving);
        ended.expect("served");
        assert_eq!(answers, 5);
        let report = server.memory().report();
        let counts: Vec<_> = report.latencies.iter().map(|l| (l.kind, l.windows[0].count)).collect();
        let all = [LatencyKind::Message, LatencyKind::RoundTrip, LatencyKind::Method].map(|kind| (kind, 5));
        assert_eq!(counts, all);
        assert_eq!(report.latencies[2].name, "ping");
        assert!(report.part("monitor").is_some_and(|line| line.bytes >= 3 * 7 * 1024));
    }
}
