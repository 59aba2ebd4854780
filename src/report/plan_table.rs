//! A plan of the memory as a table, the largest terms first, and its verdict.
//!
//! Invariant: nothing is cut; where the reasons of the terms do not fit beside them, they stand below.

use super::layout::{Align, Cell, Column, Page, Section, Sentence, wrap};
use crate::limits::units::{bytes, grouped};
use crate::memory::{CeilingPlan, Holder, Term};
use crate::visible;
use std::io;

/// Columns from which on the reasons of the terms fit beside them.
const WIDE: usize = 112;

/// Writes the plan in lines of at most `width` columns, its summary last.
///
/// ```
/// use mcpool::memory::CeilingPlan;
/// use mcpool::report::write_plan;
///
/// fn show(plan: &CeilingPlan) -> std::io::Result<()> {
///     write_plan(plan, 80, &mut std::io::stdout())
/// }
/// ```
///
/// # Errors
/// When `out` cannot be written.
pub fn write_plan(plan: &CeilingPlan, width: usize, out: &mut impl io::Write) -> io::Result<()> {
    let is_wide = width >= WIDE;
    let sections = [
        section(plan, &[Holder::Process, Holder::Spare], "Resident memory", plan.process_bytes, is_wide),
        section(
            plan,
            &[Holder::Kernel],
            "Kernel memory: not resident in the process, counted by its control group",
            plan.with_kernel_bytes - plan.process_bytes,
            is_wide,
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
    writeln!(out)?;
    wrap(&visible::line(&plan.summary()), width, 0).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn section(
    plan: &CeilingPlan,
    holders: &[Holder],
    title: &str,
    sum_bytes: u64,
    is_wide: bool,
) -> Option<Section> {
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
    let mut notes = Vec::new();
    if is_spare {
        let note = "* is given back when memory is short, and counts as far as the limit leaves room";
        notes.push(vec![Cell::text(note)]);
    }
    let mut columns = vec![
        Column::name("term"),
        Column::figure("count", 0),
        Column::figure("each", 0),
        Column::figure("bytes", 0),
        Column { align: Align::Left, ..Column::figure("price", 0) },
    ];
    if !is_wide {
        columns.pop();
        for row in &mut rows {
            row.pop();
        }
        notes.push(prices(&terms));
    }
    Section { title: title.to_owned(), columns, rows, notes }.unless_empty()
}

/// Where the prices of the terms come from, each reason once.
fn prices(terms: &[&Term]) -> Sentence {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for term in terms {
        match reasons.iter_mut().find(|(origin, _)| *origin == term.origin) {
            Some((_, names)) => names.push(term.name),
            None => reasons.push((term.origin, vec![term.name])),
        }
    }
    let told = reasons.iter().map(|(origin, names)| format!("{}: {origin}", names.join(", ")));
    vec![Cell::text(format!("Prices: {}.", told.collect::<Vec<_>>().join("; ")))]
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
