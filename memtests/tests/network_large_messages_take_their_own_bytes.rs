//! A large message takes hardly more heap than it has bytes: one that is written to a file, and one that comes back.
//!
//! A line does not say how long it is. Its buffer grows by half, and while it moves the one before is there too.

use mcpool::Limits;
use mcpool_memtests::matrix::{Asker, Column};
use mcpool_memtests::network::{Host, Way, open_session};
use mcpool_memtests::tools::server_over;
use mcpool_memtests::{Figure, Watch};

/// What may be taken at most for 100 bytes that are sent or received.
const PERCENT: usize = 120;
/// And for 100 bytes of a line on its way in: the buffer that it outgrew, and one larger by half.
const LINE_PERCENT: usize = 250;
/// The slot, the exchange, and a buffer of each of the small classes that a message grew in.
const BESIDE_BYTES: usize = 128 * 1024;

pub(crate) fn network_large_messages_take_their_own_bytes() {
    // Just above a size that a buffer has while it grows is the worst, as the second and the last are.
    for content_bytes in [1_000_000, 1_120_000, 4_000_000, 8_503_000] {
        for column in [Column::ALL[4], Column::ALL[5], Column::ALL[2]] {
            measure(column, content_bytes);
        }
    }
}

fn measure(column: Column, content_bytes: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_over(folder.path(), &Limits { max_reply_bytes: 16 << 20, ..Limits::default() });
    let host = Host::start(&server);
    let mut client = host.connect(column.way);
    let mut answer = vec![0; 16 << 20];
    let session = match (column.is_modern, column.way) {
        (false, Way::Tcp) => open_session(&mut client),
        _ => String::new(),
    };
    let asker = Asker { column, session: &session, folder: folder.path() };
    let call = |tool: &str, arguments: &str| {
        let params = format!(r#""name":"{tool}","arguments":{{{arguments}}}"#);
        asker.request("tools/call", Some(tool), &params)
    };
    let content = "x".repeat(content_bytes);
    let small = call("write_file", r#""path":"new.txt","content":"small""#);
    let write = call("write_file", &format!(r#""path":"new.txt","content":"{content}""#));
    let echo = call("echo", &format!(r#""text":"{content}""#));
    client.exchange(&small, &mut answer);
    for (what, request) in [("written", &write), ("echoed", &echo)] {
        for pool in server.pools().pools() {
            pool.trim(0);
        }
        let watch = Watch::with_frames(8);
        watch.settle();
        let before = watch.stats().curr_bytes;
        let received = client.exchange(request, &mut answer);
        let peak = watch.stats().max_bytes.saturating_sub(before);
        let is_whole = match what {
            "written" => {
                folder.path().join("new.txt").metadata().is_ok_and(|file| file.len() == content_bytes as u64)
            }
            _ => received > content_bytes,
        };
        assert!(is_whole, "{}", String::from_utf8_lossy(&answer[..received.min(500)]));
        let moved = (request.len() + received) * PERCENT / 100;
        let growing = if column.way == Way::Tcp { 0 } else { request.len() * LINE_PERCENT / 100 };
        let allowed = moved.max(growing) + BESIDE_BYTES;
        println!(
            "{content_bytes} B {what} over {column:?}: {peak} B at most, {:.2} for each of {} B sent, {received} B received",
            peak as f64 / request.len() as f64,
            request.len()
        );
        assert!(peak > content_bytes, "what comes is in memory once");
        if peak > allowed {
            watch.fail(Figure::Peak, format_args!("{peak} B, allowed are {allowed} B"));
        }
    }
}
