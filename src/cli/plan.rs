//! The command `mcpool plan`: how much memory a load takes at most under these settings, in terms that add up.
//!
//! It builds the server that `serve` would serve with, and measures its own process as the start of the sum.

use super::assemble;
use super::config::{Config, Settings};
use super::config_file;
use super::error::CliError;
use super::log::MAX_THREAD_BYTES;
use super::report::WHERE_WORDS_ARE;
use super::terminal;
use crate::limits::{LimitOption, Limits};
use crate::memory::{CeilingPlan, PlanBasis, PlannedLoad, ProcessFacts, Transfers};
use crate::report::write_plan;
use crate::server::Server;
use crate::traffic::{MAX_ACCESS_LOG_BYTES, MAX_RECORDER_BYTES};
use crate::transport::object_prices;
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 40;

/// Prints the plan. The exit code is 1 when it does not fit.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let Config { settings, mut limits, .. } = config_file::in_force(matches)?;
    set_limit(&mut limits, "--limit", matches.get_one::<String>("limit"))?;
    let dirs = config_file::directories(matches, &settings);
    let plan = plan(&dirs, &settings, limits, load(matches)?)?;
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &plan)?;
        writeln!(out)?;
    } else {
        write_plan(&plan, width, &mut out)?;
        writeln!(out, "\n{WHERE_WORDS_ARE}")?;
    }
    out.flush()?;
    Ok(if plan.fits { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Takes a limit of memory from a flag, if it is there.
pub(super) fn set_limit(limits: &mut Limits, flag: &str, text: Option<&String>) -> Result<(), CliError> {
    let Some(text) = text else { return Ok(()) };
    limits.memory_limit_bytes = match size(flag, text)? {
        0 => {
            let remedy = "write a size, or leave it out for the server's own";
            return Err(CliError::Usage(format!("{flag} is 0: {remedy}")));
        }
        bytes => bytes as usize,
    };
    Ok(())
}

/// What a plan for a server depends on besides the load; its process is this one.
pub(super) fn basis<'s>(server: &'s Server, settings: &Settings) -> PlanBasis<'s> {
    let (limits, ceiling) = (server.limits(), server.memory().ceiling());
    let text_copies = if settings.text_once { 1 } else { 2 };
    PlanBasis {
        limits,
        prices: object_prices(server, text_copies),
        process: ProcessFacts {
            recorder_bytes: settings.record_traffic.as_ref().map_or(0, |_| MAX_RECORDER_BYTES)
                + settings.access_log.as_ref().map_or(0, |_| MAX_ACCESS_LOG_BYTES)
                + if settings.http.is_empty() && settings.unix.is_empty() {
                    0
                } else {
                    MAX_THREAD_BYTES as u64
                },
            // Nothing else is kept beside the budgets.
            graph_bytes: if ceiling.kept_bytes == 0 { 0 } else { limits.max_graph_bytes() as u64 },
            ..ProcessFacts::of_process(limits.all_threads() as u64)
        },
        ceiling,
    }
}

fn plan(
    dirs: &[PathBuf],
    settings: &Settings,
    limits: Limits,
    load: Option<PlannedLoad>,
) -> Result<CeilingPlan, CliError> {
    let server = assemble::server(dirs, settings, limits)?;
    Ok(CeilingPlan::of(load, &basis(&server, settings)))
}

/// The load that the flags describe; `None` if no flag says anything of it.
fn load(matches: &ArgMatches) -> Result<Option<PlannedLoad>, CliError> {
    const NAMES: [&str; 7] =
        ["connections", "sessions", "streams", "resources", "waiting", "reads", "writes"];
    if !NAMES.iter().any(|name| matches.contains_id(name)) {
        return Ok(None);
    }
    let count = |name: &str| matches.get_one::<u64>(name).copied();
    let transfers = |name: &str| match matches.get_one::<String>(name) {
        Some(text) => parse_transfers(name, text),
        None => Ok(Transfers::default()),
    };
    let (sessions, streams, waiting) = ("sessions", "streams", "waiting");
    let [sessions, streams, waiting] =
        [sessions, streams, waiting].map(|name| count(name).unwrap_or_default());
    let (reads, writes) = (transfers("reads")?, transfers("writes")?);
    // A session has a connection for its requests, a stream has one of its own.
    let at_work = waiting.saturating_add(reads.count).saturating_add(writes.count);
    let connections = count("connections").unwrap_or(sessions.max(at_work).saturating_add(streams));
    let stream_resources = count("resources").unwrap_or_default();
    Ok(Some(PlannedLoad { connections, sessions, streams, stream_resources, waiting, reads, writes }))
}

/// Reads `20x1MiB`.
fn parse_transfers(name: &str, text: &str) -> Result<Transfers, CliError> {
    let usage = || CliError::Usage(format!("--{name} {text:?}: write COUNTxSIZE, as in 20x1MiB"));
    let (count, each) = text.split_once(['x', '*']).ok_or_else(usage)?;
    let count = count.trim().parse().map_err(|_| usage())?;
    let bytes = size(&format!("--{name}"), each)?;
    // A load of nothing fits everywhere: whoever writes one meant something else.
    match (count, bytes) {
        (0, _) => Err(CliError::Usage(format!(
            "--{name} {text:?}: the count is 0: write one at least, or leave --{name} out"
        ))),
        (_, 0) => Err(CliError::Usage(format!(
            "--{name} {text:?}: the size is 0: write a byte at least, as in {count}x1MiB"
        ))),
        _ => Ok(Transfers { count, bytes }),
    }
}

/// Reads a size as the settings do.
fn size(flag: &str, text: &str) -> Result<u64, CliError> {
    let option = LimitOption::named("memory_limit_bytes")
        .ok_or_else(|| CliError::Usage("no memory_limit_bytes".to_owned()))?;
    let bytes = option.parse(text).map_err(|error| {
        CliError::Usage(format!("{flag}: {}", error.to_string().trim_start_matches("memory_limit_bytes = ")))
    })?;
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::command;

    fn load_of(flags: &[&str]) -> Result<Option<PlannedLoad>, CliError> {
        let line = ["mcpool", "plan"].iter().chain(flags);
        let matches = command().try_get_matches_from(line).expect("parsed");
        let (_, plan) = matches.subcommand().expect("a subcommand");
        load(plan)
    }

    #[test]
    fn a_load_is_read_as_people_write_it() {
        assert_eq!(load_of(&[]).expect("read"), None);
        let load =
            load_of(&["--sessions", "500", "--reads", "20x1MiB", "--writes", "5x4MiB", "--streams", "3"]);
        let want = PlannedLoad {
            connections: 503,
            sessions: 500,
            streams: 3,
            stream_resources: 0,
            waiting: 0,
            reads: Transfers { count: 20, bytes: 1 << 20 },
            writes: Transfers { count: 5, bytes: 4 << 20 },
        };
        assert_eq!(load.expect("read"), Some(want));
        let reads = load_of(&["--reads", "20x1MiB", "--waiting", "3"]).expect("read").expect("a load");
        assert_eq!(reads.connections, 23, "one for each request");
        let set = load_of(&["--reads", "20x1MiB", "--connections", "2"]).expect("read").expect("a load");
        assert_eq!(set.connections, 2);
    }

    #[test]
    fn what_is_no_load_is_refused_with_an_example() {
        for (flags, want) in [
            (["--reads", "20"], "--reads \"20\": write COUNTxSIZE, as in 20x1MiB"),
            (["--writes", "axb"], "--writes \"axb\": write COUNTxSIZE, as in 20x1MiB"),
            (
                ["--reads", "0x1MiB"],
                "--reads \"0x1MiB\": the count is 0: write one at least, or leave --reads out",
            ),
            (["--writes", "5x0"], "--writes \"5x0\": the size is 0: write a byte at least, as in 5x1MiB"),
            (["--writes", "5x4MB"], "--writes: \"4MB\" is not a size: write 10MiB, 64KiB or plain bytes"),
        ] {
            assert_eq!(load_of(&flags).expect_err(want).to_string(), want);
        }
    }
}
