//! What the rounds of one row have shown of each peer, and the sheets that come of it.

use crate::figures::Quantiles;
use crate::peers::Peer;
use crate::sheet::{Cell, Sheet};
use mcpool::load::{FailureKind, LoadTestReport};

/// The rounds of one peer at one thing.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub(crate) label: String,
    pub(crate) peer: Peer,
    pub(crate) rates: Vec<f64>,
    pub(crate) cpu_per_million: Vec<f64>,
    client_load: Vec<f64>,
    late: Vec<f64>,
    unsent: Vec<f64>,
    latency: Vec<Quantiles>,
    /// It failed: nothing more is asked of it.
    pub(crate) is_over: bool,
}

impl Track {
    pub(crate) fn new(label: String, peer: Peer) -> Self {
        Self {
            label,
            peer,
            rates: Vec::new(),
            cpu_per_million: Vec::new(),
            client_load: Vec::new(),
            late: Vec::new(),
            unsent: Vec::new(),
            latency: Vec::new(),
            is_over: false,
        }
    }

    pub(crate) fn add(&mut self, report: &LoadTestReport) {
        let requests = &report.requests;
        let percent = |count: u64| count as f64 * 100.0 / requests.scheduled.max(1) as f64;
        self.rates.push(requests.rate);
        // Microseconds for one are seconds for a million; without an answer there is nothing to divide the time by.
        self.cpu_per_million.extend(report.server.as_ref().and_then(|server| server.cpu_per_request_us));
        self.client_load.push(report.generator.cpu_load * 100.0);
        self.late.push(percent(requests.late));
        self.unsent.push(percent(requests.dropped));
        self.latency.extend(report.latency.as_ref().map(Quantiles::from));
    }

    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        Quantiles::middle(&self.latency)
    }
}

/// How many requests a server refused.
pub(crate) fn refused(report: &LoadTestReport) -> u64 {
    let refused = report.failures.iter().filter(|failure| failure.kind == FailureKind::Refused);
    refused.map(|failure| failure.count).sum()
}

/// The sheets of a closed loop.
pub(crate) fn closed(tracks: &[Track], names: &Names) -> Vec<Sheet> {
    let [rates, latency, cpu, load] = names.ids;
    let (place, about) = (names.place, names.about);
    let mut sheets = [
        Sheet::new(rates, &format!("Throughput {place}"), "requests a second", about),
        Sheet::new(latency, &format!("Latency {place}, closed loop, p50 / p99 / p99.9"), "us", ""),
        Sheet::new(cpu, &format!("CPU time of the server {place}"), "s for a million requests", ""),
        Sheet::new(load, &format!("How busy the generator was {place}"), "%", BUSY),
    ];
    for track in tracks {
        let (label, peer) = (track.label.as_str(), track.peer);
        sheets[0].put_rounds(label, peer, &track.rates);
        if let Some(quantiles) = track.quantiles() {
            sheets[1].put(label, peer, Cell::Quantiles(quantiles));
        }
        sheets[2].put_rounds(label, peer, &track.cpu_per_million);
        sheets[3].put_rounds(label, peer, &track.client_load);
    }
    sheets.into()
}

/// The sheets of an open loop.
pub(crate) fn open(tracks: &[Track], names: &Names) -> Vec<Sheet> {
    let [rates, latency, late, unsent] = names.ids;
    let (place, about) = (names.place, names.about);
    let mut sheets = [
        Sheet::new(latency, &format!("Latency {place}, open loop, p50 / p99 / p99.9"), "us", about),
        Sheet::new(rates, &format!("Rate of the open loop {place}"), "requests a second", ""),
        Sheet::new(late, &format!("Requests that began over 1 ms late {place}"), "%", ""),
        Sheet::new(unsent, &format!("Requests that were due and never began {place}"), "%", ""),
    ];
    for track in tracks {
        let (label, peer) = (track.label.as_str(), track.peer);
        if let Some(quantiles) = track.quantiles() {
            sheets[0].put(label, peer, Cell::Quantiles(quantiles));
        }
        sheets[1].put_rounds(label, peer, &track.rates);
        sheets[2].put_rounds(label, peer, &track.late);
        sheets[3].put_rounds(label, peer, &track.unsent);
    }
    sheets.into()
}

/// What the sheets of some tracks are called.
pub(crate) struct Names {
    pub(crate) ids: [&'static str; 4],
    pub(crate) place: &'static str,
    pub(crate) about: &'static str,
}

const BUSY: &str = "Share of one processor that the generator took. Near 100 it was the limit, and the server could do more.";

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;

    #[test]
    fn rounds_become_cells() {
        let mut track = Track::new("echo".to_owned(), Peer::Library);
        for (answers, us) in [(100, 30.0), (300, 10.0), (200, 50.0)] {
            track.add(&report(answers, us));
        }
        let failed = Track::new("echo".to_owned(), Peer::Python);
        let mut stuck = Track::new("stuck".to_owned(), Peer::Rmcp);
        stuck.add(&report(0, 1.0));
        assert!(stuck.cpu_per_million.is_empty() && stuck.quantiles().is_none() && stuck.rates.len() == 1);
        let names = Names { ids: ["a", "b", "c", "d"], place: "here", about: "" };
        let sheets = closed(&[track.clone(), failed.clone()], &names);
        let figure = |sheet: &Sheet| sheet.row("echo").map(|row| row.cells[&Peer::Library].figure().round());
        let figures: Vec<_> = sheets.iter().filter_map(figure).collect();
        assert_eq!(figures, [200.0, 30.0, 5000.0, 50.0]);
        assert!(sheets.iter().all(|sheet| sheet.columns() == [Peer::Library]), "no column for what failed");

        let sheets = open(&[track, failed], &names);
        let figures: Vec<_> = sheets.iter().filter_map(figure).collect();
        assert_eq!(figures, [30.0, 200.0, 17.0, 33.0]);
    }

    #[test]
    fn refusals_are_counted_apart_from_other_failures() {
        let mut report = report(1, 1.0);
        let failure = |kind, count| mcpool::load::FailureReport { kind, count, example: None };
        report.failures = vec![failure(FailureKind::TimeOut, 2), failure(FailureKind::Refused, 3)];
        assert_eq!(refused(&report), 3);
    }
}
