//! The list of `mcpool clients`: which clients are here, and which of them have mcpool.

use super::config_file::ConfigFile;
use super::entry::Reach;
use super::known::{CLIENTS, Client};
use super::locate::{Environment, Scope};
use super::servers::{self, ServerEntry};
use crate::cli::terminal::{columns, padding};
use crate::visible;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// One file of a client.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    client: &'static str,
    /// Whether the client seems to be installed.
    is_installed: bool,
    scope: &'static str,
    file: String,
    /// The same for people.
    #[serde(skip)]
    shown: String,
    file_exists: bool,
    /// The entries that start mcpool, or ask a server of this machine.
    entries: Vec<ListedEntry>,
    /// Why the file could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// One entry of ours.
#[derive(Debug, Serialize)]
struct ListedEntry {
    name: String,
    /// What it starts or asks.
    reaches: String,
    /// Whether the program that it starts is gone.
    is_broken: bool,
}

/// All files of all clients; those of a project if one has them, or is asked for.
pub(super) fn list(environment: &Environment) -> Vec<Listed> {
    let files = CLIENTS.iter().flat_map(|client| [(client, Scope::User), (client, Scope::Project)]);
    files.filter_map(|(client, scope)| listed(client, scope, environment)).collect()
}

fn listed(client: &'static Client, scope: Scope, environment: &Environment) -> Option<Listed> {
    let path = environment.file(client, scope).ok()?;
    let (file_exists, entries) = match entries(client, &path) {
        Ok(None) => (false, Ok(Vec::new())),
        Ok(Some(entries)) => (true, Ok(entries)),
        Err(fault) => (true, Err(fault)),
    };
    let (entries, fault) = match entries {
        Ok(entries) => (entries, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    let shown = match scope {
        Scope::User => environment.shown(&path),
        Scope::Project => format!("{} (project)", client.project.unwrap_or_default()),
    };
    Some(Listed {
        client: client.name,
        is_installed: environment.is_installed(client),
        scope: scope.name(),
        file: path.display().to_string(),
        shown,
        file_exists,
        entries,
        fault,
    })
}

/// The entries of ours in a file; none if it is not there.
fn entries(client: &Client, path: &Path) -> Result<Option<Vec<ListedEntry>>, String> {
    let file = ConfigFile::open(path).map_err(|error| error.to_string())?;
    let Some(bytes) = file.bytes() else { return Ok(None) };
    let fault = |fault: super::fault::Fault| fault.to_string();
    let value = servers::parse(client.format, servers::text(bytes).map_err(fault)?).map_err(fault)?;
    let found = servers::entries(&value, client.key).map_err(fault)?;
    let ours = found.into_iter().flatten().filter_map(|(name, entry)| {
        let reach = Reach::of(&ServerEntry::read(name, entry).ok()?).filter(Reach::is_ours)?;
        let is_broken = match &reach {
            Reach::Command(words) => {
                words.first().is_some_and(|word| Path::new(word).is_absolute() && !Path::new(word).exists())
            }
            Reach::Url(_) => false,
        };
        Some(ListedEntry { name: name.clone(), reaches: reach.shown(), is_broken })
    });
    Ok(Some(ours.collect()))
}

/// Writes the list as a table of at most 80 columns, if names and paths are not very long.
pub(super) fn write_table(out: &mut impl Write, all: &[Listed]) -> io::Result<()> {
    let rows: Vec<_> = all.iter().filter(|listed| listed.scope == "user" || listed.file_exists).collect();
    let width = |of: fn(&Listed) -> String, least: usize| {
        rows.iter().map(|row| columns(&of(row))).max().unwrap_or_default().max(least)
    };
    let client = width(|row| row.client.to_owned(), "CLIENT".len());
    let entry = width(Listed::state, "ENTRY".len());
    let mut line = |name: &str, is_installed: &str, state: &str, file: &str| {
        let (name_end, state_end) = (padding(name, client), padding(state, entry));
        writeln!(out, "{name}{name_end}  {is_installed:<9}  {state}{state_end}  {file}")
    };
    line("CLIENT", "INSTALLED", "ENTRY", "FILE")?;
    for row in &rows {
        let is_installed = if row.is_installed { "yes" } else { "no" };
        line(row.client, is_installed, &row.state(), &visible::line(&row.shown))?;
    }
    for (row, fault) in rows.iter().filter_map(|row| Some((row, row.fault.as_ref()?))) {
        writeln!(out, "\n{}: {}", visible::line(&row.shown), visible::lines(fault))?;
    }
    let broken = |row: &&&Listed| row.entries.iter().any(|entry| entry.is_broken);
    for row in rows.iter().filter(broken) {
        writeln!(
            out,
            "\n{}: the program that is named there is gone: mcpool install {}",
            row.client, row.client
        )?;
    }
    Ok(())
}

impl Listed {
    /// Whether the client seems to be installed.
    pub(super) fn is_installed(&self) -> bool {
        self.is_installed
    }

    /// The names of the entries, or why there are none.
    fn state(&self) -> String {
        if self.fault.is_some() {
            return "unreadable".to_owned();
        }
        let names: Vec<_> = self.entries.iter().map(|entry| visible::line(&entry.name)).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(", ") }
    }
}
