//! The server that `tools`, `call` and `lint` ask: `mcpool serve` over some directories, any other command, or one that
//! runs already, which the shim connects to.

use super::config::{Config, Flags, Setting, Settings};
use super::connect::{self, Target};
use super::error::CliError;
use super::toolsets::Enabled;
use crate::client::{Client, ClientOptions, ServerCommand, ToolList};
use crate::limits::{LimitOption, Limits};
use clap::ArgMatches;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Serves only stdin and stdout, and records nothing, whatever the file and the environment say: what they name is for
/// the servers of clients.
const SERVE: [&str; 8] = [
    "serve",
    "--stdio",
    "--http=",
    "--unix=",
    "--access-log=",
    "--record=",
    "--record-traffic=",
    "--record-arguments=false",
];

/// A server that is asked.
#[derive(Debug)]
pub(super) struct Peer {
    command: ServerCommand,
    /// Where the command connects to, if the server runs already.
    address: Option<Target>,
}

impl Peer {
    /// One that is started.
    pub(super) fn started(command: ServerCommand) -> Self {
        Self { command, address: None }
    }

    pub(super) fn command(&self) -> &ServerCommand {
        &self.command
    }

    /// Opens the server, has `work` ask it, and ends it. Where nobody listens, that is said at once: the shim would wait
    /// for somebody to come.
    pub(super) fn ask<T>(
        &self,
        matches: &ArgMatches,
        work: impl AsyncFnOnce(&Client, &mut Interrupt) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        runtime()?.block_on(async {
            let mut interrupt = Interrupt::listen()?;
            if let Some(address) = &self.address {
                interrupt.unless(address.reach()).await?;
            }
            let client = interrupt.unless(Client::start(&self.command, options(matches))).await?;
            let done = work(&client, &mut interrupt).await;
            client.close().await;
            done
        })
    }

    /// All that it lists as its tools.
    pub(super) fn list(&self, matches: &ArgMatches) -> Result<ToolList, CliError> {
        self.ask(matches, async |client, interrupt| interrupt.unless(client.list_entries()).await)
    }
}

/// The server that is meant: that of `--server`, or this program over `dirs`, or over `.`.
pub(super) fn peer(matches: &ArgMatches, dirs: &str) -> Result<Peer, CliError> {
    let server = matches.get_one::<String>("server");
    let named = server
        .is_none()
        .then(|| matches.get_many::<PathBuf>(dirs).into_iter().flatten())
        .into_iter()
        .flatten();
    let named: Vec<&PathBuf> = named.collect();
    match (server, &named[..]) {
        (Some(text), _) if is_address(text) => return shim(text, matches),
        (Some(text), _) => return parse(text).map(Peer::started),
        (None, [address]) if address.to_str().is_some_and(is_address) => {
            return shim(&address.to_string_lossy(), matches);
        }
        (None, several) => {
            if let Some(address) = several.iter().find(|name| name.to_str().is_some_and(is_address)) {
                let why = "a server that runs already has its own directories: name it alone";
                return Err(CliError::Usage(format!("{}: {why}", address.display())));
            }
        }
    }
    let program = std::env::current_exe().map_err(CliError::Runtime)?.into_os_string();
    let mut arguments: Vec<OsString> = SERVE.map(OsString::from).into();
    let toolsets = matches.get_one::<String>("tools");
    arguments.extend(toolsets.map(|names| format!("--tools={names}").into()));
    arguments.push("--".into());
    let before = arguments.len();
    arguments.extend(named.iter().map(|dir| dir.as_os_str().to_owned()));
    if arguments.len() == before && takes_directories(toolsets) {
        arguments.push(".".into());
    }
    Ok(Peer::started(ServerCommand { program, arguments }))
}

/// Whether a text is where a server listens, and neither a directory nor a command. Of schemes that are none for servers, the
/// shim says so.
pub(super) fn is_address(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    text.starts_with("unix:")
        || scheme
            .is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Whether another server is asked than one that is started over directories.
pub(super) fn is_other(matches: &ArgMatches, dirs: &str) -> bool {
    let mut named = matches.get_many::<PathBuf>(dirs).into_iter().flatten();
    matches.contains_id("server") || named.any(|name| name.to_str().is_some_and(is_address))
}

/// The shim to a server that runs already.
fn shim(address: &str, matches: &ArgMatches) -> Result<Peer, CliError> {
    let target = connect::target(address, matches)?;
    let program = std::env::current_exe().map_err(CliError::Runtime)?.into_os_string();
    let mut arguments: Vec<OsString> = vec!["connect".into(), address.into()];
    for header in matches.get_many::<String>("header").into_iter().flatten() {
        arguments.push(format!("--header={header}").into());
    }
    for (name, flag) in [("token_file", "--token-file"), ("ca_file", "--ca-file")] {
        if let Some(file) = matches.get_one::<PathBuf>(name) {
            arguments.extend([flag.into(), file.clone().into_os_string()]);
        }
    }
    Ok(Peer { command: ServerCommand { program, arguments }, address: Some(target) })
}

/// Whether the server that is started will work in directories. If that is wrong in its settings, it says so itself.
fn takes_directories(toolsets: Option<&String>) -> bool {
    let given = OnlyTools(toolsets);
    let config = Config::resolve(&given, |name| std::env::var_os(name));
    config.map_or(true, |config| Enabled::parse(&config.settings.tools).is_ok_and(Enabled::takes_directories))
}

/// The settings of the server that is started.
pub(super) fn settings(matches: &ArgMatches) -> Result<Settings, CliError> {
    let given = OnlyTools(matches.get_one::<String>("tools"));
    Ok(Config::resolve(&given, |name| std::env::var_os(name))?.settings)
}

/// A command line that names toolsets, or nothing.
struct OnlyTools<'a>(Option<&'a String>);

impl Flags for OnlyTools<'_> {
    fn limit(&self, _: &LimitOption) -> Option<String> {
        None
    }

    fn setting(&self, setting: &Setting) -> Option<Vec<OsString>> {
        self.0.filter(|_| setting.name == "tools").map(|names| vec![names.into()])
    }

    fn config(&self) -> Option<PathBuf> {
        None
    }
}

fn parse(text: &str) -> Result<ServerCommand, CliError> {
    let Some(words) = shlex::split(text) else {
        return Err(CliError::Usage(format!("--server {text:?}: a quote or backslash is left open")));
    };
    let mut words = words.into_iter();
    let Some(program) = words.next() else {
        return Err(CliError::Usage(
            "--server is empty: give a command, as in --server 'npx -y NAME'".to_owned(),
        ));
    };
    Ok(ServerCommand { program: program.into(), arguments: words.map(Into::into).collect() })
}

/// The limits of the client.
fn options(matches: &ArgMatches) -> ClientOptions {
    let silence = matches.get_one::<u64>("timeout_ms").copied().map(Duration::from_millis);
    let defaults = ClientOptions::default();
    ClientOptions {
        max_message_bytes: Limits::default().max_reply_bytes,
        silence_timeout: silence.unwrap_or(defaults.silence_timeout),
        connect_timeout: silence.unwrap_or(defaults.connect_timeout).min(defaults.connect_timeout),
        ..defaults
    }
}

/// A runtime for one command.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)
}

/// Receives Ctrl-C. Made once, so that no signal is lost between two waits.
pub(super) struct Interrupt(Signal);

impl Interrupt {
    /// Starts to listen; needs the runtime.
    pub(super) fn listen() -> Result<Self, CliError> {
        signal(SignalKind::interrupt()).map(Self).map_err(CliError::Runtime)
    }

    /// Waits for `work`, or for Ctrl-C.
    pub(super) async fn unless<T, E: Into<CliError>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CliError> {
        tokio::select! {
            done = work => done.map_err(Into::into),
            _ = self.0.recv() => Err(CliError::Interrupted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_directories_and_commands() {
        for text in
            ["unix:/run/m.sock", "http://127.0.0.1:8000/mcp", "https://mcp.example.com/mcp", "ftp://x"]
        {
            assert!(is_address(text), "{text}");
        }
        for text in ["/srv", ".", "npx -y server", "http", "./unix:x"] {
            assert!(!is_address(text), "{text}");
        }
    }

    #[test]
    fn a_command_is_split_as_a_shell_would() {
        let command = parse(r#"npx -y 'a b' "c d" e\ f"#).expect("parsed");
        assert_eq!(command.program, "npx");
        assert_eq!(command.arguments, ["-y", "a b", "c d", "e f"]);
        assert!(parse("'open").is_err_and(|error| error.to_string().contains("left open")));
        assert!(parse("  ").is_err_and(|error| error.to_string().contains("empty")));
    }
}
