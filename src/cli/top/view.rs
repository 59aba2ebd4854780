//! What is shown: the latest report, what came before it, and what the person chose.

use super::feed::News;
use super::panes::Pane;
use super::rates::{Rates, overall};
use crate::limits::units::bytes;
use crate::memory::{MemoryReport, ReclaimOutcome};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;

/// Earlier values that are kept: the widest chart.
const HISTORY: usize = 240;

/// The state of the screen.
pub(super) struct View {
    pub(super) report: Option<MemoryReport>,
    pub(super) rates: Option<Rates>,
    /// Requests per second, oldest first.
    pub(super) request_history: VecDeque<u64>,
    /// 99 % of requests took at most so many nanoseconds, oldest first.
    pub(super) p99_history: VecDeque<u64>,
    pub(super) pane: Pane,
    /// The column that each pane is sorted by; nothing for its own order.
    sort: [Option<usize>; Pane::ALL.len()],
    pub(super) is_reversed: bool,
    pub(super) first_row: usize,
    pub(super) filter: String,
    pub(super) is_filtering: bool,
    pub(super) is_paused: bool,
    /// What the last key came to.
    pub(super) message: Option<String>,
    /// Why there is no newer report.
    pub(super) fault: Option<String>,
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            report: None,
            rates: None,
            request_history: VecDeque::with_capacity(HISTORY),
            p99_history: VecDeque::with_capacity(HISTORY),
            pane: Pane::Overview,
            sort: [None; Pane::ALL.len()],
            is_reversed: false,
            first_row: 0,
            filter: String::new(),
            is_filtering: false,
            is_paused: false,
            message: None,
            fault: None,
        }
    }

    /// Takes a newer report.
    pub(super) fn take(&mut self, report: MemoryReport) {
        self.rates = self.report.as_ref().and_then(|before| Rates::between(before, &report));
        if let Some(rates) = self.rates {
            push(&mut self.request_history, rates.requests_per_s.round() as u64);
            push(&mut self.p99_history, overall(&report).map_or(0, |window| window.p99_ns));
        }
        self.report = Some(report);
        self.fault = None;
    }

    pub(super) fn take_news(&mut self, news: News) {
        match news {
            News::Report(report) if !self.is_paused => self.take(*report),
            News::Report(_) => {}
            News::Reclaimed(outcome) => self.message = Some(given_back(&outcome)),
            News::Failed(why) => self.fault = Some(why),
        }
    }

    pub(super) fn show(&mut self, pane: Pane) {
        self.pane = pane;
        self.first_row = 0;
    }

    /// The column that a pane is sorted by.
    pub(super) fn sorted_by(&self, pane: Pane) -> Option<usize> {
        self.sort[pane as usize]
    }

    /// Sorts the pane by its next column, and after the last one as it was.
    pub(super) fn sort_by_next(&mut self) {
        let columns = self.pane.columns().len();
        let sort = &mut self.sort[self.pane as usize];
        *sort = Some(sort.map_or(0, |column| column + 1)).filter(|column| *column < columns);
        self.first_row = 0;
    }

    /// Writes the report that is shown to a new file.
    pub(super) fn write_report(&mut self) {
        let Some(report) = &self.report else { return };
        let path = format!("mcpool-report-{}-{}.json", report.server.pid, report.taken_unix_ms);
        let written = serde_json::to_vec_pretty(report)
            .map_err(std::io::Error::from)
            .and_then(|json| OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(&json));
        self.message = Some(match written {
            Ok(()) => format!("written: {path}"),
            Err(error) => format!("cannot write {path}: {error}"),
        });
    }
}

fn push(history: &mut VecDeque<u64>, value: u64) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}

fn given_back(outcome: &ReclaimOutcome) -> String {
    match (outcome.rss_before_bytes, outcome.rss_after_bytes) {
        (Some(before), Some(after)) => {
            format!("given back: {}, resident now {}", bytes(before.saturating_sub(after)), bytes(after))
        }
        _ => "idle memory was freed".to_owned(),
    }
}
