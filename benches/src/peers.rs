//! The servers that are compared: who they are, what they can do, and how each is started.
//!
//! Owns command lines. Where the programs come from is [`crate::supply`]'s; what is measured is not known here. All
//! that serve HTTP answer with plain JSON and keep idle connections; the rest is as each comes.

use crate::calls::{Call, SMALL_BYTES, file_text};
use crate::nginx;
use crate::server_process::ServerProcess;
use crate::supply::Supply;
use mcpool::client::ServerCommand;
use mcpool::load::{Era, LoadTarget, LoadTestScenario};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A server to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// The program mcpool with a folder.
    Mcpool,
    /// `echo` and `length` on the library mcpool.
    Library,
    /// The same on rmcp, the official Rust SDK.
    Rmcp,
    /// The same on the official TypeScript SDK.
    TypeScript,
    /// The same on the official Python SDK.
    Python,
    /// The official filesystem server, in Node.
    Filesystem,
    /// The six official servers whose tools mcpool has, a process each: [`crate::references`].
    References,
    /// nginx with as many workers as the others have threads, answering static bodies.
    Nginx,
    /// nginx with one worker.
    NginxAlone,
}

/// What a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tools {
    /// `echo` and `length`.
    Echo,
    /// Those of the official filesystem server.
    Files,
    /// A body that is always the same.
    Static,
}

impl Peer {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 9] = [
        Self::Mcpool,
        Self::Library,
        Self::Rmcp,
        Self::TypeScript,
        Self::Python,
        Self::Filesystem,
        Self::References,
        Self::Nginx,
        Self::NginxAlone,
    ];

    /// As the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mcpool => "mcpool",
            Self::Library => "mcpool library",
            Self::Rmcp => "rmcp",
            Self::TypeScript => "TypeScript SDK",
            Self::Python => "Python SDK",
            Self::Filesystem => "Node filesystem server",
            Self::References => "six official servers",
            Self::Nginx => "nginx",
            Self::NginxAlone => "nginx, 1 worker",
        }
    }

    /// What it answers.
    pub fn tools(self) -> Tools {
        match self {
            Self::Mcpool | Self::Filesystem | Self::References => Tools::Files,
            Self::Nginx | Self::NginxAlone => Tools::Static,
            Self::Library | Self::Rmcp | Self::TypeScript | Self::Python => Tools::Echo,
        }
    }

    /// Whether it is mcpool in one of its forms.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Mcpool | Self::Library)
    }

    /// Whether it is one process that serves a client on standard input and output.
    pub fn has_stdio(self) -> bool {
        self.tools() != Tools::Static && self != Self::References
    }

    /// Whether it serves HTTP.
    pub fn has_http(self) -> bool {
        !matches!(self, Self::Filesystem | Self::References)
    }

    /// The revisions that it is asked in over HTTP. A static body has none, and is asked in the newest.
    pub fn eras(self) -> &'static [Era] {
        if self.tools() == Tools::Static { &[Era::Modern] } else { &[Era::Modern, Era::Legacy] }
    }

    /// The everyday calls of an era, small ones first. The modern era has no ping.
    pub fn calls(self, era: Era, files: &Files) -> Vec<Call> {
        let mut calls = if era == Era::Legacy { vec![Call::Ping] } else { Vec::new() };
        match self.tools() {
            Tools::Echo => calls.extend([Call::ListTools, echo(0), echo(1), echo(2)]),
            Tools::Files => calls.extend([Call::ListTools, files.read(1 << 10), files.read(1 << 20)]),
            Tools::Static => calls = vec![echo(0), echo(1), echo(2)],
        }
        calls
    }
}

/// The texts that are echoed.
const ECHO_BYTES: [usize; 3] = [SMALL_BYTES, 10 << 10, 1 << 20];

fn echo(index: usize) -> Call {
    Call::Echo(ECHO_BYTES[index])
}

/// A folder with files to read.
#[derive(Debug)]
pub struct Files {
    folder: TempDir,
}

impl Files {
    /// Lengths of the files that are there.
    pub const BYTES: [usize; 5] = [1 << 10, 10 << 10, 100 << 10, 1000 << 10, 1 << 20];

    /// Writes them.
    ///
    /// # Errors
    /// When that fails.
    pub fn new() -> io::Result<Self> {
        let files = Self { folder: tempfile::tempdir()? };
        for bytes in Self::BYTES {
            fs::write(files.folder.path().join(bytes.to_string()), file_text(bytes))?;
        }
        Ok(files)
    }

    /// The call that reads the file of that length.
    pub fn read(&self, bytes: usize) -> Call {
        Call::ReadFile { path: self.folder.path().join(bytes.to_string()).display().to_string(), bytes }
    }
}

/// The peers that are on this machine.
#[derive(Debug)]
pub struct Peers {
    supply: Supply,
    threads: usize,
    /// What there is to read.
    pub files: Files,
}

impl Peers {
    /// Peers with `threads` threads each, where that can be chosen.
    ///
    /// # Errors
    /// When no files can be written.
    pub fn new(supply: Supply, threads: usize) -> io::Result<Self> {
        Ok(Self { supply, threads, files: Files::new()? })
    }

    /// Those that are there.
    pub fn present(&self) -> impl Iterator<Item = Peer> + '_ {
        Peer::ALL.into_iter().filter(|peer| self.supply.place(*peer).is_some())
    }

    /// Where a peer is, or an error that says that it is not there.
    ///
    /// # Errors
    /// When it is not there.
    pub fn place(&self, peer: Peer) -> io::Result<&Path> {
        let absent = || io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", peer.name()));
        self.supply.place(peer).ok_or_else(absent)
    }

    /// The command that starts a peer on standard input and output.
    ///
    /// # Errors
    /// When it is not there.
    pub fn stdio(&self, peer: Peer) -> io::Result<Command> {
        let place = self.place(peer)?;
        let folder = self.files.folder.path();
        Ok(match peer {
            Peer::Mcpool => command(place, &["serve"], Some(folder)),
            Peer::TypeScript | Peer::Python => self.script(peer, place, &["stdio"]),
            Peer::Filesystem => self.script(peer, place, &[&folder.to_string_lossy()]),
            _ => command(place, &["stdio"], None),
        })
    }

    /// A load test over standard input and output in which `call` is made, called `what`. It starts the peer itself.
    ///
    /// # Errors
    /// When the peer is not there.
    pub fn stdio_load(&self, peer: Peer, what: &str, call: &Call) -> io::Result<LoadTestScenario> {
        let target = LoadTarget::Command(server_command(&self.stdio(peer)?));
        Ok(LoadTestScenario::new(titled(peer, what), target).era(Era::Legacy).step(call.step()))
    }

    /// Starts a peer over HTTP.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn http(&self, peer: Peer) -> io::Result<Site> {
        let place = self.place(peer)?;
        let threads = self.threads.to_string();
        let (mut folder, files) = (None, self.files.folder.path());
        let server = match peer {
            Peer::Mcpool => {
                let arguments = ["serve", "--http", "127.0.0.1:0", "--worker-threads", &threads];
                ServerProcess::start(&mut command(place, &arguments, Some(files)))?
            }
            Peer::TypeScript | Peer::Python => ServerProcess::start(&mut self.script(peer, place, &[]))?,
            Peer::Nginx | Peer::NginxAlone => {
                let workers = if peer == Peer::Nginx { self.threads } else { 1 };
                let own = folder.insert(tempfile::tempdir()?);
                nginx::start(place, own.path(), workers)?
            }
            _ => ServerProcess::start(&mut command(place, &[&threads], None))?,
        };
        Ok(Site { peer, server, _folder: folder })
    }

    /// The interpreter that has the Python packages.
    pub fn python(&self) -> &Path {
        self.supply.python()
    }

    fn script(&self, peer: Peer, place: &Path, arguments: &[&str]) -> Command {
        let interpreter = if peer == Peer::Python { self.supply.python() } else { Path::new("node") };
        let mut command = Command::new(interpreter);
        command.arg(place).args(arguments);
        // What somebody set for their own work is no part of how a server is run.
        command
            .env_remove("PYTHONUNBUFFERED")
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .env_remove("NODE_OPTIONS");
        command
    }
}

fn command(program: &Path, arguments: &[&str], folder: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(folder);
    command
}

/// The same command for a load test, which has no other way to change variables than `env`.
pub(crate) fn server_command(command: &Command) -> ServerCommand {
    let taken = command.get_envs().filter(|(_, value)| value.is_none());
    let mut words: Vec<OsString> =
        taken.flat_map(|(name, _)| [OsString::from("-u"), name.to_owned()]).collect();
    for (name, value) in command.get_envs() {
        words.extend(value.map(|value| [name, OsStr::new("="), value].into_iter().collect()));
    }
    if !words.is_empty() {
        words.insert(0, "env".into());
    }
    words.push(command.get_program().to_owned());
    words.extend(command.get_args().map(OsStr::to_owned));
    ServerCommand { program: words.remove(0), arguments: words }
}

/// A peer that serves HTTP.
#[derive(Debug)]
pub struct Site {
    /// Which.
    pub peer: Peer,
    /// Its process.
    pub server: ServerProcess,
    _folder: Option<TempDir>,
}

impl Site {
    /// A load test in which `call` is made, called `what`; with more connections, in the legacy era each has a session of
    /// its own.
    ///
    /// # Errors
    /// When the server's address makes no URL.
    pub fn load(&self, what: &str, call: &Call, era: Era) -> io::Result<LoadTestScenario> {
        let (path, step) = match (self.peer.tools(), call) {
            (Tools::Echo | Tools::Files, _) => ("/mcp".to_owned(), call.step()),
            (Tools::Static, Call::Echo(_) | Call::Length(_)) => (nginx::path(call), call.step().any_id()),
            // All its bodies are answers to a tool's call.
            (Tools::Static, _) => (nginx::path(call), Call::Echo(SMALL_BYTES).step().any_id()),
        };
        let url = format!("http://{}{path}", self.server.address());
        let target = LoadTarget::parse(&url).map_err(io::Error::other)?;
        Ok(LoadTestScenario::new(titled(self.peer, what), target).pid(self.server.id()).era(era).step(step))
    }
}

/// The name of a load test: whose, and what it is about.
fn titled(peer: Peer, what: &str) -> String {
    format!("{}: {what}", peer.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_is_asked_what_it_answers() {
        let files = Files::new().expect("a folder");
        for peer in Peer::ALL {
            assert!(peer.has_http() || peer.has_stdio() || peer == Peer::References);
            for era in peer.eras() {
                let calls = peer.calls(*era, &files);
                let is_read = |call: &Call| matches!(call, Call::ReadFile { .. });
                assert_eq!(calls.iter().any(is_read), peer.tools() == Tools::Files, "{peer:?}");
                let may_ping = *era == Era::Legacy && peer.tools() != Tools::Static;
                assert_eq!(calls.contains(&Call::Ping), may_ping, "{peer:?} {era:?}");
            }
        }
        for bytes in Files::BYTES {
            let Call::ReadFile { path, .. } = files.read(bytes) else { panic!("a call that reads") };
            assert_eq!(fs::metadata(path).expect("a file").len(), bytes as u64);
        }
    }

    #[test]
    fn a_load_test_starts_a_server_as_it_is_started_alone() {
        let mut command = command(Path::new("/bin/node"), &["a.js", "stdio"], None);
        let ServerCommand { program, arguments } = server_command(&command);
        assert_eq!((program, arguments), ("/bin/node".into(), vec!["a.js".into(), "stdio".into()]));
        let ServerCommand { program, arguments } = server_command(command.env_remove("NODE_OPTIONS"));
        let words = ["-u", "NODE_OPTIONS", "/bin/node", "a.js", "stdio"].map(OsString::from);
        assert_eq!((program, arguments), ("env".into(), words.to_vec()));
        let ServerCommand { arguments, .. } = server_command(command.env("A", "b c"));
        assert_eq!(arguments[2], "A=b c");
    }

    #[test]
    fn columns_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Peer::ALL.map(Peer::name).into();
        assert_eq!(names.len(), Peer::ALL.len());
    }
}
