//! What a burst of large requests takes, and what a server keeps of it.

use super::{Stage, mib};
use crate::calls::{Call, Era};
use crate::figures::Spread;
use crate::http_load;
use crate::peers::{Peer, Site, Tools};
use crate::schedule::Pace;
use crate::sheet::{Cell, Sheet};
use crate::stdio_server::StdioServer;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const BODY_BYTES: usize = 1 << 20;
/// How long after the burst the rest is weighed.
const AFTER: Duration = Duration::from_secs(5);

/// A burst that is over, on a server that still runs.
struct Finished<Server> {
    peer: Peer,
    server: Server,
    before: f64,
    peak: f64,
    right_after: f64,
    took: f64,
    refused: u64,
    ended: Instant,
}

/// Sends the bursts, first over HTTP, then over pipes.
/// What fails is left out.
pub(crate) fn measure(stage: &Stage<'_>) -> Vec<Sheet> {
    let about = format!(
        "Over HTTP {} bodies of 1 MiB at once, each on a connection of its own, in 2026-07-28; over stdio {} lines of \
         1 MiB, one after the other. Servers with `length` are asked for it, those with files for `tools/list` with \
         as many blanks behind it (HTTP) or `list_allowed_directories` with an argument that nobody needs (stdio).",
        stage.extent.burst_connections, stage.extent.burst_frames
    );
    let mut sheet = Sheet::new("burst", "Burst", "RSS in MiB", &about);
    let mut over_http = Vec::new();
    for site in stage.sites() {
        stage.say(&format!("burst over HTTP: {}", site.peer.name()));
        over_http.extend(stage.attempt(site.peer, "burst over HTTP", || at_once(stage, site)));
    }
    for finished in &over_http {
        enter(stage, &mut sheet, "HTTP", finished, || {
            finished.server.server.memory().map(|memory| memory.rss_kib)
        });
    }
    drop(over_http);
    let mut over_stdio = Vec::new();
    for peer in stage.with_stdio() {
        stage.say(&format!("burst over stdio: {}", peer.name()));
        over_stdio.extend(stage.attempt(peer, "burst over stdio", || in_turn(stage, peer)));
    }
    for finished in &over_stdio {
        enter(stage, &mut sheet, "stdio", finished, || finished.server.memory().map(|memory| memory.rss_kib));
    }
    vec![sheet]
}

/// Enters a burst, once its time after has come.
fn enter<S>(
    stage: &Stage<'_>,
    sheet: &mut Sheet,
    transport: &str,
    finished: &Finished<S>,
    rss_kib: impl FnOnce() -> io::Result<i64>,
) {
    thread::sleep((finished.ended + AFTER).saturating_duration_since(Instant::now()));
    let Some(after) = stage.attempt(finished.peer, "after the burst", rss_kib) else { return };
    let rows = [
        ("before", finished.before),
        ("peak", finished.peak),
        ("right after", finished.right_after),
        ("5 s after", mib(after)),
        ("seconds that it took", finished.took),
        ("refused (503), bodies", finished.refused as f64),
    ];
    for (label, figure) in rows {
        let is_refusal = label.starts_with("refused");
        if !is_refusal || transport == "HTTP" {
            sheet.put(&format!("{transport}: {label}"), finished.peer, Cell::Spread(Spread::one(figure)));
        }
    }
}

fn at_once(stage: &Stage<'_>, mut site: Site) -> io::Result<Finished<Site>> {
    let _warm = site.ask_each(&Call::ListTools, Era::Modern, 0, 1)?;
    // The filesystem tools have none that takes much and does little: blanks behind a list are read all the same.
    let (call, blanks) = match site.peer.tools() {
        Tools::Files => (Call::ListTools, BODY_BYTES),
        Tools::Echo | Tools::Static => (Call::Length(BODY_BYTES), 0),
    };
    let mut callers = site.callers(&call, Era::Modern, stage.extent.burst_connections)?;
    if blanks > 0 {
        let body = call.body(Era::Modern) + &" ".repeat(blanks);
        let request: Arc<[u8]> = call.modern_with(&body).into();
        for caller in &mut callers {
            caller.request = Arc::clone(&request);
        }
    }
    thread::sleep(stage.extent.settle);
    let before = site.server.memory()?.rss_kib;
    let expected = site.expected(&call);
    let (figures, sockets) =
        http_load::run(&site.server, callers, &expected, Pace::Once, stage.extent.client_threads)?;
    let (peak, right_after) = (site.server.peak_rss_kib()?, site.server.memory()?.rss_kib);
    drop(sockets);
    Ok(Finished {
        peer: site.peer,
        server: site,
        before: mib(before),
        peak: mib(peak),
        right_after: mib(right_after),
        took: figures.elapsed.as_secs_f64(),
        refused: figures.tally.refused,
        ended: Instant::now(),
    })
}

fn in_turn(stage: &Stage<'_>, peer: Peer) -> io::Result<Finished<StdioServer>> {
    let mut server = StdioServer::greet(&mut stage.peers.stdio(peer)?)?;
    server.ask(&Call::ListTools.body(Era::Legacy))?;
    thread::sleep(stage.extent.settle);
    let before = server.memory()?.rss_kib;
    let line = large_line(peer);
    let begun = Instant::now();
    for _ in 0..stage.extent.burst_frames {
        let answer = server.ask(&line)?;
        if memchr::memmem::find(&answer, br#""content""#).is_none() {
            let text = String::from_utf8_lossy(&answer[..answer.len().min(600)]).into_owned();
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a wrong answer: {text}")));
        }
    }
    let (took, peak) = (begun.elapsed().as_secs_f64(), server.peak_rss_kib()?);
    let right_after = server.memory()?.rss_kib;
    let (before, peak, right_after) = (mib(before), mib(peak), mib(right_after));
    Ok(Finished { peer, server, before, peak, right_after, took, refused: 0, ended: Instant::now() })
}

/// A call of a mebibyte, half plain and half with escapes, so that all that could grow does.
fn large_line(peer: Peer) -> String {
    let (tool, name) = match peer.tools() {
        Tools::Files => ("list_allowed_directories", "unused"),
        Tools::Echo | Tools::Static => ("length", "text"),
    };
    let part = "plain text, then an escape: \\n";
    let argument = part.repeat(BODY_BYTES / part.len());
    format!(
        r#"{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"{name}":"{argument}"}}}}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_line_is_one_call_of_a_mebibyte() {
        for peer in [Peer::Mcpool, Peer::Python] {
            let line = large_line(peer);
            assert!(line.len() > BODY_BYTES - 100 && !line.contains('\n'));
            let call: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let arguments = call["params"]["arguments"].as_object().expect("arguments");
            assert!(arguments.values().all(|text| text.as_str().is_some_and(|text| text.contains('\n'))));
        }
    }
}
