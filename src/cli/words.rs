//! What the program says of its own command line: completions for shells, and manual pages.
//!
//! Both are made from the command line itself, so that they cannot lack an option.

use super::command;
use super::error::CliError;
use super::version;
use clap::{ArgMatches, Command};
use clap_complete::Shell;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Writes the completions of one shell to standard output.
pub(super) fn completions(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let shell = matches.get_one::<Shell>("shell").copied().unwrap_or(Shell::Bash);
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command::command(), "mcpool", &mut text);
    io::stdout().lock().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one manual page to standard output, or all of them into a directory.
pub(super) fn man(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    // The flags of a command are made when its page is asked for.
    let mut program = command::command();
    program.build();
    if let Some(dir) = matches.get_one::<PathBuf>("dir") {
        return write_pages(&program, dir);
    }
    let wanted = matches.get_many::<String>("command").into_iter().flatten();
    let (mut page, mut title) = (&program, "mcpool".to_owned());
    for name in wanted {
        page = page.find_subcommand(name).ok_or_else(|| {
            let names: Vec<_> = page.get_subcommands().map(Command::get_name).collect();
            CliError::Usage(format!("{title} has no command {name:?}; there are {}", names.join(", ")))
        })?;
        title = format!("{title}-{name}");
    }
    let mut out = BufWriter::new(io::stdout().lock());
    render(page, &title, &mut out)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of the program and those of its commands, as `NAME.1`.
fn write_pages(program: &Command, dir: &Path) -> Result<ExitCode, CliError> {
    std::fs::create_dir_all(dir)?;
    let mut pages = vec![(program, "mcpool".to_owned())];
    while let Some((command, title)) = pages.pop() {
        let mut page = Vec::new();
        render(command, &title, &mut page)?;
        std::fs::write(dir.join(format!("{title}.1")), page)?;
        let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
        pages.extend(commands.map(|command| (command, format!("{title}-{}", command.get_name()))));
    }
    Ok(ExitCode::SUCCESS)
}

fn render(command: &Command, title: &str, out: &mut impl Write) -> io::Result<()> {
    clap_mangen::Man::new(command.clone())
        .title(title.to_uppercase())
        .source(version::SHORT)
        .manual("mcpool")
        .render(out)
}
