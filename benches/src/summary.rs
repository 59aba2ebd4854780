//! The one table in front: what users ask first, picked from the sheets, a column for each peer.
//!
//! Owns the choice and the words; figures are those of the sheets, unchanged. What was not measured has no row.

use crate::sheet::Sheet;

/// Rows of the summary: how it is put, the sheet, the row, and another row whose cells fill what the first lacks,
/// because servers with files have no `echo`.
const PICKS: [(&str, &str, &str, Option<&str>); 18] = [
    ("spawn to first answer, ms", "start", "spawn to first answer", None),
    ("idle over stdio: RSS, MiB", "idle", "stdio: RSS", None),
    ("idle over stdio: PSS, MiB", "idle", "stdio: PSS", None),
    ("idle over HTTP: RSS, MiB", "idle", "HTTP: RSS", None),
    ("a connection that idles, 1,000 of them, bytes of RSS", "sessions", "1000 in 2026-07-28: RSS", None),
    ("the same with a session, bytes of RSS", "sessions", "1000 in 2025-11-25: RSS", None),
    ("stdio, one in flight: ping, p50 / p99 / p99.9 us", "stdio-latency", "ping, 1 in flight", None),
    ("stdio, 64 in flight: pings a second", "stdio", "ping, 64 in flight", None),
    (
        "stdio, 64 in flight: echo 100 B or read 1 KiB, a second",
        "stdio",
        "echo 100 B, 64 in flight",
        Some("read_text_file 1 KiB, 64 in flight"),
    ),
    (
        "stdio, one in flight: echo or read 1 MiB, a second",
        "stdio",
        "echo 1 MiB, 1 in flight",
        Some("read_text_file 1 MiB, 1 in flight"),
    ),
    (
        "HTTP, 16 connections: echo 100 B or read 1 KiB, a second",
        "http",
        "echo 100 B, 2026-07-28, 16 connections",
        Some("read_text_file 1 KiB, 2026-07-28, 16 connections"),
    ),
    (
        "HTTP, 256 connections: the same",
        "http",
        "echo 100 B, 2026-07-28, 256 connections",
        Some("read_text_file 1 KiB, 2026-07-28, 256 connections"),
    ),
    (
        "HTTP, 256 connections in sessions: the same",
        "http",
        "echo 100 B, 2025-11-25, 256 connections",
        Some("read_text_file 1 KiB, 2025-11-25, 256 connections"),
    ),
    (
        "HTTP, 256 connections: CPU s of the server for a million",
        "http-cpu",
        "echo 100 B, 2026-07-28, 256 connections",
        Some("read_text_file 1 KiB, 2026-07-28, 256 connections"),
    ),
    (
        "HTTP at half of its speed: p50 / p99 / p99.9 us",
        "open-latency",
        "HTTP: echo 100 B, half of its speed",
        Some("HTTP: read_text_file 1 KiB, half of its speed"),
    ),
    ("burst of bodies of 1 MiB over HTTP: peak RSS, MiB", "burst", "HTTP: peak", None),
    ("RSS 5 s after it, MiB", "burst", "HTTP: 5 s after", None),
    ("RSS 5 s after a burst of lines of 1 MiB over stdio, MiB", "burst", "stdio: 5 s after", None),
];

/// The summary of what was measured.
pub fn of(sheets: &[Sheet]) -> Sheet {
    let mut summary =
        Sheet::new("summary", "In short", "", "What is counted a second is better high, all else low.");
    for (title, id, label, other) in PICKS {
        let Some(sheet) = sheets.iter().find(|sheet| sheet.id == id) else { continue };
        for label in other.into_iter().chain([label]) {
            for (peer, cell) in sheet.row(label).into_iter().flat_map(|row| &row.cells) {
                summary.put(title, *peer, *cell);
            }
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::Peer;

    #[test]
    fn rows_are_picked_and_filled() {
        let mut stdio = Sheet::new("stdio", "", "", "");
        stdio.put_rounds("echo 100 B, 64 in flight", Peer::Rmcp, &[1.0]);
        stdio.put_rounds("read_text_file 1 KiB, 64 in flight", Peer::Mcpool, &[2.0]);
        stdio.put_rounds("something else", Peer::Python, &[3.0]);
        let summary = of(&[stdio]);
        assert_eq!(summary.rows.len(), 1);
        assert_eq!(summary.columns(), [Peer::Mcpool, Peer::Rmcp]);
        assert!(of(&[]).rows.is_empty());
    }
}
