//! A request that allocates, keeps or takes more than the table says is found, with the cell and by how much, and who
//! did it.

use mcpool_memtests::matrix::{self, Column, REQUESTS, Request, Step};
use mcpool_memtests::network::post;
use mcpool_memtests::table::{Cell, Figures, Row, Table};
use mcpool_memtests::{Figure, HANDSHAKE};
use std::panic::catch_unwind;

/// Over HTTP, in the legacy era.
const HTTP: Column = Column::ALL[5];

/// What leaves a session each time.
fn open_a_session() -> Vec<Step> {
    vec![Step::Send(0, post("", HANDSHAKE[0])), Step::Answer(0, "mcp-session-id: ")]
}

pub(crate) fn a_worse_cell_is_found() {
    let sessions = Request {
        name: "sessions that stay",
        measured: 100,
        events: 0,
        limits: |_| {},
        script: |_| Ok(open_a_session()),
    };
    let Cell::Figures(leaking) = matrix::cell(&sessions, HTTP) else { panic!("it can be measured") };
    assert!(leaking.retained > 100, "a session that stays keeps something: {leaking:?}");
    assert!(leaking.allocations >= 100, "and allocates: {leaking:?}");

    let prompts = REQUESTS.iter().find(|request| request.name == "prompts/get").expect("a row");
    let Cell::Figures(measured) = matrix::cell(prompts, HTTP) else { panic!("it can be measured") };
    assert!(measured.allocations >= 100 && measured.retained == 0 && measured.peak > 1, "{measured:?}");
    let stated = Figures { allocations: measured.allocations - 1, ..measured };
    assert_eq!(Cell::Figures(measured).worst(&Cell::Figures(measured)), None);
    assert_eq!(Cell::Figures(measured).worst(&Cell::Figures(stated)), Some(Figure::Allocated));
    let lower = Figures { peak: measured.peak - 1, ..measured };
    assert_eq!(Cell::Figures(measured).worst(&Cell::Figures(lower)), Some(Figure::Peak));
    let table = |figures| {
        let row =
            Row { name: prompts.name.to_owned(), cells: vec![Cell::Figures(figures); Column::ALL.len()] };
        Table { rows: vec![row] }
    };
    let worse = table(measured).worse_than(&table(stated));
    assert!(worse[5].starts_with("prompts/get over HTTP, legacy: ") && worse[5].ends_with("0.01 too many"));

    let message = message_of(|| matrix::explain(prompts, HTTP, Figure::Allocated, "too many"));
    assert!(message.starts_with("too many\n") && message.contains("300 blocks, "), "{message}");
    assert!(message.contains("server::serving::methods::"), "who allocates is not named: {message}");
    let message = message_of(|| matrix::explain(&sessions, HTTP, Figure::Live, "too much"));
    assert!(message.contains("100 blocks, "), "what is left is not named: {message}");
}

/// The message of a panic.
fn message_of(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(work).expect_err("it always ends the test");
    *panic.downcast::<String>().expect("a message")
}
