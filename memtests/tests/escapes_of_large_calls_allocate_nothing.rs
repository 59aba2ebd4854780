//! A large argument with escapes costs no allocation that a plain one of the same length does not cost. It is unescaped
//! into an arena that the call before left warm.

use mcpool::Limits;
use mcpool_memtests::matrix::{Asker, Column};
use mcpool_memtests::network::{Client, Host, Way, open_session};
use mcpool_memtests::tools::server;
use mcpool_memtests::{Figure, HANDSHAKE, Watch, steady_runtime};
use std::path::Path;

/// Bytes of the argument as it is written.
const SIZES: [usize; 3] = [100_000, 300_000, 1_000_000];
const WARM_UP: usize = 8;
/// The fewest blocks of so many calls count: a stall of a second in between lets the arena go.
const CALLS: usize = 24;
const PART: &str = r#"a line of forty bytes, \"and\" escapes\n.."#;

pub(crate) fn escapes_of_large_calls_allocate_nothing() {
    for column in [Column::ALL[3], Column::ALL[4], Column::ALL[5]] {
        let server = server(&Limits { drain_timeout_ms: 10, ..Limits::default() });
        let host = Host::start_on(steady_runtime, &server);
        let mut client = host.connect(column.way);
        let session = open(&mut client, column);
        let asker = Asker { column, session: &session, folder: Path::new("/") };
        for bytes in SIZES {
            let escaped = PART.repeat(bytes / PART.len());
            let plain = "x".repeat(escaped.len());
            let unescaped = escaped.len() - escaped.matches('\\').count();
            let plain_blocks = blocks(&mut client, &request(&asker, &plain), plain.len());
            let escaped_blocks = blocks(&mut client, &request(&asker, &escaped), unescaped);
            println!("{bytes} B over {column:?}: {plain_blocks} blocks plain, {escaped_blocks} with escapes");
            if escaped_blocks > plain_blocks {
                let watch = Watch::with_frames(12);
                ask(&mut client, &request(&asker, &escaped), r#""text":""#);
                watch.settle();
                watch.fail(
                    Figure::Allocated,
                    format_args!("{escaped_blocks} blocks with escapes, {plain_blocks} without"),
                );
            }
        }
        let arenas = server.pools().find("large arenas").expect("a pool");
        arenas.trim(0);
        assert_eq!(arenas.snapshot().owned_bytes, 0, "what is idle can be freed");
    }
}

fn open(client: &mut Client, column: Column) -> String {
    match (column.is_modern, column.way) {
        (false, Way::Tcp) => return open_session(client),
        (false, _) => {
            client.exchange(format!("{}\n", HANDSHAKE[0]).as_bytes(), &mut [0; 4096]);
            client.send(format!("{}\n", HANDSHAKE[1]).as_bytes());
        }
        _ => {}
    }
    String::new()
}

fn request(asker: &Asker<'_>, text: &str) -> Vec<u8> {
    let params = format!(r#""name":"measure","arguments":{{"text":"{text}"}}"#);
    asker.request("tools/call", Some("measure"), &params)
}

/// The fewest blocks that a warm call takes.
fn blocks(client: &mut Client, request: &[u8], length: usize) -> u64 {
    let part = &format!(r#""text":"{length}""#);
    (0..WARM_UP).for_each(|_| ask(client, request, part));
    let watch = Watch::begin();
    let each = (0..CALLS).map(|_| {
        let before = watch.stats().total_blocks;
        ask(client, request, part);
        watch.settle();
        watch.stats().total_blocks - before
    });
    each.min().expect("calls")
}

/// Without an allocation of its own: client and server are one process.
fn ask(client: &mut Client, request: &[u8], part: &str) {
    let mut buffer = [0; 4096];
    let read = client.exchange(request, &mut buffer);
    let is_there = buffer[..read].windows(part.len()).any(|window| window == part.as_bytes());
    assert!(is_there, "{part} is not in {}", String::from_utf8_lossy(&buffer[..read]));
}
