//! Measures mcpool beside the official SDKs, the official filesystem server and nginx: same machine, same generator (that
//! of `mcpool load`), one run.
//!
//! ```sh
//! cargo run --release -p mcpool-benches --bin versus                       # everything, some twenty minutes
//! cargo run --release -p mcpool-benches --bin versus -- --quick            # a few minutes
//! cargo run --release -p mcpool-benches --bin versus -- start burst        # only these questions
//! cargo run --release -p mcpool-benches --bin versus -- --dist target/dist # the programs of `.ci/run release`
//! cargo run --release -p mcpool-benches --bin versus -- --markdown benches/RESULTS.md --html versus.html
//! ```
//!
//! Builds and installs the peers itself, below the target folder; one that cannot be had is left out with the
//! reason. Tables go to standard output, progress to standard error. Linux only: memory and CPU time are read from
//! `/proc`. Ends with 1 when mcpool itself failed at something.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use mcpool::load::{LoadTestReport, write_load_page};
use mcpool_benches::account::Account;
use mcpool_benches::machine;
use mcpool_benches::peers::Peers;
use mcpool_benches::server_process::raise_descriptors;
use mcpool_benches::supply::Supply;
use mcpool_benches::versus::{Extent, QUESTIONS, Stage};
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = command().get_matches();
    if cfg!(debug_assertions) {
        eprintln!(
            "versus: this is no release build, whose figures would mean nothing: cargo run --release …"
        );
        return ExitCode::from(2);
    }
    match measure(&matches) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("versus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("versus")
        .about("Measures mcpool beside other MCP servers")
        .arg(
            Arg::new("question").num_args(0..).value_parser(QUESTIONS).help("What to measure [default: all]"),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("A few minutes instead of an hour"),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("TEXT")
                .default_value("")
                .help("Only peers whose name contains this text"),
        )
        .arg(
            Arg::new("threads")
                .long("threads")
                .value_name("N")
                .default_value("2")
                .value_parser(value_parser!(usize))
                .help("Threads of each server over HTTP, where that can be chosen"),
        )
        .arg(
            Arg::new("dist")
                .long("dist")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("Measure the programs of a release, as `.ci/run release` leaves them in target/dist"),
        )
        .arg(file("json", "Write all figures there"))
        .arg(file("markdown", "Write the tables there, with machine and commands"))
        .arg(file("html", "Write the last round of each thing there, as a page of `mcpool load`"))
}

/// Whether mcpool itself failed at nothing.
fn measure(matches: &ArgMatches) -> Result<bool, Box<dyn Error>> {
    let is_quick = matches.get_flag("quick");
    let extent = if is_quick { Extent::quick() } else { Extent::full() };
    let threads: usize = matches.get_one("threads").copied().unwrap_or(2);
    let only = matches.get_one::<String>("only").map_or("", String::as_str);
    let chosen: Vec<&str> =
        matches.get_many::<String>("question").unwrap_or_default().map(String::as_str).collect();
    let needed = extent.sessions.iter().chain(&extent.connections).max().copied().unwrap_or_default() + 100;
    let allowed = raise_descriptors();
    if allowed < needed {
        return Err(format!("{needed} descriptors are needed and {allowed} allowed (ulimit -n)").into());
    }
    let dist = matches.get_one::<PathBuf>("dist").map(PathBuf::as_path);
    let supply = Supply::bring(only, dist, |text| eprintln!("{text}"))?;
    let (versions, missing) = (supply.versions(), supply.missing().map(|(peer, why)| (peer, why.to_owned())));
    let missing = missing.collect();
    // The load is that before anything was measured, and after all was built.
    let facts = machine::facts();
    let peers = Peers::new(supply, threads)?;
    let stage = Stage::new(&peers, &extent);
    let mut account = Account {
        command: own_command(is_quick, dist),
        is_quick,
        facts,
        versions,
        missing,
        failures: Vec::new(),
        terms: extent.terms(threads),
        sheets: Vec::new(),
    };
    for question in QUESTIONS.into_iter().filter(|question| chosen.is_empty() || chosen.contains(question)) {
        account.sheets.extend(stage.answer(question)?.into_iter().map(|sheet| (question, sheet)));
        account.failures = stage.failures();
        // After each question: what was measured in an hour is not lost with who stops the last minute.
        write(matches, &account, &stage.reports())?;
    }
    print!("{}", account.markdown());
    Ok(!account.failures.iter().any(|(peer, _)| peer.is_ours()))
}

fn own_command(is_quick: bool, dist: Option<&Path>) -> String {
    let mut command = String::from("cargo run --release -p mcpool-benches --bin versus");
    if is_quick || dist.is_some() {
        command.push_str(" --");
    }
    if is_quick {
        command.push_str(" --quick");
    }
    if dist.is_some() {
        command.push_str(" --dist target/dist");
    }
    command
}

fn write(matches: &ArgMatches, account: &Account, reports: &[LoadTestReport]) -> Result<(), Box<dyn Error>> {
    let path = |name: &str| matches.get_one::<PathBuf>(name);
    if let Some(path) = path("markdown") {
        std::fs::write(path, account.markdown())?;
    }
    if let Some(path) = path("json") {
        std::fs::write(path, serde_json::to_string_pretty(&account.json())?)?;
    }
    if let Some(path) = path("html") {
        write_load_page(reports, &mut BufWriter::new(File::create(path)?))?;
    }
    Ok(())
}
