//! The commands `mcpool install`, `mcpool uninstall` and `mcpool clients`: mcpool in the configuration of MCP clients.
//!
//! ```text
//! known locate        which clients there are, and where their files are
//! flags wanted        what is asked for, and the entry that it makes
//! change              what becomes of a file, as bytes
//! document            one entry in the content of a file
//! jsonc toml_text     the same in each format
//! entry servers       how an entry is written, and read
//! config_file         the file itself: read, backed up, replaced
//! made_folders        the folders that are made for it, and go with it
//! listing             the list of `mcpool clients`
//! fault error         what can be wrong
//! ```

mod change;
mod config_file;
mod document;
mod entry;
mod error;
mod fault;
pub(super) mod flags;
mod jsonc;
mod known;
mod listing;
mod locate;
mod made_folders;
pub(super) mod servers;
mod toml_text;
mod wanted;

pub(super) use error::ClientsError;

use super::error::CliError;
use crate::server::{CancellationToken, Cancelled};
use crate::tools::filesystem::TextDiff;
use crate::visible;
use change::{Before, Change, Refusal};
use clap::ArgMatches;
use config_file::{ConfigFile, FileError};
use document::{Document, Spot};
use entry::Reach;
use known::Client;
use locate::{Environment, Scope};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use wanted::Wanted;

/// How often a file is read again because another program wrote it meanwhile.
const TRIES: u32 = 20;
/// How much longer is waited before each of these.
const PAUSE: Duration = Duration::from_millis(5);

/// Bytes of the longest name: that of a tool, which clients put behind it, has as many.
const MAX_NAME_BYTES: usize = 64;
/// Names that mean something else to clients written in JavaScript.
const RESERVED: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// One file of one client, and what is asked of it.
struct Task<'m> {
    client: &'static Client,
    scope: Scope,
    name: &'m str,
    is_forced: bool,
    is_dry: bool,
    environment: &'m Environment,
}

impl<'m> Task<'m> {
    fn new(matches: &'m ArgMatches, name: &str, environment: &'m Environment) -> Result<Self, ClientsError> {
        let client = known::client(name).map_err(|suggestion| ClientsError::Unknown {
            name: name.to_owned(),
            suggestion,
            names: known::names().collect(),
        })?;
        let is_project = matches.get_one::<String>("scope").is_some_and(|scope| scope == "project");
        let name = matches.get_one::<String>("name").map_or("mcpool", String::as_str);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_right = (1..=MAX_NAME_BYTES).contains(&name.len()) && !RESERVED.contains(&name);
        if !is_right || !name.bytes().all(is_plain) {
            return Err(ClientsError::Name { name: name.to_owned() });
        }
        Ok(Self {
            client,
            scope: if is_project { Scope::Project } else { Scope::User },
            name,
            is_forced: matches.get_flag("force"),
            is_dry: matches.get_flag("dry_run"),
            environment,
        })
    }

    fn spot(&self) -> Spot<'m> {
        Spot { format: self.client.format, key: self.client.key, name: self.name }
    }

    /// Decides with `decide` what becomes of the file at `path`, and does it.
    fn change(
        &self,
        path: &Path,
        verb: &'static str,
        decide: impl Fn(Before<'_>) -> Result<Change, Refusal>,
    ) -> Result<Done, ClientsError> {
        for number in 1..TRIES {
            match self.try_change(path, verb, &decide) {
                Err(ClientsError::File(FileError::Changed { .. })) => std::thread::sleep(PAUSE * number),
                result => return result,
            }
        }
        self.try_change(path, verb, &decide)
    }

    fn try_change(
        &self,
        path: &Path,
        verb: &'static str,
        decide: impl Fn(Before<'_>) -> Result<Change, Refusal>,
    ) -> Result<Done, ClientsError> {
        let file = if self.is_dry { ConfigFile::open(path)? } else { ConfigFile::lock(path)? };
        let backups: Vec<_> = file.backups().iter().map(|backup| &*backup.bytes).collect();
        let change = decide(Before { file: file.bytes(), backups: &backups })
            .map_err(|refusal| self.refused(file.path(), refusal, verb))?;
        let mut applied = Applied::default();
        if change != Change::None {
            file.check_writable()?;
            if !self.is_dry {
                if file.lacks_folder() {
                    // There was no folder to lock.
                    file.make_folder()?;
                    return Err(FileError::Changed { path: file.path().to_owned() }.into());
                }
                applied = apply(&file, &change, self.scope == Scope::User)?;
            }
        }
        Ok(Done { file, change, applied })
    }

    fn refused(&self, path: &Path, refusal: Refusal, verb: &'static str) -> ClientsError {
        match refusal {
            Refusal::Fault(fault) => ClientsError::Broken { path: path.to_owned(), fault },
            Refusal::Foreign { reach } => ClientsError::Foreign {
                path: path.to_owned(),
                name: self.name.to_owned(),
                what: reach.map(|reach| format!(" ({})", reach.shown())).unwrap_or_default(),
                verb,
            },
        }
    }

    /// What a command ends with after its output was written, or not.
    fn told(&self, done: &Done, told: io::Result<()>) -> Result<ExitCode, CliError> {
        match told {
            Err(error) if !self.is_dry && done.change != Change::None => {
                Err(CliError::Output(io::Error::new(
                    error.kind(),
                    format!("{error} (but {} was changed as asked)", done.file.path().display()),
                )))
            }
            told => told.map(|()| ExitCode::SUCCESS).map_err(CliError::from),
        }
    }

    fn shown(&self, path: &Path) -> String {
        visible::lines(&self.environment.shown(path))
    }

    /// Writes the diff of a change that was not made.
    fn write_diff(&self, out: &mut impl Write, done: &Done) -> io::Result<()> {
        let old = String::from_utf8_lossy(done.file.bytes().unwrap_or_default());
        let new = match &done.change {
            Change::None => return writeln!(out, "unchanged: {}", self.shown(done.file.path())),
            Change::Write { bytes, .. } | Change::Restore(bytes) => String::from_utf8_lossy(bytes),
            Change::Remove => "".into(),
        };
        let path = done.file.path().display().to_string();
        let no_room_is_counted = |_| Ok::<_, Cancelled>(());
        let Ok(diff) =
            TextDiff::of(&path, &old, &new, &CancellationToken::new(Arc::default()), no_room_is_counted)
        else {
            return Ok(());
        };
        let mut text = String::new();
        diff.write(|piece| text.push_str(piece));
        // What a terminal is given cannot steer it; what a file is given can be applied.
        let text = if io::stdout().is_terminal() {
            visible::lines(&text.replace('\t', "    ").replace('\r', ""))
        } else {
            text
        };
        out.write_all(text.as_bytes())?;
        if done.change == Change::Remove {
            writeln!(out, "{} would be removed", self.shown(done.file.path()))?;
        }
        Ok(())
    }
}

/// A file as it was, and what became of it.
struct Done {
    file: ConfigFile,
    change: Change,
    applied: Applied,
}

/// What a change did besides.
#[derive(Debug, Default)]
struct Applied {
    /// The backup that was written for it.
    backup: Option<PathBuf>,
    /// The folders that had been made for the file, and went with it.
    folders: Vec<PathBuf>,
}

/// Does it.
fn apply(file: &ConfigFile, change: &Change, is_private: bool) -> Result<Applied, FileError> {
    if file.is_locked() {
        file.sweep();
    }
    match change {
        Change::None => {}
        Change::Write { bytes, backs_up, .. } => {
            let new = file.prepare(bytes, is_private)?;
            let backup = if *backs_up { file.back_up()? } else { None };
            if let Err(error) = new.commit() {
                // It is of a file that was not changed.
                backup.map(std::fs::remove_file);
                return Err(error);
            }
            return Ok(Applied { backup, ..Applied::default() });
        }
        Change::Restore(bytes) => {
            file.prepare(bytes, is_private)?.commit()?;
            file.remove_backup(bytes)?;
        }
        Change::Remove => return Ok(Applied { folders: file.remove()?, ..Applied::default() }),
    }
    Ok(Applied::default())
}

fn environment() -> Result<Environment, ClientsError> {
    Environment::of_process().map_err(ClientsError::WorkingDirectory)
}

/// Puts mcpool into a client; without one, lists those that are here.
pub(super) fn install(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let environment = environment()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let Some(name) = matches.get_one::<String>("client") else {
        write_found(&mut out, &environment)?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    let task = Task::new(matches, name, &environment)?;
    let Wanted { reach, notes } = wanted::wanted(matches, task.client, task.scope, &environment)?;
    let path = environment.file(task.client, task.scope).map_err(ClientsError::from)?;
    if matches.get_flag("print") {
        let fault = |fault| ClientsError::Broken { path: path.clone(), fault };
        let empty = Document::read(task.spot(), b"").map_err(fault)?;
        out.write_all(&empty.set(&reach.fields(task.client.shape), true).map_err(fault)?)?;
        out.flush()?;
        // What is printed is for a file.
        for note in &notes {
            let _ = writeln!(io::stderr(), "{}", visible::lines(note));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let decide =
        |before: Before<'_>| change::install(task.spot(), before, &reach, task.client.shape, task.is_forced);
    let done = task.change(&path, "overwrite", decide)?;
    let told = if task.is_dry {
        task.write_diff(&mut out, &done)
    } else {
        write_installed(&mut out, &task, &done, &reach)
    };
    let told =
        told.and_then(|()| notes.iter().try_for_each(|note| writeln!(out, "{}", visible::lines(note))));
    task.told(&done, told.and_then(|()| out.flush()))
}

fn write_installed(out: &mut impl Write, task: &Task<'_>, done: &Done, reach: &Reach) -> io::Result<()> {
    let Task { client, name, .. } = task;
    let file = task.shown(done.file.path());
    match &done.change {
        Change::Write { dropped, .. } => {
            writeln!(out, "{} has mcpool now: {name} in {file}", client.title)?;
            writeln!(out, "  {}", visible::lines(&reach.shown()))?;
            if !dropped.is_empty() {
                let dropped = visible::lines(&dropped.join(", "));
                writeln!(out, "Gone from the entry, as it reaches its server otherwise now: {dropped}")?;
            }
            if let Some(backup) = &done.applied.backup {
                writeln!(out, "What was there before: {}", task.shown(backup))?;
            }
            writeln!(out, "{}", client.then)
        }
        _ => writeln!(out, "unchanged: {} has mcpool already: {name} in {file}", client.title),
    }
}

fn write_found(out: &mut impl Write, environment: &Environment) -> io::Result<()> {
    let mut all = listing::list(environment);
    all.retain(listing::Listed::is_installed);
    if all.is_empty() {
        let names: Vec<_> = known::names().collect();
        return writeln!(out, "No client was found here. Known are {}.", names.join(", "));
    }
    listing::write_table(out, &all)?;
    writeln!(out, "\nTo put mcpool into one of them: mcpool install CLIENT DIR")
}

/// Takes mcpool out of a client.
pub(super) fn uninstall(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let environment = environment()?;
    let name = matches.get_one::<String>("client").map(String::as_str).unwrap_or_default();
    let task = Task::new(matches, name, &environment)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut is_there = false;
    // A client that reads two files may have the entry in either.
    for path in environment.files(task.client, task.scope).map_err(ClientsError::from)? {
        let decide =
            |before: Before<'_>| change::uninstall(task.spot(), before, task.client.shape, task.is_forced);
        let done = task.change(&path, "remove", decide)?;
        if done.change != Change::None {
            is_there = true;
            if task.is_dry {
                task.write_diff(&mut out, &done)?;
            } else {
                let told = write_uninstalled(&mut out, &task, &done).and_then(|()| out.flush());
                task.told(&done, told)?;
            }
        }
    }
    if !is_there {
        let Task { client, name, .. } = &task;
        writeln!(out, "unchanged: {} has no entry {name} for its {}", client.title, task.scope.name())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_uninstalled(out: &mut impl Write, task: &Task<'_>, done: &Done) -> io::Result<()> {
    let Task { client, name, .. } = task;
    let file = task.shown(done.file.path());
    writeln!(out, "{} has mcpool no more: {name} is gone from {file}", client.title)?;
    match &done.change {
        Change::None => Ok(()),
        Change::Restore(_) => {
            writeln!(out, "The file is byte for byte what it was before, and its backup is gone.")
        }
        Change::Remove => {
            writeln!(out, "There was nothing else in the file, so it is gone, too.")?;
            done.applied.folders.iter().try_for_each(|folder| {
                writeln!(out, "So is the folder that was made for it: {}", task.shown(folder))
            })
        }
        Change::Write { leaves_table, dropped, .. } => {
            if !dropped.is_empty() {
                let dropped = visible::lines(&dropped.join(", "));
                writeln!(out, "What you had put into the entry went with it: {dropped}")?;
            }
            if *leaves_table {
                writeln!(out, "The table {} stays, empty.", client.key)?;
            }
            if let Some(backup) = &done.applied.backup {
                writeln!(out, "What was there before: {}", task.shown(backup))?;
            }
            write_earlier(out, task, done)
        }
    }
}

/// Where the entry is that had the name before this program's.
fn write_earlier(out: &mut impl Write, task: &Task<'_>, done: &Done) -> io::Result<()> {
    let backups: Vec<_> = done.file.backups().iter().map(|backup| &*backup.bytes).collect();
    let Some(number) = change::earlier(task.spot(), &backups) else { return Ok(()) };
    let backup = task.shown(&done.file.backups()[number].path);
    writeln!(out, "An earlier entry {}, with what you had in it, is in {backup}", task.name)
}

/// Lists the clients that are known, whether they are here, and which have mcpool.
pub(super) fn list(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let environment = environment()?;
    let all = listing::list(&environment);
    let mut out = BufWriter::new(io::stdout().lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &all)?;
        writeln!(out)?;
    } else {
        listing::write_table(&mut out, &all)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
