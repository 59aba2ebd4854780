//! A plan of the memory as a table, the largest terms first, and its verdict.
//!
//! Invariant: the last line is the plan's summary, on one line however wide it is.

use super::layout::{Align, Cell, Column, Page, Section, harmless};
use crate::limits::units::{bytes, grouped};
use crate::memory::{CeilingPlan, Holder, Term};
use std::io;

/// Writes the plan in lines of at most `width` columns; the last one alone may be longer.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_plan(plan: &CeilingPlan, width: usize, out: &mut impl io::Write) -> io::Result<()> {
    let sections = [
        section(plan, &[Holder::Process, Holder::Spare], "Resident memory", plan.process_bytes),
        section(
            plan,
            &[Holder::Kernel],
            "Kernel memory: not resident in the process, counted by its control group",
            plan.with_kernel_bytes - plan.process_bytes,
        ),
        remedies(plan),
    ];
    let headline = match &plan.load {
        Some(load) => format!(
            "{} connections, {} sessions, {} streams, {} waiting, {} reads of {}, {} writes of {}, all at once:",
            grouped(load.connections),
            grouped(load.sessions),
            grouped(load.streams),
            grouped(load.waiting),
            grouped(load.reads.count),
            bytes(load.reads.bytes),
            grouped(load.writes.count),
            bytes(load.writes.bytes),
        ),
        None => "The most that the settings allow, all at once:".to_owned(),
    };
    let page =
        Page { headline: vec![Cell::text(headline)], sections: sections.into_iter().flatten().collect() };
    page.write_plain(width, out)?;
    writeln!(out, "\n{}", harmless(&plan.summary()))
}

fn section(plan: &CeilingPlan, holders: &[Holder], title: &str, sum_bytes: u64) -> Option<Section> {
    let mut terms: Vec<&Term> = plan.terms.iter().filter(|term| holders.contains(&term.holder)).collect();
    terms.sort_by_key(|term| std::cmp::Reverse(term.bytes));
    let mut rows: Vec<Vec<Cell>> = terms.iter().map(|term| row(term)).collect();
    rows.push(vec![
        Cell::text("sum"),
        Cell::text(""),
        Cell::text(""),
        Cell::text(bytes(sum_bytes)),
        Cell::text(""),
    ]);
    let is_spare = terms.iter().any(|term| term.holder == Holder::Spare);
    let note = "* is given back when memory is short, and counts as far as the limit leaves room";
    Section {
        title: title.to_owned(),
        columns: vec![
            Column::name("term"),
            Column::figure("count", 1),
            Column::figure("each", 1),
            Column::figure("bytes", 0),
            Column { align: Align::Left, ..Column::figure("price", 2) },
        ],
        rows,
        notes: if is_spare { vec![vec![Cell::text(note)]] } else { Vec::new() },
    }
    .unless_empty()
}

fn row(term: &Term) -> Vec<Cell> {
    let mark = if term.holder == Holder::Spare { " *" } else { "" };
    vec![
        Cell::text(format!("{}{mark}", term.name)),
        Cell::text(grouped(term.count)),
        Cell::text(bytes(term.bytes_each)),
        Cell::text(bytes(term.bytes)),
        Cell::text(term.origin),
    ]
}

fn remedies(plan: &CeilingPlan) -> Option<Section> {
    let notes = plan.remedies.iter().map(|remedy| vec![Cell::text(remedy.as_str())]).collect();
    Section { title: "What does not fit".to_owned(), columns: Vec::new(), rows: Vec::new(), notes }
        .unless_empty()
}
