//! What `mcpool install` is asked to write: the way to the server, from the flags and from where this program is.

use super::entry::Reach;
use super::error::ClientsError;
use super::flags::is_for_clients;
use super::known::Client;
use super::locate::{Environment, Scope};
use crate::cli::assemble;
use crate::cli::config::{Config, Flags, Setting, Settings, Shape};
use crate::cli::error::CliError;
use crate::cli::toolsets::Enabled;
use crate::limits::LimitOption;
use clap::ArgMatches;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use tracing::subscriber::NoSubscriber;

/// The variables that lead to the user's own file of settings, which the environment of any client has as well. Others of
/// this shell need not be there.
const CLIENT_VARIABLES: [&str; 2] = ["HOME", "XDG_CONFIG_HOME"];

/// What is to be written, and what there is to say about it.
pub(super) struct Wanted {
    pub(super) reach: Reach,
    /// What the user should know or do besides.
    pub(super) notes: Vec<String>,
}

/// The settings of a server that a client starts, as far as flags give them.
struct ForClients<'m>(&'m ArgMatches);

impl Flags for ForClients<'_> {
    fn limit(&self, option: &LimitOption) -> Option<String> {
        self.0.get_one::<String>(option.name).cloned()
    }

    fn setting(&self, setting: &Setting) -> Option<Vec<OsString>> {
        let texts = is_for_clients(setting).then(|| self.0.get_many::<OsString>(setting.name))??;
        Some(texts.cloned().collect())
    }

    fn config(&self) -> Option<PathBuf> {
        self.0.get_one::<PathBuf>("config").cloned()
    }
}

/// Reads the flags for this client.
///
/// # Errors
/// When they ask for what cannot be served, or what the client's file cannot hold.
pub(super) fn wanted(
    matches: &ArgMatches,
    client: &Client,
    scope: Scope,
    environment: &Environment,
) -> Result<Wanted, CliError> {
    let program = program(matches.get_one::<String>("command"), environment)?;
    let shared = matches.get_one::<String>("shared");
    let mut served = Served::read(matches)?;
    let Some(target) = shared else {
        let notes = served.complete(client, scope, environment)?.into_iter().collect();
        let elsewhere =
            listens_elsewhere(&served.flags).then(|| ["--stdio", "--http=", "--unix="].map(str::to_owned));
        let serve = ["serve".to_owned()].into_iter().chain(elsewhere.into_iter().flatten());
        let words = served.words()?;
        check_variables(client, &words)?;
        served.try_out(|name| CLIENT_VARIABLES.contains(&name).then(|| std::env::var_os(name)).flatten())?;
        let words = program.into_iter().chain(serve).chain(words).collect();
        return Ok(Wanted { reach: Reach::Command(words), notes });
    };
    let target = target_of(target, environment)?;
    check_variables(client, std::slice::from_ref(&target))?;
    let words = served.words()?;
    let mut notes = Vec::new();
    if !words.is_empty() {
        served.try_out(|_| None)?;
        notes.push(format!(
            "The running server works with what it was started with; not in the entry is {}",
            Reach::Command(words.clone()).shown()
        ));
    }
    let Some(socket) = target.strip_prefix("unix:") else {
        let reach = if client.shape.takes_url() {
            Reach::Url(target)
        } else {
            Reach::Command([program, vec!["connect".to_owned(), target]].concat())
        };
        return Ok(Wanted { reach, notes });
    };
    let start = ["mcpool", "serve", "--unix", socket].map(str::to_owned).into_iter().chain(words);
    let start = Reach::Command(start.collect()).shown();
    notes.extend(
        (!Path::new(socket).exists())
            .then(|| format!("No server listens there yet: {}{start}", with_folder(Path::new(socket)))),
    );
    let reach = Reach::Command([program, vec!["connect".to_owned(), target]].concat());
    Ok(Wanted { reach, notes })
}

/// Refuses texts in which the client would find variables of its own.
fn check_variables(client: &Client, texts: &[String]) -> Result<(), ClientsError> {
    for text in texts {
        if let Some(sign) = client.variables.iter().copied().find(|sign| text.contains(sign)) {
            return Err(ClientsError::Expanded { text: text.clone(), client: client.title, sign });
        }
    }
    Ok(())
}

/// The command that makes the folder of a socket where it is missing, to be put before another one.
fn with_folder(socket: &Path) -> String {
    let missing = socket.parent().filter(|folder| !folder.is_dir());
    missing.map_or_else(String::new, |folder| {
        let make = ["mkdir", "-p", &folder.to_string_lossy()].map(str::to_owned);
        format!("{} && ", Reach::Command(make.to_vec()).shown())
    })
}

/// What a server is asked to serve.
struct Served<'m> {
    flags: ForClients<'m>,
    dirs: Vec<PathBuf>,
    /// Whether its tools work in directories that neither settings nor the user's own file name.
    needs_directory: bool,
}

impl<'m> Served<'m> {
    /// Reads the flags, and refuses what a server would refuse.
    fn read(matches: &'m ArgMatches) -> Result<Self, CliError> {
        let flags = ForClients(matches);
        // What is in the environment of this shell need not be in that of the client.
        let config = Config::resolve(&flags, |_| None)?;
        let enabled = Enabled::parse(&config.settings.tools)?;
        let dirs: Vec<PathBuf> = matches.get_many("dirs").into_iter().flatten().cloned().collect();
        enabled.check_directories(&dirs)?;
        let names_some =
            |settings: &Settings| settings.repository.is_some() || !settings.directories.is_empty();
        let of_user = Config::resolve(&flags, |name| std::env::var_os(name));
        let is_named =
            names_some(&config.settings) || of_user.is_ok_and(|config| names_some(&config.settings));
        let needs_directory = enabled.takes_directories() && !is_named;
        Ok(Self { flags, dirs, needs_directory })
    }

    /// Takes the project for the directory if none is named, or says who names one.
    fn complete(
        &mut self,
        client: &Client,
        scope: Scope,
        environment: &Environment,
    ) -> Result<Option<String>, ClientsError> {
        if !self.dirs.is_empty() || !self.needs_directory {
            return Ok(None);
        }
        match scope {
            Scope::Project => {
                self.dirs.push(environment.directory().to_owned());
                Ok(None)
            }
            Scope::User if client.gives_roots => {
                Ok(Some(format!("No directory is named: those that are open in {} count.", client.title)))
            }
            Scope::User => Err(ClientsError::NoDirectory { client: client.title, name: client.name }),
        }
    }

    /// Builds the server that the entry would start, with that environment, and drops it.
    ///
    /// # Errors
    /// When the server would refuse to start, in its words.
    fn try_out(&self, variable: impl Fn(&str) -> Option<OsString>) -> Result<(), CliError> {
        let build = || -> Result<(), CliError> {
            let Config { settings, limits, .. } = Config::resolve(&self.flags, variable)?;
            let dirs = if self.dirs.is_empty() && Enabled::parse(&settings.tools)?.takes_directories() {
                &settings.directories
            } else {
                &self.dirs
            };
            assemble::server(dirs, &settings, limits).map(drop)
        };
        // What it warns of is for its own log.
        tracing::subscriber::with_default(NoSubscriber::default(), build)
            .map_err(|error| CliError::Usage(format!("the server would not start: {error}")))
    }

    /// The settings and directories, as arguments of `serve`.
    fn words(&self) -> Result<Vec<String>, ClientsError> {
        let mut words = Vec::new();
        for setting in Setting::ALL {
            for value in self.flags.setting(setting).into_iter().flatten() {
                words.extend(setting_words(setting, &value)?);
            }
        }
        for option in LimitOption::ALL {
            if let Some(value) = self.flags.limit(option) {
                words.extend([format!("--{}", option.flag()), value]);
            }
        }
        if let Some(file) = self.flags.config() {
            words.extend(["--config".to_owned(), text(absolute(&file)?.as_os_str())?]);
        }
        for dir in &self.dirs {
            words.push(directory(dir)?);
        }
        Ok(words)
    }
}

/// Whether the user's own file of settings has the server listen elsewhere, so that it would not serve its client.
fn listens_elsewhere(flags: &ForClients<'_>) -> bool {
    let config = Config::resolve(flags, |name| std::env::var_os(name));
    config.is_ok_and(|Config { settings, .. }| {
        !settings.http.is_empty() || !settings.unix.is_empty() || settings.stdio == Some(false)
    })
}

fn setting_words(setting: &Setting, value: &OsStr) -> Result<Vec<String>, ClientsError> {
    let flag = format!("--{}", setting.flag());
    let is_path = matches!(setting.value_name, "FILE" | "PATH" | "DIR");
    let value = if is_path && !value.is_empty() {
        text(absolute(Path::new(value))?.as_os_str())?
    } else {
        text(value)?
    };
    Ok(match (setting.shape, value.as_str()) {
        (Shape::Switch, "true") => vec![flag],
        (Shape::Switch, _) => vec![format!("{flag}={value}")],
        (Shape::One | Shape::Many, _) => vec![flag, value],
    })
}

/// A directory as the client's file has it: absolute, as the client starts the server elsewhere.
fn directory(dir: &Path) -> Result<String, ClientsError> {
    let refused = |what: String| ClientsError::Directory { path: dir.to_owned(), what };
    let path = absolute(dir)?;
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => text(path.as_os_str()),
        Ok(_) => Err(refused("it is no directory".to_owned())),
        Err(error) => Err(refused(format!("it cannot be served: {error}"))),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ClientsError> {
    let path = std::path::absolute(path).map_err(ClientsError::WorkingDirectory)?;
    // A slash or a dot at the end would make the same directory another text.
    Ok(path.components().collect())
}

fn text(text: &OsStr) -> Result<String, ClientsError> {
    let refused = || ClientsError::NotText { text: text.to_string_lossy().into_owned() };
    text.to_str().map(str::to_owned).ok_or_else(refused)
}

/// What the entry starts.
fn program(command: Option<&String>, environment: &Environment) -> Result<Vec<String>, ClientsError> {
    if let Some(command) = command {
        let words = shlex::split(command).filter(|words| !words.is_empty());
        return words.ok_or_else(|| ClientsError::Command { text: command.clone() });
    }
    let this = std::env::current_exe().map_err(ClientsError::Program)?;
    let named = environment.in_path("mcpool").filter(|named| same_file(named, &this));
    lasting(&this, named.as_deref())
}

/// The words that start this program tomorrow, too. `named` is how the `PATH` leads to it: a link of a package manager
/// stays when the next version takes the place of this one. What `npx` and `uvx` unpacked for one run does not stay.
fn lasting(this: &Path, named: Option<&Path>) -> Result<Vec<String>, ClientsError> {
    let has = |part: &str| this.iter().any(|name| name == part);
    if has("_npx") {
        return Ok(["npx", "-y", "mcpool"].map(str::to_owned).to_vec());
    }
    if has("archive-v0") {
        return Ok(["uvx", "mcpool"].map(str::to_owned).to_vec());
    }
    Ok(vec![text(named.unwrap_or(this).as_os_str())?])
}

fn same_file(one: &Path, other: &Path) -> bool {
    let resolved = |path: &Path| path.canonicalize().ok();
    resolved(one).is_some_and(|one| Some(one) == resolved(other))
}

/// Where the shared server is.
fn target_of(given: &str, environment: &Environment) -> Result<String, ClientsError> {
    let refused = || ClientsError::Target { target: given.to_owned() };
    if given.is_empty() {
        let folder = match environment.variable("XDG_RUNTIME_DIR") {
            Some(folder) => folder,
            None => environment.home().ok_or(ClientsError::NoSocket)?.join(".mcpool"),
        };
        return Ok(format!("unix:{}", text(folder.join("mcpool.sock").as_os_str())?));
    }
    if let Some(path) = given.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(refused());
        }
        return Ok(format!("unix:{}", text(absolute(Path::new(path))?.as_os_str())?));
    }
    let is_plain = !given.contains(|char: char| char.is_whitespace() || char.is_control());
    let has_host = |scheme: &str| given.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && is_plain);
    if has_host("http://") || has_host("https://") { Ok(given.to_owned()) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_so_that_it_is_there_tomorrow() {
        for (this, named, want) in [
            ("/opt/bin/mcpool", None, "/opt/bin/mcpool"),
            ("/cellar/0.1/bin/mcpool", Some("/brew/bin/mcpool"), "/brew/bin/mcpool"),
            ("/me/.npm/_npx/ab12/node_modules/mcpool/bin/mcpool", None, "npx -y mcpool"),
            ("/me/.cache/uv/archive-v0/ab12/bin/mcpool", None, "uvx mcpool"),
        ] {
            let words = lasting(Path::new(this), named.map(Path::new)).expect("text");
            assert_eq!(words.join(" "), want, "{this}");
        }
    }
}
