//! Tables of figures with a column for each peer: for people (Markdown), for machines (JSON), and for the chart.
//!
//! Knows peers by name and numbers, not how they were measured. A cell that is not there was not measured.

use crate::figures::{Quantiles, Spread};
use crate::peers::Peer;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// What was measured of one peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// A figure of each round.
    Spread(Spread),
    /// A latency over all rounds.
    Quantiles(Quantiles),
}

impl Cell {
    /// The figure that a bar stands for.
    pub fn figure(&self) -> f64 {
        match self {
            Self::Spread(spread) => spread.median,
            Self::Quantiles(quantiles) => quantiles.p50,
        }
    }

    /// From where to where the figure goes.
    pub fn ends(&self) -> (f64, f64) {
        match self {
            Self::Spread(spread) => (spread.least, spread.most),
            Self::Quantiles(quantiles) => (quantiles.p50, quantiles.p999),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Spread(Spread { median, least, most, rounds }) => {
                json!({ "median": median, "least": least, "most": most, "rounds": rounds })
            }
            Self::Quantiles(Quantiles { p50, p99, p999 }) => json!({ "p50": p50, "p99": p99, "p99.9": p999 }),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spread(Spread { median, rounds: 1, .. }) => out.write_str(&figure(*median)),
            Self::Spread(Spread { median, least, most, .. }) => {
                write!(out, "{} ({} to {})", figure(*median), figure(*least), figure(*most))
            }
            Self::Quantiles(Quantiles { p50, p99, p999 }) => {
                write!(out, "{} / {} / {}", figure(*p50), figure(*p99), figure(*p999))
            }
        }
    }
}

/// A row: what was measured, of whom.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub label: String,
    /// The peers of which it was.
    pub cells: BTreeMap<Peer, Cell>,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Its name for machines.
    pub id: &'static str,
    /// Its name for people; the unit follows.
    pub title: String,
    /// Of all its figures, unless the rows say their own.
    pub unit: &'static str,
    /// What a reader must know.
    pub about: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

impl Sheet {
    /// An empty table.
    pub fn new(id: &'static str, title: &str, unit: &'static str, about: &str) -> Self {
        Self { id, title: title.to_owned(), unit, about: about.to_owned(), rows: Vec::new() }
    }

    /// Enters what was measured of a peer, in the row of that label.
    pub fn put(&mut self, label: &str, peer: Peer, cell: Cell) {
        let index = self.rows.iter().position(|row| row.label == label).unwrap_or_else(|| {
            self.rows.push(Row { label: label.to_owned(), cells: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[index].cells.insert(peer, cell);
    }

    /// Enters figures of rounds; nothing when there are none.
    pub fn put_rounds(&mut self, label: &str, peer: Peer, rounds: &[f64]) {
        if let Some(spread) = Spread::of(rounds) {
            self.put(label, peer, Cell::Spread(spread));
        }
    }

    /// The row of that label.
    pub fn row(&self, label: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.label == label)
    }

    /// The peers of which anything was measured, in their order.
    pub fn columns(&self) -> Vec<Peer> {
        let is_there = |peer: &Peer| self.rows.iter().any(|row| row.cells.contains_key(peer));
        Peer::ALL.into_iter().filter(is_there).collect()
    }

    /// The title with the unit.
    pub fn heading(&self) -> String {
        if self.unit.is_empty() { self.title.clone() } else { format!("{}, {}", self.title, self.unit) }
    }

    /// The table as an object.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let cells = row.cells.iter().map(|(peer, cell)| (peer.name().to_owned(), cell.json()));
                json!({ "what": row.label, "peers": Value::Object(cells.collect::<Map<_, _>>()) })
            })
            .collect();
        json!({ "id": self.id, "title": self.title, "unit": self.unit, "about": self.about, "rows": rows })
    }

    /// The rows as a table of Markdown.
    pub fn markdown(&self) -> String {
        let columns = self.columns();
        let names: Vec<_> = columns.iter().map(|peer| peer.name()).collect();
        let mut text = format!("| | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(names.len()));
        for row in &self.rows {
            let cells = columns.iter().map(|peer| row.cells.get(peer).map_or(String::new(), Cell::to_string));
            let _ = writeln!(text, "| {} | {} |", row.label, cells.collect::<Vec<_>>().join(" | "));
        }
        text
    }
}

/// A figure with three digits that count, thousands set apart.
pub fn figure(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        _ if size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{size:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let is_zero = text.chars().all(|char| matches!(char, '0' | '.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    if is_zero { "0".to_owned() } else { format!("{sign}{grouped}{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (-0.001, "0"),
            (0.123, "0.12"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (1234.5, "1,234"),
            (1_234_567.0, "1,234,567"),
            (-1234.5, "-1,234"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn people_and_machines_see_the_same_rows() {
        let mut sheet = Sheet::new("speed", "Speed", "us", "");
        sheet.put_rounds("ping", Peer::Rmcp, &[1.0, 2.0, 3.0]);
        sheet.put("ping", Peer::Mcpool, Cell::Quantiles(Quantiles { p50: 1.0, p99: 20.0, p999: 300.0 }));
        sheet.put("list", Peer::Rmcp, Cell::Spread(Spread::one(5.0)));
        sheet.put_rounds("nothing", Peer::Nginx, &[]);
        assert_eq!(sheet.heading(), "Speed, us");
        assert_eq!(
            sheet.markdown(),
            "| | mcpool | rmcp |\n| --- | --- | --- |\n| ping | 1.00 / 20.0 / 300 | 2.00 (1.00 to 3.00) |\n| list |  | 5.00 |\n"
        );
        let json = sheet.json();
        assert_eq!(json["rows"][0]["peers"]["rmcp"]["median"], 2.0);
        assert_eq!(json["rows"][0]["peers"]["mcpool"]["p99.9"], 300.0);
        assert_eq!(json["rows"][1]["peers"].as_object().map(Map::len), Some(1));
    }
}
