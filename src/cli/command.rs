//! The command line: commands, flags and help texts. The flags of limits and settings come from their lists.

use super::clients::flags as clients;
use super::config::{Flags, Group, Setting, Shape};
use super::{missing, terminal};
use crate::limits::{LimitOption, Unit};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

const AFTER: &str = "\
Try it:
  mcpool tools .                             list the tools for the files of this directory
  mcpool call list_directory path=.          call one of them
  mcpool call read_text_file path=notes.txt head=10

Put it into an MCP client (`mcpool clients` lists those that are here):
  mcpool install claude-code ~/projects
Logs go to stderr; RUST_LOG=debug shows more of them.";

const TOP_AFTER: &str = "\
Keys: 1 to 6, Tab, left and right choose a pane; s sorts by the next column, i
turns the order around; / filters by a text; up and down scroll; p pauses; r has
the server give idle memory back; w writes the report that is shown to a file;
q leaves. No colours where NO_COLOR is set.";

const SERVE_AFTER: &str = "\
Every setting can also be made in the environment (MCPOOL_MAX_FRAME_BYTES=16MiB,
MCPOOL_HTTP=127.0.0.1:8000) or in a TOML file (max_frame_bytes = \"16MiB\",
http = [\"127.0.0.1:8000\"]): the file of --config, else of MCPOOL_CONFIG, else
$XDG_CONFIG_HOME/mcpool/mcpool.toml. `mcpool config --init` writes one. Flags
override environment, file and defaults; a list replaces the whole list of a
weaker source. `mcpool config` shows the result. Sizes are written 10MiB, 64KiB
or as plain bytes.

One server for all clients of this machine:
  mcpool serve --unix $XDG_RUNTIME_DIR/mcpool.sock ~/projects
Clients that can only start a command then start:
  mcpool connect unix:$XDG_RUNTIME_DIR/mcpool.sock";

const CALL_AFTER: &str = "\
Values are read as the tool's schema says: head=10 is a number, dryRun=true a
boolean, edits='[...]' JSON, paths=a paths=b a list. key=@FILE takes the value
from a file; key=@@x is the text \"@x\".

  mcpool call read_text_file path=README.md head=5
  mcpool call write_file path=copy.txt content=@README.md
  mcpool call read_media_file path=picture.png --output picture.png
  mcpool call list_directory path=. --server http://127.0.0.1:8000/mcp
  mcpool call echo message=hello \\
    --server 'npx -y @modelcontextprotocol/server-everything'

Exit code: 0 the tool answered, 1 the tool failed, 2 wrong usage, 3 the server
failed.";

const LINT_AFTER: &str = "\
  mcpool lint -- npx -y @modelcontextprotocol/server-everything
  mcpool lint http://127.0.0.1:8000/mcp --name files
  mcpool lint --tools all .

A rule names who refuses, and a public thread where that was seen.

Exit codes: 0 nobody refuses anything, 1 somebody does, 2 wrong usage, 3 the
server failed.";

const CAPACITY_AFTER: &str = "\
  mcpool capacity --clients 500 --mix agent --budget 64MiB

A mix is what one client does on average, in a TOML file: connections, sessions,
streams, waiting (small requests being served at a moment), reads, read_bytes,
writes, write_bytes. It takes all settings of `mcpool serve`, too.

Exit codes: 0 the clients fit, 1 they do not, 2 wrong usage.";

const PLAN_AFTER: &str = "\
  mcpool plan --sessions 500 --reads 20x1MiB --writes 5x4MiB --limit 128MiB
  mcpool plan --config mcpool.toml        the most that these settings allow

It takes all settings of `mcpool serve` (flags, environment, file). Figures are
bounds: each term has a number, a price and where they come from.

Exit codes: 0 it fits, 1 it does not, 2 wrong usage.";

/// The flags of a command.
type AddFlags = fn(Command) -> Command;

/// The commands.
const COMMANDS: [(&str, &str, AddFlags); 19] = [
    (
        "serve",
        "Serve the files of directories to MCP clients, over stdin and stdout, HTTP or a Unix socket",
        serve,
    ),
    (
        "connect",
        "Connect stdin and stdout to a running server, for clients that can only start a command",
        connect,
    ),
    ("tools", "List the tools of a server", tools),
    ("call", "Call one tool of a server and print its answer", call),
    ("lint", "Tell which clients and models would refuse which tool of a server, and why", lint),
    ("ps", "List the servers of this user that run, by what they serve", |ps| {
        ps.arg(switch("json", "Print the list as JSON"))
    }),
    ("report", "Show where every byte of a running server is, and how its pools should be sized", report),
    ("doctor", "Show what is wrong with the memory of a running server, worst first, and what to do", doctor),
    ("top", "Watch a running server: rates, latencies, clients, pools and memory", top),
    ("tune", "Find settings that save memory or processor time, at stated prices, from reports", tune),
    ("capacity", "Tell how many clients a budget of memory is enough for, and what bounds them", capacity),
    (
        "plan",
        "Add up how much memory a load takes at most under these settings, and whether that fits the limit",
        plan,
    ),
    (
        "load",
        "Load a server, ours or any other, and show how fast it answers, how it fails and what it costs",
        super::load::flags,
    ),
    ("config", "Show the settings in force and where each comes from, as a TOML file", config),
    ("completions", "Write what completes command lines of mcpool in a shell", completions),
    ("man", "Write the manual page of mcpool or of one of its commands", man),
    ("install", "Put mcpool into the configuration of an MCP client", install),
    ("uninstall", "Take mcpool out of the configuration of an MCP client", clients::uninstall),
    ("clients", "List the MCP clients of this machine, and which have mcpool", clients::clients),
];

/// The whole command line. The flags of a command are made when it is the one that is asked for: those of all of them
/// took pages that a server would keep.
pub(super) fn command() -> Command {
    Command::new("mcpool")
        .term_width(terminal::help_width())
        .disable_version_flag(true)
        .arg(
            switch("version", "Print the version; with --verbose the commit, target, features and revisions")
                .short('V'),
        )
        .arg(switch("verbose", "Say more of the version").requires("version"))
        .about(
            "A Model Context Protocol server for your files, whose memory is bounded, measured and tunable.",
        )
        .after_help(AFTER)
        .arg_required_else_help(true)
        .subcommands(COMMANDS.map(|(name, about, flags)| Command::new(name).about(about).defer(flags)))
}

fn serve(serve: Command) -> Command {
    serve
        .after_long_help(SERVE_AFTER)
        .arg(dirs("Directories that tools may work in; nothing outside them can be reached"))
        .args(settings())
}

fn connect(connect: Command) -> Command {
    connect
        .after_help(
            "Put it into an MCP client: command \"mcpool\", arguments [\"connect\", \"unix:/path/to/mcpool.sock\"].\n\
             When the server restarts, the shim reconnects and opens the session again.",
        )
        .arg(
            Arg::new("target")
                .value_name("unix:PATH|URL")
                .required(true)
                .help("Where the server is: unix:/run/user/1000/mcpool.sock or http://127.0.0.1:8000/mcp"),
        )
        .args(credentials())
        .arg(
            Arg::new("wait")
                .long("wait")
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(..=86_400))
                .help("How long a server is waited for that was never there [default: 10]"),
        )
}

/// What is shown to a server over HTTP, and what it has to show.
fn credentials() -> [Arg; 3] {
    [
        Arg::new("header")
            .long("header")
            .value_name("NAME: VALUE")
            .action(ArgAction::Append)
            .help("Send this header with each request over HTTP; may be repeated"),
        path_arg("token_file")
            .long("token-file")
            .value_name("FILE")
            .help("Send the first bearer token of this file with each request over HTTP"),
        path_arg("ca_file").long("ca-file").value_name("FILE").help(
            "PEM file of the authorities that an https:// server is certified by [default: public ones]",
        ),
    ]
}

fn report(report: Command) -> Command {
    report
        .arg(Arg::new("source").value_name("unix:PATH|ADDR:PORT|FILE").help(
            "Admin socket of a server (serve --admin), or a saved report [default: the server that is running]",
        ))
        .arg(switch("json", "Print the report as JSON"))
        .arg(switch("markdown", "Print the report as Markdown").conflicts_with("json"))
        .arg(
            switch("explain", "Say below the report what each of its words and figures means")
                .conflicts_with_all(["json", "markdown", "html", "reclaim", "at", "black_box", "schema", "black_box_schema"]),
        )
        .arg(
            path_arg("html")
                .long("html")
                .value_name("FILE")
                .conflicts_with_all(["json", "markdown"])
                .help("Write the report with its charts to this file: one page that any browser shows"),
        )
        .arg(
            switch("reclaim", "Have the server give its idle memory back, and show what it gave")
                .conflicts_with_all(["markdown", "html", "schema"]),
        )
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("TIME")
                .allow_hyphen_values(true)
                .conflicts_with_all(["markdown", "html", "reclaim", "schema"])
                .help(
                    "Show a second of the last hour beside the one a minute before: 14:03:20, 2026-11-29T14:03:20Z, or \
                     -5m; of a server, or of a file in its black_box_dir",
                ),
        )
        .arg(
            switch("black_box", "Have the server write the last hour to a file in its black_box_dir")
                .long("black-box")
                .conflicts_with_all(["markdown", "html", "reclaim", "schema", "at"]),
        )
        .arg(
            switch("schema", "Print the JSON Schema of reports")
                .conflicts_with_all(["source", "json", "markdown", "html"]),
        )
        .arg(
            switch("black_box_schema", "Print the JSON Schema of the files of the black box")
                .long("black-box-schema")
                .conflicts_with_all(["source", "json", "markdown", "html", "reclaim", "schema", "at", "black_box"]),
        )
        .args_conflicts_with_subcommands(true)
        .subcommand(report_diff())
        .subcommand(report_changes())
}

fn report_changes() -> Command {
    Command::new("changes")
        .about("Show when memory and latencies changed in records of `serve --record`, told from noise")
        .after_help("Exit codes: 0 nothing got worse, 1 something did, 2 there is no record.")
        .arg(
            Arg::new("records")
                .value_name("RECORD")
                .required(true)
                .num_args(1..)
                .help("Records, in any order"),
        )
        .arg(amount("magnitude", "The least change that counts, in percent [default: 5]"))
        .arg(switch("json", "Print the changes as JSON"))
}

fn report_diff() -> Command {
    let source =
        |name: &'static str, value_name: &'static str| Arg::new(name).value_name(value_name).required(true);
    Command::new("diff")
        .about("Show what grew between two reports: in all, for each connection and request, and by whom")
        .after_help("Exit codes: 0 nothing grew beyond the tolerance, 1 something did, 2 there is no report.")
        .arg(source("before", "BEFORE").help("The earlier report: a file, or the admin socket of a server"))
        .arg(source("after", "AFTER").help("The later one"))
        .arg(amount("tolerance", "What a figure may grow by, in percent [default: 10]"))
        .arg(switch("json", "Print the difference as JSON"))
}

fn doctor(doctor: Command) -> Command {
    doctor
        .arg(Arg::new("source").value_name("unix:PATH|ADDR:PORT|FILE").help(
            "Admin socket of a server (serve --admin), or a saved report [default: the server that is running]",
        ))
        .arg(
            Arg::new("since")
                .long("since")
                .value_name("DURATION")
                .help("Check what the black box recorded instead, with the times when: 1h, 30m, 90s; source may be its file"),
        )
        .arg(switch("json", "Print the findings as JSON"))
        .after_help("Exit codes: 0 nothing worse than hints, 1 something needs attention, 2 there is no report.")
}

fn top(top: Command) -> Command {
    top.after_help(TOP_AFTER)
        .arg(
            Arg::new("source")
                .value_name("unix:PATH|ADDR:PORT")
                .help("Admin socket of a server (serve --admin) [default: the server that is running]"),
        )
        .arg(
            Arg::new("interval")
                .long("interval-ms")
                .value_name("MS")
                .value_parser(value_parser!(u64).range(100..=60_000))
                .default_value("1000")
                .help("Time between two looks"),
        )
        .arg(
            Arg::new("pane")
                .long("pane")
                .value_name("NAME")
                .value_parser(["overview", "clients", "pools", "ledger", "tools", "alerts"])
                .hide_possible_values(true)
                .help("Begin with overview, clients, pools, ledger, tools or alerts [default: overview]"),
        )
        .arg(switch("once", "Print one screen as text and leave; so where stdout is no terminal"))
        .arg(switch("json", "Print one look as JSON: the rates and the report"))
}

fn tune(tune: Command) -> Command {
    tune.after_help(
        "mcpool serve --record week.jsonl ...            write a report each minute\n\
             mcpool tune week.jsonl --budget 16MiB --write mcpool.toml\n\
             mcpool serve --config mcpool.toml ...",
    )
    .arg(Arg::new("reports").value_name("REPORT").num_args(0..).help(
        "Saved reports, records of `serve --record`, or admin sockets [default: the server that is running]",
    ))
    .arg(
        Arg::new("budget")
            .long("budget")
            .value_name("SIZE")
            .help("Idle bytes that all pools may keep together [default: advised, too]"),
    )
    .arg(
        Arg::new("target_hit")
            .long("target-hit")
            .value_name("RATIO")
            .value_parser(ratio)
            .help("Share of acquires that pools should serve from idle objects, 0 to 1 [default: what pays]"),
    )
    .arg(amount("gib_price", "What a GiB of memory costs a month [default: 4]"))
    .arg(amount("cpu_price", "What a processor costs a month, in the same money [default: 20]"))
    .arg(amount("least_gain", "Leave out changes that gain less a month, in the same money [default: 0.01]"))
    .arg(amount("least_window", "Seconds that the reports must cover [default: 60]"))
    .arg(path_arg("write").long("write").value_name("FILE").help("Write the settings to this TOML file"))
    .arg(switch("json", "Print the changes as JSON"))
    .arg(
        switch(
            "apply",
            "Set the capacities of the running server, watch it, and set them back if it gets worse",
        )
        .conflicts_with("json"),
    )
    .arg(switch("undo", "Set back what --apply kept").conflicts_with_all(["apply", "json", "write"]))
    .arg(
        Arg::new("watch")
            .long("watch")
            .value_name("SECONDS")
            .value_parser(value_parser!(u64).range(1..=86_400))
            .help("How long --apply watches [default: 60]"),
    )
    .arg(
        path_arg("journal")
            .long("journal")
            .value_name("FILE")
            .help("Where --apply writes what it does, for --undo [default: mcpool-tune.jsonl]"),
    )
}

fn capacity(capacity: Command) -> Command {
    capacity
        .after_help(CAPACITY_AFTER)
        .arg(dirs("Directories that the server would work in"))
        .args([
            Arg::new("clients")
                .long("clients")
                .value_name("COUNT")
                .value_parser(value_parser!(u64).range(1..=1_000_000))
                .help("Clients that should fit [default: 100]"),
            Arg::new("mix")
                .long("mix")
                .value_name("NAME|FILE")
                .help("What each does: idle, editor, agent, or a TOML file [default: editor]"),
            Arg::new("budget")
                .long("budget")
                .value_name("SIZE")
                .help("Limit of memory [default: the setting memory_limit_bytes]"),
            Arg::new("report")
                .long("report")
                .value_name("unix:PATH|ADDR:PORT|FILE")
                .help("A server or a saved report, for the miss curve of its load"),
            switch("json", "Print the result as JSON"),
        ])
        .args(settings().into_iter().map(|setting| setting.hide(true)))
}

fn plan(plan: Command) -> Command {
    let count = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("COUNT")
            .value_parser(value_parser!(u64).range(..=1_000_000_000))
            .help(help)
    };
    let transfers = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("COUNTxSIZE").help(help)
    };
    plan.after_help(PLAN_AFTER)
        .arg(dirs("Directories that the server would work in"))
        .args([
            count("sessions", "Sessions of the legacy era that are open"),
            count(
                "connections",
                "Connections that are open [default: one for each session, stream and request]",
            ),
            count("streams", "Streams and subscriptions that are open"),
            count("resources", "Resources that each of them names"),
            count("waiting", "Small requests that wait for something"),
            transfers("reads", "Files that are read at once, as 20x1MiB"),
            transfers("writes", "Files that are written at once, as 5x4MiB"),
            Arg::new("limit")
                .long("limit")
                .value_name("SIZE")
                .help("Limit that it should fit [default: the setting memory_limit_bytes]"),
            switch("json", "Print the plan as JSON"),
        ])
        .args(settings().into_iter().map(|setting| setting.hide(true)))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn amount(name: &'static str, help: &'static str) -> Arg {
    let parser = |text: &str| match text.parse::<f64>() {
        Ok(amount) if amount.is_finite() && amount >= 0.0 => Ok(amount),
        _ => Err("write a number, 0 or more".to_owned()),
    };
    Arg::new(name).long(name.replace('_', "-")).value_name("NUMBER").value_parser(parser).help(help)
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|_| "write a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err("a ratio is 0 to 1".to_owned()) }
}

fn completions(completions: Command) -> Command {
    completions
        .after_help(
            "  mcpool completions bash > ~/.local/share/bash-completion/completions/mcpool\n  \
               mcpool completions zsh > \"${fpath[1]}/_mcpool\"\n  \
               mcpool completions fish > ~/.config/fish/completions/mcpool.fish",
        )
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("The shell"),
        )
}

fn man(man: Command) -> Command {
    man.after_help("  mcpool man serve | man -l -\n  mcpool man --dir ~/.local/share/man/man1")
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .help("The command whose page is written [default: that of mcpool]"),
        )
        .arg(
            path_arg("dir")
                .long("dir")
                .value_name("DIR")
                .conflicts_with("command")
                .help("Write all pages into this directory, as mcpool.1, mcpool-serve.1 and so on"),
        )
}

fn config(config: Command) -> Command {
    config
        .after_long_help(SERVE_AFTER)
        .arg(switch(
            "init",
            "Write a file to begin with, all of it in comments: that of --config, else the usual one",
        ))
        .arg(switch("force", "With --init, replace a file that is there").requires("init"))
        .args(settings())
}

/// The settings about tools and limits are flags of `install`, too; help shows what most need.
fn install(install: Command) -> Command {
    let shown = |arg: Arg| match arg.get_id().as_str() {
        "tools" => arg.help("Toolsets to serve, with commas between them, or all\n[default: filesystem]"),
        "read_only" => arg.hide_short_help(false),
        _ => arg.hide(true),
    };
    let served = Setting::ALL.iter().filter(|setting| clients::is_for_clients(setting)).map(setting);
    let limits = LimitOption::ALL.iter().map(limit);
    clients::install(install).args(served.chain(limits).map(shown)).arg(
        path_arg("config")
            .long("config")
            .value_name("FILE")
            .help("Have the server read settings from this TOML file"),
    )
}

fn tools(tools: Command) -> Command {
    tools
        .arg(
            dirs("Directories of the mcpool server that is asked [default: .], or where a server listens already: unix:PATH, URL")
                .conflicts_with("server"),
        )
        .arg(server())
        .args(credentials())
        .arg(toolsets())
        .arg(timeout())
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the whole list, schemas included, as JSON"),
        )
        .arg(switch("cost", "Print how many bytes each tool takes in the list, and about how many tokens"))
}

fn lint(lint: Command) -> Command {
    lint.after_help(LINT_AFTER)
        .arg(
            dirs("Directories of the mcpool server that is asked [default: .], or where a server listens already: unix:PATH, URL")
                .conflicts_with_all(["server", "command"]),
        )
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .last(true)
                .value_parser(ValueParser::os_string())
                .conflicts_with("server")
                .help("The command of the server that is asked, with its arguments"),
        )
        .arg(server())
        .args(credentials())
        .arg(toolsets())
        .arg(timeout())
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .help("Name of the server in its client, for what stands before names of tools [default: its program]"),
        )
        .arg(switch("rules", "Print the rules and their sources instead of asking a server"))
        .arg(switch("json", "Print the findings as JSON"))
}

fn call(call: Command) -> Command {
    call.after_help(CALL_AFTER)
        .arg(
            Arg::new("tool")
                .value_name("TOOL")
                .required(true)
                .help("Name of the tool, as `mcpool tools` lists it"),
        )
        .arg(
            Arg::new("arguments")
                .value_name("KEY=VALUE")
                .num_args(0..)
                .help("Arguments of the tool")
                .conflicts_with("json"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .visible_alias("args")
                .value_name("OBJECT")
                .help("All arguments as one JSON object, sent as it is (@FILE: from a file)"),
        )
        .arg(
            path_arg("dir")
                .long("dir")
                .value_name("DIR")
                .action(ArgAction::Append)
                .conflicts_with("server")
                .help(
                    "Directory of the mcpool server that is asked; may be repeated [default: .]. Or where a server \
                     listens already: unix:PATH, URL",
                ),
        )
        .arg(server())
        .args(credentials())
        .arg(
            path_arg("output").long("output").short('o').value_name("FILE").conflicts_with("raw").help(
                "Write the answer to this file; pictures, sounds and binary resources as they are, each further one \
                 to FILE-2 and so on",
            ),
        )
        .arg(toolsets())
        .arg(timeout())
        .arg(
            Arg::new("raw")
                .long("raw")
                .action(ArgAction::SetTrue)
                .help("Print the answer as the JSON that was sent"),
        )
}

fn dirs(help: &'static str) -> Arg {
    path_arg("dirs").value_name("DIR").num_args(0..).help(help)
}

fn path_arg(id: &'static str) -> Arg {
    Arg::new(id).value_parser(ValueParser::path_buf())
}

fn server() -> Arg {
    Arg::new("server")
        .long("server")
        .value_name("COMMAND")
        .help("Ask this MCP server instead: a command with its arguments, quoted as in a shell, or unix:PATH or URL")
}

fn toolsets() -> Arg {
    Arg::new("tools").long("tools").value_name("NAME").conflicts_with("server").help(
        "Toolsets of the mcpool server that is asked, with commas between them, or all [default: filesystem]",
    )
}

fn timeout() -> Arg {
    Arg::new("timeout_ms")
        .long("timeout-ms")
        .value_name("MS")
        .value_parser(value_parser!(u64).range(1..=86_400_000))
        .default_value("60000")
        .help("Give up when the server sends nothing for so long; reports of progress count")
}

/// The flags that make up the configuration.
fn settings() -> Vec<Arg> {
    let mut settings =
        vec![path_arg("config").long("config").value_name("FILE").help("Read settings from this TOML file")];
    settings.extend(Setting::ALL.iter().map(setting));
    settings.extend(LimitOption::ALL.iter().map(limit));
    settings
}

fn setting(setting: &'static Setting) -> Arg {
    let help = setting.help.trim_end_matches('.');
    let help = match missing::remark(setting.name) {
        Some(remark) => format!("{help}. {remark}"),
        None => help.to_owned(),
    };
    let arg = Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.value_name)
        .value_parser(ValueParser::os_string())
        .value_hint(hint(setting.value_name))
        .help(help);
    let arg = match setting.group {
        Group::Tools => arg,
        Group::Listening | Group::Watching => arg.help_heading(setting.group.heading()),
        Group::Admission => arg.help_heading(setting.group.heading()).hide_short_help(true),
        Group::Toolset(name) => arg.help_heading(format!("Toolset {name}")).hide_short_help(true),
    };
    // As the reference server's.
    let arg = if setting.name == "repository" { arg.short('r') } else { arg };
    match setting.shape {
        Shape::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Shape::One => arg,
        Shape::Many => arg.action(ArgAction::Append),
    }
}

/// What a shell completes a value with.
fn hint(value_name: &str) -> ValueHint {
    match value_name {
        "FILE" | "FILE|URL" => ValueHint::FilePath,
        "DIR" => ValueHint::DirPath,
        "PATH" => ValueHint::AnyPath,
        "COMMAND" => ValueHint::CommandString,
        "URL" => ValueHint::Url,
        _ => ValueHint::Other,
    }
}

fn limit(option: &'static LimitOption) -> Arg {
    let value_name = match option.unit {
        Unit::Bytes => "SIZE",
        Unit::Count => "COUNT",
        Unit::Millis => "MS",
        Unit::Percent => "PERCENT",
        Unit::Switch => "0|1",
    };
    let help = option.help.trim_end_matches('.');
    let default = match option.default {
        Some(default) => option.unit.show(default).to_string(),
        None => "derived".to_owned(),
    };
    Arg::new(option.name)
        .long(option.flag())
        .value_name(value_name)
        .help_heading(format!("Limits: {}", option.group))
        .hide_short_help(true)
        // The setting refuses a negative number with its range; without this, it would be an unknown flag.
        .allow_hyphen_values(true)
        .help(format!("{help} [default: {default}]"))
}

/// The values of the flags in [`settings`].
pub(super) struct Cli<'m>(pub(super) &'m ArgMatches);

impl Flags for Cli<'_> {
    fn limit(&self, option: &LimitOption) -> Option<String> {
        self.0.get_one::<String>(option.name).cloned()
    }

    fn setting(&self, setting: &Setting) -> Option<Vec<OsString>> {
        self.0.get_many::<OsString>(setting.name).map(|texts| texts.cloned().collect())
    }

    fn config(&self) -> Option<PathBuf> {
        self.0.get_one::<PathBuf>("config").cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_limit_is_a_flag() {
        for option in LimitOption::ALL {
            let line = ["mcpool", "serve", "a", "b", &format!("--{}", option.flag()), "-7"];
            let matches = command().try_get_matches_from(line).expect("parsed");
            let (_, serve) = matches.subcommand().expect("a subcommand");
            assert_eq!(Cli(serve).limit(option).as_deref(), Some("-7"));
            assert_eq!(serve.get_many::<PathBuf>("dirs").expect("directories").count(), 2);
        }
    }

    #[test]
    fn read_only_takes_no_directory_for_its_value() {
        for (line, want) in [
            (vec!["mcpool", "serve", "--read-only", "dir"], Some("true")),
            (vec!["mcpool", "serve", "--read-only=false", "dir"], Some("false")),
            (vec!["mcpool", "serve", "dir"], None),
        ] {
            let matches = command().try_get_matches_from(line).expect("parsed");
            let (_, serve) = matches.subcommand().expect("a subcommand");
            let read_only =
                Setting::ALL.iter().find(|setting| setting.name == "read_only").expect("a setting");
            assert_eq!(Cli(serve).setting(read_only), want.map(|text| vec![OsString::from(text)]));
            assert_eq!(serve.get_many::<PathBuf>("dirs").expect("directories").count(), 1);
        }
    }
}
