//! An idle connection over TCP or a Unix socket keeps at most a kilobyte of heap, a session half of one more. That
//! holds however many there are: 10, 100, 1,000 and 10,000 are on a straight line.

use mcpool::{Limits, Server};
use mcpool_memtests::growth::{Line, straight};
use mcpool_memtests::network::{Client, Host, Way, modern, open_session, raise_descriptors};
use mcpool_memtests::{Echo, Figure, HANDSHAKE, META, Watch, buffers_in_use, patient};

const MAX_BYTES: usize = 1_024;
const MAX_SESSION_BYTES: usize = 512;
const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Two descriptors for each connection, and some for the rest.
const DESCRIPTORS: usize = 2 * 10_000 + 200;

/// What a connection did before it became idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    Nothing,
    Modern,
    Session,
}

pub(crate) fn network_idle_connection_is_small() {
    let most = (raise_descriptors(DESCRIPTORS) - 200) / 2;
    if most < 10_000 {
        println!(
            "this system allows no 10,000 connections with both their ends in one process: {most} it is"
        );
    }
    let limits = patient(Limits { max_connections: 20_000, max_sessions: 40_000, ..Limits::default() });
    let server = Server::builder("memtests", "1").limits(limits).tool(Echo).build().expect("a server");
    let host = Host::start(&server);
    let watch = Watch::with_frames(8);
    match grow_all(&watch, &server, &host, most) {
        Ok(beyond) if beyond <= MAX_SESSION_BYTES as f64 => println!("a session: {beyond:.1} B beyond"),
        Ok(beyond) => {
            watch.fail(Figure::Live, format_args!("a session keeps {beyond:.0} B beyond its connection"))
        }
        Err(fault) => watch.fail(Figure::Live, format_args!("{fault}")),
    }
}

/// Holds each kind of connection to a straight line; gives what a session keeps beyond its connection.
fn grow_all(watch: &Watch, server: &Server, host: &Host, most: usize) -> Result<f64, String> {
    let grow_connections = |way, past, until: usize| {
        let mut clients = Vec::with_capacity(until);
        let what = format!("{way:?} {past:?}");
        let allowed = MAX_BYTES + if past == History::Session { MAX_SESSION_BYTES } else { 0 };
        let line = grow(watch, &what, most.min(until), allowed, |count| {
            clients.extend((0..count).map(|_| open(host, way, past)));
            // Who is answered was accepted after all those who said nothing.
            drop(open(host, way, History::Modern));
        });
        assert_eq!(buffers_in_use(server), 0, "an idle connection holds a buffer");
        drop(clients);
        watch.settle();
        line
    };
    grow_connections(Way::Tcp, History::Nothing, 1_000)?;
    let bare = grow_connections(Way::Tcp, History::Modern, 10_000)?;
    let with_session = grow_connections(Way::Tcp, History::Session, 10_000)?;
    grow_connections(Way::Unix, History::Nothing, 1_000)?;
    grow_connections(Way::Unix, History::Modern, 1_000)?;
    grow_connections(Way::Unix, History::Session, 1_000)?;
    grow_connections(Way::Lines, History::Modern, 1_000)?;
    grow_connections(Way::Lines, History::Session, 1_000)?;
    // Sessions that are no connection's: one opens them all.
    let mut client = host.connect(Way::Tcp);
    let sessions = server.sessions();
    grow(watch, "sessions alone", 10_000, MAX_SESSION_BYTES, |count| {
        (0..count).for_each(|_| drop(open_session(&mut client)));
    })?;
    assert_eq!(server.sessions() - sessions, 10_000);
    Ok(with_session.slope - bare.slope)
}

/// Opens more and more until there are so many, and holds what they keep to a straight line.
fn grow(
    watch: &Watch,
    what: &str,
    until: usize,
    allowed: usize,
    mut open_more: impl FnMut(usize),
) -> Result<Line, String> {
    watch.settle();
    let before = watch.stats().curr_bytes;
    let mut points = Vec::with_capacity(COUNTS.len());
    let mut opened = 0;
    for count in COUNTS.map(|count| count.min(until)) {
        if count > opened {
            open_more(count - opened);
            watch.settle();
            points.push((count, watch.stats().curr_bytes.saturating_sub(before)));
        }
        opened = count;
    }
    let line = straight(what, &points, allowed)?;
    println!("{what}: {line}");
    Ok(line)
}

fn open(host: &Host, way: Way, past: History) -> Client {
    let mut buffer = [0; 8192];
    let mut client = host.connect(way);
    let discover = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{{META}}}}}"#);
    let line = |text: &str| format!("{text}\n").into_bytes();
    match (past, way) {
        (History::Nothing, _) => {}
        (History::Modern, Way::Lines) => drop(client.exchange(&line(&discover), &mut buffer)),
        (History::Modern, _) => {
            client.exchange(&modern("server/discover", None, &discover), &mut buffer);
        }
        (History::Session, Way::Lines) => {
            client.exchange(&line(HANDSHAKE[0]), &mut buffer);
            client.send(&line(HANDSHAKE[1]));
        }
        (History::Session, _) => drop(open_session(&mut client)),
    }
    client
}
