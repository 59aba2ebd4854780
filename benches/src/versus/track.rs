//! What the rounds of one row have shown of each peer, and the sheets that come of it.

use crate::figures::{Figures, Quantiles, histogram};
use crate::peers::Peer;
use crate::sheet::{Cell, Sheet};
use hdrhistogram::Histogram;

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
    refused: Vec<f64>,
    latency: Histogram<u64>,
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
            refused: Vec::new(),
            latency: histogram(),
            is_over: false,
        }
    }

    pub(crate) fn add(&mut self, figures: &Figures, client_threads: usize) {
        let tally = &figures.tally;
        let due = (tally.answers + tally.refused + tally.unsent).max(1) as f64;
        self.rates.push(figures.rate());
        // Without an answer there is nothing that the time could be divided by.
        self.cpu_per_million.extend((tally.answers > 0).then(|| figures.server_cpu_per_million()));
        self.client_load.push(figures.client_load(client_threads) * 100.0);
        self.late.push(tally.late as f64 * 100.0 / due);
        self.unsent.push(tally.unsent as f64 * 100.0 / due);
        self.refused.push(tally.refused as f64);
        self.latency += &tally.latency;
    }

    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        Quantiles::of(&self.latency)
    }
}

/// The sheets of a closed loop.
pub(crate) fn closed(tracks: &[Track], names: &Names) -> Vec<Sheet> {
    let [rates, latency, cpu, load] = names.ids;
    let (place, about) = (names.place, names.about);
    let mut sheets = [
        Sheet::new(rates, &format!("Throughput {place}"), "requests a second", about),
        Sheet::new(latency, &format!("Latency {place}, closed loop, p50 / p99 / p99.9"), "us", ""),
        Sheet::new(cpu, &format!("CPU time of the server {place}"), "s for a million requests", ""),
        Sheet::new(load, &format!("How busy the client was {place}"), "%", BUSY),
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

const BUSY: &str =
    "Share of the client's one thread. Near 100 the client was the limit, and the server could do more.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Tally;
    use std::time::Duration;

    #[test]
    fn rounds_become_cells() {
        let mut track = Track::new("echo".to_owned(), Peer::Library);
        for answers in [100, 300, 200] {
            let mut tally = Tally { refused: 0, late: 50, unsent: 100, ..Tally::default() };
            (0..answers).for_each(|_| tally.answered(Duration::from_micros(30)));
            let second = Duration::from_secs(1);
            let figures = Figures { tally, elapsed: second, server_cpu: second, client_cpu: second / 2 };
            track.add(&figures, 1);
        }
        let failed = Track::new("echo".to_owned(), Peer::Python);
        let second = Duration::from_secs(1);
        let tally = Tally::default();
        let mut stuck = Track::new("stuck".to_owned(), Peer::Rmcp);
        stuck.add(&Figures { tally, elapsed: second, server_cpu: second, client_cpu: second }, 1);
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
}
