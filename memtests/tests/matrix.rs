//! What each request costs over each transport is no more than `TABLE.md` says.
//!
//! `MEMTESTS_BLESS=1 cargo test -p mcpool-memtests matrix` writes the table anew.

use mcpool_memtests::Figure;
use mcpool_memtests::matrix::{
    self, Column, PEAK_BESIDE, PEAK_GROWING, PEAK_LINE_PERCENT, PEAK_PER_EVENT, PEAK_PERCENT, PEAK_SEGMENT,
    REQUESTS, Request,
};
use mcpool_memtests::table::{COLUMNS, Cell, Row, Table};
use std::path::Path;
use std::time::Instant;

/// How often a cell that looks worse is measured before it counts as worse: what a thread does once, at a moment of its
/// own, is noise.
const TRIES: usize = 5;
/// How often each is measured for the table, which has the middle one.
const BLESSED_TRIES: usize = 3;

pub(crate) fn matrix() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("TABLE.md");
    if std::env::var_os("MEMTESTS_BLESS").is_some() {
        let table = Table { rows: REQUESTS.iter().map(bless).collect() };
        std::fs::write(&path, table.to_markdown(&introduction())).expect("the table is written");
        return;
    }
    let text = std::fs::read_to_string(&path).expect("TABLE.md is there");
    let stated = Table::from_markdown(&text).unwrap_or_else(|fault| panic!("TABLE.md, {fault}"));
    assert!(text.starts_with(&introduction()), "TABLE.md begins otherwise than it should: write it anew");
    let mut measured = Table::default();
    let mut first_worse = None;
    for request in REQUESTS {
        let began = Instant::now();
        let (row, worse) = measure(request, &stated);
        println!("{}: {:?}", request.name, began.elapsed());
        measured.rows.push(row);
        first_worse = first_worse.or(worse.map(|worse| (request, worse)));
    }
    let worse = measured.worse_than(&stated).join("\n");
    if let Some((request, (column, figure))) = first_worse {
        let message = format!("worse than TABLE.md:\n{worse}\nwhose blocks those of the first are:");
        matrix::explain(request, column, figure, &message);
    }
    assert!(worse.is_empty(), "TABLE.md is of something else:\n{worse}");
}

/// A row, and the first column in which it is worse than `stated`, however often it is measured, with what explains it.
fn measure(request: &Request, stated: &Table) -> (Row, Option<(Column, Figure)>) {
    let mut row = Row { name: request.name.to_owned(), cells: Vec::new() };
    let mut first_worse = None;
    for (place, column) in Column::ALL.into_iter().enumerate() {
        let known = stated.cell(request.name, place);
        let worst = |cell: &Cell| known.and_then(|known| cell.worst(known));
        let mut cell = matrix::cell(request, column);
        for _ in 1..TRIES {
            if worst(&cell).is_none() {
                break;
            }
            println!("{} over {}, once more: {cell:?}", request.name, COLUMNS[place]);
            cell = matrix::cell(request, column);
        }
        first_worse = first_worse.or(worst(&cell).map(|figure| (column, figure)));
        row.cells.push(cell);
    }
    (row, first_worse)
}

fn bless(request: &Request) -> Row {
    let middle = |column| {
        let cells: Vec<Cell> = (0..BLESSED_TRIES).map(|_| matrix::cell(request, column)).collect();
        if cells.windows(2).any(|pair| pair[0] != pair[1]) {
            println!("{} over {column:?} is not steady: {cells:?}", request.name);
        }
        Cell::middle(&cells)
    };
    Row { name: request.name.to_owned(), cells: Column::ALL.into_iter().map(middle).collect() }
}

fn introduction() -> String {
    format!(
        "# What each request costs

Counted by dhat in a debug build, by `cargo test -p mcpool-memtests matrix`, which fails when a figure is higher than
here; `MEMTESTS_BLESS=1` before that command writes this file anew. Each cell has a server of its own with one client.

- Allocations: of the server, on a connection that is warm, over hundreds of requests (8 of 1 MiB, 20 to 40 of those that
  wait for a thread, a time or a change), divided by their number and rounded up to a hundredth: 0 is none at all.
- Bytes that a request leaves: live bytes after those requests less those before them, all pools empty, divided and rounded
  up: 0 is not one byte.
- KiB at most: of one request on a connection that is open, while all pools are empty, so that whatever it leases counts; the
  higher of two, rounded up. It may be {PEAK_PERCENT} % of the bytes sent and received, and {} KiB, and as much as the small
  buffers that a large message grows in: once more the bytes, up to {} KiB. A large message has a buffer of its own size. Only
  a line may take {PEAK_LINE_PERCENT} % of its bytes on its way in, and {} KiB: it does not say how long it is, so it grows in segments,
  and at its end they are copied to one buffer. This counts what is allocated; resident it is once, as that buffer has no
  pages where nothing is written yet, and each segment goes when it is copied (`tests/memory/received.rs`). The stream
  of a session over HTTP may take {PEAK_PER_EVENT} bytes more for each message that it keeps for a client that comes back.

A request is what the client says until it has what it asked for: a cancellation is the call and its cancellation (and on a
line the list of tools behind it, which tells that it was read), a subscription is its opening, a hundred changes, each read,
and its end. Over HTTP a modern call is cancelled, and a subscription ended, by closing the connection; those figures
have a new connection in them, and so have those of bodies that never end.
",
        PEAK_BESIDE / 1024,
        PEAK_GROWING / 1024,
        PEAK_SEGMENT / 1024
    )
}
