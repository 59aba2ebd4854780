//! The command `mcpool ps`: which servers of this user run, by what they serve.

use super::admin;
use super::error::CliError;
use super::find_servers;
use super::serving::Serving;
use super::terminal::{self, columns, padding};
use crate::limits::units;
use crate::visible;
use clap::ArgMatches;
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 40;
/// The least that the last column has.
const MIN_LAST: usize = 20;

/// A server that runs.
#[derive(Debug, Serialize)]
struct Running {
    pid: u32,
    version: String,
    uptime_ms: u64,
    rss_bytes: Option<u64>,
    requests: u64,
    /// Its admin socket.
    admin: String,
    serving: Serving,
}

/// Lists the servers.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let (mut servers, mut silent) = (Vec::new(), Vec::new());
    for target in find_servers::found() {
        match read(&target) {
            Ok(server) => servers.push(server),
            Err(error) => silent.push(error),
        }
    }
    servers.sort_by_key(|server| server.pid);
    for error in silent {
        tracing::warn!("{error}");
    }
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &servers)?;
        writeln!(out)?;
    } else {
        write_table(&servers, width, &mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn read(target: &str) -> Result<Running, CliError> {
    let report = admin::report(Some(target))?;
    Ok(Running {
        pid: report.server.pid,
        version: report.server.version,
        uptime_ms: report.uptime_ms,
        rss_bytes: report.usage.rss_bytes,
        requests: report.traffic.frames,
        admin: target.to_owned(),
        serving: admin::serving(target)?,
    })
}

fn write_table(servers: &[Running], width: usize, out: &mut impl Write) -> io::Result<()> {
    if servers.is_empty() {
        return writeln!(
            out,
            "No server of this user is found: those that are have an admin socket below\n$XDG_RUNTIME_DIR/mcpool."
        );
    }
    let row = |server: &Running| {
        [
            server.pid.to_string(),
            units::duration(server.uptime_ms),
            server.rss_bytes.map_or_else(|| "-".to_owned(), units::bytes),
            server.requests.to_string(),
        ]
    };
    let head = ["PID", "UP", "MEMORY", "MESSAGES"].map(str::to_owned);
    let rows: Vec<_> = servers.iter().map(row).collect();
    let widths: [usize; 4] = std::array::from_fn(|at| {
        rows.iter().chain([&head]).map(|row| columns(&row[at])).max().unwrap_or_default()
    });
    let indent = widths.iter().sum::<usize>() + 2 * widths.len();
    let mut write_row = |row: &[String; 4], text: &str| {
        for (cell, width) in row.iter().zip(widths) {
            write!(out, "{}{cell}  ", padding(cell, width))?;
        }
        for (number, line) in
            terminal::wrap(text, width.saturating_sub(indent).max(MIN_LAST)).iter().enumerate()
        {
            let before = if number == 0 { 0 } else { indent };
            writeln!(out, "{:before$}{line}", "")?;
        }
        Ok::<_, io::Error>(())
    };
    write_row(&head, "SERVES")?;
    for (row, server) in rows.iter().zip(servers) {
        write_row(row, &visible::line(&server.serving.show()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(pid: u32, directories: &[&str], addresses: &[&str]) -> Running {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Running {
            pid,
            version: "1".to_owned(),
            uptime_ms: 90_000,
            rss_bytes: Some(5 << 20),
            requests: 12,
            admin: "unix:/run/1.sock".to_owned(),
            serving: Serving {
                toolsets: owned(&["filesystem", "git"]),
                directories: owned(directories),
                addresses: owned(addresses),
                clients: "this machine".to_owned(),
            },
        }
    }

    #[test]
    fn servers_are_told_apart_by_what_they_serve_in_the_width_that_there_is() {
        let servers = [
            server(7, &["/home/me/projects"], &[]),
            server(12_345, &["/a", "/b"], &["http://127.0.0.1:8000/mcp", "unix:/run/user/1000/mcpool.sock"]),
        ];
        let mut out = Vec::new();
        write_table(&servers, 80, &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for want in [
            "filesystem, git in /home/me/projects, for the process that started it",
            "filesystem, git in /a, /b, on http://127.0.0.1:8000/mcp, unix:/run/user/1000/mcpool.sock, for this machine",
        ] {
            assert!(words.contains(want), "{want}: {text}");
        }
    }
}
