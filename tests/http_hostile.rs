//! Hostile requests over TCP: the table of rows and the driver that sends them.
//!
//! The codec's own tests run every row against the codec behind a socket. What is tested here is what that
//! rests on: a table without holes, and a driver that tells a connection that was refused from one that was
//! kept, or it would find nothing.

#[path = "http/cases.rs"]
mod cases;
#[path = "http/driver.rs"]
mod driver;

use cases::{Bounds, Row};
use driver::{Answers, exchange};
use mcpool::transport::{HttpConfig, Listener, LocalAddress, TcpOptions, serve_http};
use mcpool::{Drain, Limits, Server};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc::sync_channel;

#[test]
fn the_table_has_no_row_twice() {
    let Limits { max_header_bytes, max_headers, max_frame_bytes, .. } = Limits::default();
    let bounds =
        Bounds { header_bytes: max_header_bytes, headers: max_headers, frame_bytes: max_frame_bytes };
    let (heads, bodies) = (cases::heads(bounds), cases::bodies(bounds));
    assert!(heads.len() >= 80 && bodies.len() >= 30, "{} heads, {} bodies", heads.len(), bodies.len());
    let (mut names, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for Row { name, bytes, status } in heads.into_iter().chain(bodies) {
        assert!(names.insert(name) && texts.insert(bytes), "{name} is there twice");
        assert!((400..=505).contains(&status), "{name}: {status} refuses nothing");
    }
}

#[test]
fn the_server_refuses_every_row() {
    let limits = Limits::default();
    let bounds = Bounds {
        header_bytes: limits.max_header_bytes,
        headers: limits.max_headers,
        frame_bytes: limits.max_frame_bytes,
    };
    let server = Server::builder("hostile", "1").limits(limits).build().expect("a server");
    let drain = Drain::default();
    let (told, started) = sync_channel(1);
    let ends = drain.clone();
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let listener = Listener::tcp(any, TcpOptions::default()).expect("a port");
            let LocalAddress::Tcp { address, .. } = *listener.local_addr() else { panic!("a TCP address") };
            told.send(address).expect("somebody waits");
            serve_http(&server, vec![listener], HttpConfig::default(), &ends).await.expect("served");
        });
    });
    let address = started.recv().expect("the server listens");
    let mut wrong = Vec::new();
    for row in cases::heads(bounds).into_iter().chain(cases::bodies(bounds)) {
        // Byte by byte the long ones would take for ever, and are no other than the short ones.
        let pieces: &[usize] = if row.bytes.len() < 2_000 { &[1, usize::MAX] } else { &[usize::MAX] };
        for piece_bytes in pieces {
            let found = exchange(address, &row.bytes, *piece_bytes).expect("an exchange");
            let want = Answers { statuses: vec![row.status], is_closed: true };
            if found != want {
                wrong.push((row.name, *piece_bytes, found, want));
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows: {wrong:#?}", wrong.len());
    drain.begin();
    serving.join().expect("the server's thread ends");
}

#[test]
fn the_driver_tells_a_refused_connection_from_a_kept_one() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    const BAD: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (answer, statuses) in [
        (BAD.to_owned(), vec![400]),
        ([OK, OK].concat(), vec![200, 200]),
        ([BAD, OK].concat(), vec![400, 200]),
        (String::new(), vec![]),
    ] {
        for piece_bytes in [1, usize::MAX] {
            let answers = exchange(start(answer.clone()), b"GET / HTTP/1.1\r\n\r\n", piece_bytes);
            let want = Answers { statuses: statuses.clone(), is_closed: true };
            assert_eq!(answers.expect("an exchange"), want, "{answer}");
        }
    }
}

/// A server of one connection that has its answer ready.
fn start(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.write_all(answer.as_bytes()).expect("an answer");
        stream.shutdown(Shutdown::Write).expect("an end");
        stream.read_to_end(&mut Vec::new()).expect("what was sent");
    });
    address
}
