//! The command `mcpool call`: calls one tool and prints its answer.

use super::error::{CliError, TOOL_FAILED};
use super::nearest::did_you_mean;
use super::peer::{self, Interrupt};
use super::{arguments, media, render};
use crate::client::{Answer, CallEvent, CallResult, Client, Progress, Tool};
use crate::limits::units;
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Columns that a report of progress may take.
const PROGRESS_WIDTH: usize = 78;
/// The most tools that are named where the one that is asked for is not there.
const MAX_NAMES: usize = 40;
/// Columns of such a name.
const MAX_NAME: usize = 64;

/// Calls the tool.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let peer = peer::peer(matches, "dir")?;
    let answer = peer.ask(matches, async |client, interrupt| call_tool(client, matches, interrupt).await)?;
    if let Some(path) = matches.get_one::<PathBuf>("output") {
        return save(&answer, path);
    }
    show(&answer, matches.get_flag("raw"))
}

async fn call_tool(
    client: &Client,
    matches: &ArgMatches,
    interrupt: &mut Interrupt,
) -> Result<Answer, CliError> {
    let name = matches.get_one::<String>("tool").map(String::as_str).unwrap_or_default();
    let tools = interrupt.unless(client.list_entries()).await?.tools;
    let Some(tool) = tools.iter().find(|tool| tool.name == name) else {
        return Err(CliError::Usage(no_such_tool(name, &tools)));
    };
    let values = if let Some(object) = matches.get_one::<String>("json") {
        arguments::from_object(object)
    } else {
        let words: Vec<String> = matches.get_many("arguments").into_iter().flatten().cloned().collect();
        arguments::from_words(tool, &words)
    };
    let mut call = client.start_call(name, values.map_err(CliError::Usage)?).await?;
    let mut status = StatusLine::new();
    loop {
        let event = match interrupt.unless(call.next()).await {
            Err(CliError::Interrupted) => {
                call.cancel("interrupted by the user").await;
                return Err(CliError::Interrupted);
            }
            event => event?,
        };
        match event {
            CallEvent::Progress(progress) => status.show(&progress),
            CallEvent::Answer(answer) => return Ok(answer),
        }
    }
}

fn no_such_tool(name: &str, tools: &[Tool]) -> String {
    let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    let suggestion = did_you_mean(name, names.iter().copied());
    let more = names.len().saturating_sub(MAX_NAMES);
    let shown: Vec<_> =
        names[..names.len() - more].iter().map(|name| render::one_line(name, MAX_NAME)).collect();
    let mut list = shown.join(", ");
    match more {
        0 if names.is_empty() => list.push_str("none"),
        0 => {}
        more => list.extend([", and ", &more.to_string(), " more (`mcpool tools` lists them)"]),
    }
    format!("the server has no tool {name:?}{suggestion}\nTools: {list}")
}

/// Writes the answer to files, and says what is in which. If the tool failed, nothing is written.
fn save(answer: &Answer, path: &Path) -> Result<ExitCode, CliError> {
    let result = answer.decode()?;
    if result.is_error {
        return show(answer, false);
    }
    let files = media::files(&result, path).map_err(CliError::Usage)?;
    let mut out = io::stderr().lock();
    for file in files {
        std::fs::write(&file.path, &file.bytes)
            .map_err(|error| CliError::Usage(format!("cannot write {}: {error}", file.path.display())))?;
        let size = units::bytes(file.bytes.len() as u64);
        writeln!(out, "{}: {}, {size}", file.path.display(), visible::line(&file.kind))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the answer. If the tool failed, it goes to stderr, so that a pipe gets results only.
fn show(answer: &Answer, raw: bool) -> Result<ExitCode, CliError> {
    let result = answer.decode()?;
    let code = if result.is_error { ExitCode::from(TOOL_FAILED) } else { ExitCode::SUCCESS };
    let stdout = io::stdout();
    if raw {
        let is_terminal = stdout.is_terminal();
        let mut out = BufWriter::new(stdout.lock());
        if is_terminal {
            writeln!(out, "{}", visible::json(answer.raw()))?;
        } else {
            writeln!(out, "{}", answer.raw())?;
        }
        out.flush()?;
    } else if result.is_error {
        let stderr = io::stderr();
        let is_terminal = stderr.is_terminal();
        write(&mut stderr.lock(), is_terminal, &result, true)?;
    } else {
        let is_terminal = stdout.is_terminal();
        let mut out = BufWriter::new(stdout.lock());
        write(&mut out, is_terminal, &result, is_terminal)?;
        out.flush()?;
    }
    Ok(code)
}

/// Writes what a tool answered; a terminal is not steered by it.
fn write(out: &mut impl Write, is_terminal: bool, result: &CallResult, ends_line: bool) -> io::Result<()> {
    if !is_terminal {
        return render::write_result(out, result, ends_line);
    }
    let mut text = Vec::new();
    render::write_result(&mut text, result, ends_line)?;
    out.write_all(visible::prose(&String::from_utf8_lossy(&text)).as_bytes())
}

/// Shows progress on stderr if that is a terminal, and clears it when the call is over.
struct StatusLine {
    visible: bool,
    written: bool,
}

impl StatusLine {
    const CLEAR: &'static str = "\r\x1b[K";

    fn new() -> Self {
        // A terminal that only writes lines cannot clear one.
        let is_plain = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        Self { visible: io::stderr().is_terminal() && !is_plain, written: false }
    }

    fn show(&mut self, progress: &Progress) {
        if self.visible {
            let line = render::progress_line(progress, PROGRESS_WIDTH);
            let _ = write!(io::stderr(), "{}{line}", Self::CLEAR);
            self.written = true;
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.written {
            let _ = write!(io::stderr(), "{}", Self::CLEAR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientError;
    use crate::visible::{HOSTILE, is_harmless};
    use serde_json::json;

    #[test]
    fn what_a_server_says_is_on_one_line_and_has_a_bound() {
        let hostile = HOSTILE.concat();
        let named = |n: usize| json!({"name": format!("{hostile}{n}"), "inputSchema": {}}).to_string();
        let tools: Vec<Tool> = (0..1_000).map(|n| serde_json::from_str(&named(n)).expect("a tool")).collect();
        let text = no_such_tool("x", &tools);
        assert!(is_harmless(&text) && text.lines().count() == 2, "{text:?}");
        assert!(text.ends_with(", and 960 more (`mcpool tools` lists them)"), "{text:?}");
        assert!(no_such_tool("x", &[]).ends_with("\nTools: none"));
        let refused =
            ClientError::Protocol { method: "tools/list".to_owned(), code: 1, message: hostile, data: None };
        let text = refused.to_string();
        assert!(is_harmless(&text) && !text.contains('\n'), "{text:?}");
    }
}
