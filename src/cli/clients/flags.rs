//! The flags of `mcpool install`, `mcpool uninstall` and `mcpool clients`.

use crate::cli::config::{Group, Setting};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command};

const CLIENTS: &str =
    "claude-code, claude-desktop, cursor, vscode, codex, gemini,\nwindsurf, zed or opencode";

const INSTALL_AFTER: &str = "\
Try it:
  mcpool install claude-code ~/projects
  mcpool install codex --tools filesystem,git --read-only ~/projects
  mcpool install vscode --scope project    for this folder: .vscode/mcp.json
  mcpool install zed --shared              all clients on one running server

It takes the settings of `mcpool serve` that are about tools and limits, too,
and writes them into the entry; what `serve` would refuse is refused.

The rest of the client's file stays as it is, comments and order included. What
was there before is kept beside it, in NAME.mcpool-backup, and never overwritten
(the next ones are NAME.mcpool-backup.1 to .9). The entry starts this
program by its absolute path, as clients that are started from a desktop often
lack the PATH of a shell; --command mcpool writes the name alone.

Exit codes: 0 set up, or it was already; 2 refused, and nothing was changed.";

const UNINSTALL_AFTER: &str = "\
Where nothing but the entry was changed since it was put in, the file becomes
byte for byte what it was, and a file that was made for the entry goes, with the
folders that were made for it. An entry that --force overwrote comes back so,
too; else it is said which backup has it, and what you had put into this one.

Exit codes: 0 removed, or it was not there; 2 refused, and nothing was changed.";

/// Whether a setting of `serve` makes sense for a server that a client starts: where to listen and whom to admit do not.
pub(in crate::cli) fn is_for_clients(setting: &Setting) -> bool {
    matches!(setting.group, Group::Tools | Group::Toolset(_))
}

/// Adds the flags of `mcpool install`, apart from the settings of `serve`.
pub(in crate::cli) fn install(install: Command) -> Command {
    install
        .next_line_help(true)
        .after_help(INSTALL_AFTER)
        .arg(client().help(format!("{CLIENTS}\n[default: list those that are here]")))
        .arg(
            Arg::new("dirs")
                .value_name("DIR")
                .value_parser(ValueParser::path_buf())
                .num_args(0..)
                .help("Directories that tools may work in [default: the project, with\n--scope project; else those that the client has open]"),
        )
        .arg(scope())
        .arg(
            Arg::new("shared")
                .long("shared")
                .value_name("TARGET")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("")
                .help("Point at one running server instead of starting one: unix:PATH or\na URL [default: unix:$XDG_RUNTIME_DIR/mcpool.sock]"),
        )
        .arg(name())
        .arg(
            Arg::new("command")
                .long("command")
                .value_name("COMMAND")
                .help("What the entry starts, as `mcpool` or 'npx -y mcpool'\n[default: the absolute path of this program]"),
        )
        .arg(switch("force", "Overwrite an entry of another program that has the name"))
        .arg(dry_run())
        .arg(
            switch("print", "Print the entry as the client's file has it, and change nothing")
                .conflicts_with_all(["dry_run", "force"]),
        )
}

/// Adds the flags of `mcpool uninstall`.
pub(in crate::cli) fn uninstall(uninstall: Command) -> Command {
    uninstall
        .next_line_help(true)
        .after_help(UNINSTALL_AFTER)
        .arg(client().required(true).help(CLIENTS))
        .arg(scope())
        .arg(name())
        .arg(switch("force", "Remove the entry even if it is of another program"))
        .arg(dry_run())
}

/// Adds the flags of `mcpool clients`.
pub(in crate::cli) fn clients(clients: Command) -> Command {
    clients
        .arg(switch("json", "Print the list as JSON"))
        .after_help("The files of projects are those of the working directory.")
}

fn client() -> Arg {
    Arg::new("client").value_name("CLIENT")
}

fn scope() -> Arg {
    Arg::new("scope")
        .long("scope")
        .value_name("SCOPE")
        .value_parser(["user", "project"])
        .default_value("user")
        .hide_default_value(true)
        .hide_possible_values(true)
        .help("user: for you, in all projects; project: for all who open the\nworking directory [default: user]")
}

fn name() -> Arg {
    Arg::new("name")
        .long("name")
        .value_name("NAME")
        .default_value("mcpool")
        .hide_default_value(true)
        .help("Name of the entry [default: mcpool]")
}

fn dry_run() -> Arg {
    switch("dry_run", "Show as a diff what would change, and change nothing").long("dry-run")
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}
