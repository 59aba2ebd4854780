//! The six official servers whose tools mcpool has: how each is started, what it is asked, and what its tools work on.
//!
//! Owns command lines and arguments, a folder with a git repository and a knowledge graph, and a page on loopback.
//! mcpool is asked the same, in one process.

use crate::calls::file_text;
use crate::peers::{Peer, Peers};
use mcpool::load::LoadStep;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use tempfile::TempDir;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// `@modelcontextprotocol/server-filesystem`.
    Filesystem,
    /// `mcp-server-git`.
    Git,
    /// `mcp-server-fetch`.
    Fetch,
    /// `@modelcontextprotocol/server-memory`.
    Memory,
    /// `mcp-server-time`.
    Time,
    /// `@modelcontextprotocol/server-sequential-thinking`.
    Thinking,
}

impl Reference {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Filesystem, Self::Git, Self::Fetch, Self::Memory, Self::Time, Self::Thinking];

    /// The toolset of mcpool that stands for it.
    pub fn toolset(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::Git => "git",
            Self::Fetch => "fetch",
            Self::Memory => "memory",
            Self::Time => "time",
            Self::Thinking => "thinking",
        }
    }
}

/// Entities of the knowledge graph.
const ENTITIES: usize = 1000;
/// Commits of the repository.
const COMMITS: usize = 20;
/// What is fetched.
const PAGE: &str = "<!doctype html><html><head><title>A page</title></head><body><article><h1>A page</h1>\
    <p>The quick brown fox jumps over the lazy dog, and then it sits down to write about it at some length.</p>\
    <p>A second paragraph says the same thing again, so that there is something to find.</p></article></body></html>";

/// What the tools work on.
#[derive(Debug)]
pub struct Workspace {
    folder: TempDir,
    page: SocketAddr,
}

impl Workspace {
    /// Writes files, a repository and a graph, and serves a page.
    ///
    /// # Errors
    /// When that fails; git is needed.
    pub fn new() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("file.txt"), file_text(1 << 10))?;
        repository(&folder.path().join("repository"))?;
        graph(&folder.path().join("memory.jsonl"))?;
        Ok(Self { folder, page: serve_page()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that starts one of the official servers on standard input and output.
    ///
    /// # Errors
    /// When they are not there.
    pub fn reference(&self, peers: &Peers, server: Reference) -> io::Result<Command> {
        let packages = peers.place(Peer::References)?.join("node_modules/@modelcontextprotocol");
        let node = |package: &str| {
            let mut command = Command::new("node");
            command.arg(packages.join(package).join("dist/index.js")).env_remove("NODE_OPTIONS");
            command
        };
        let python = |module: &str| {
            let mut command = Command::new(peers.python());
            command.args(["-m", module]).env_remove("PYTHONDONTWRITEBYTECODE");
            command
        };
        let mut command = match server {
            Reference::Filesystem => node("server-filesystem"),
            Reference::Memory => node("server-memory"),
            Reference::Thinking => node("server-sequential-thinking"),
            Reference::Git => python("mcp_server_git"),
            Reference::Fetch => python("mcp_server_fetch"),
            Reference::Time => python("mcp_server_time"),
        };
        match server {
            Reference::Filesystem => command.arg(self.folder.path()),
            Reference::Git => command.arg("--repository").arg(self.path("repository")),
            Reference::Fetch => command.args(["--ignore-robots-txt", "--allow-private-ips"]),
            Reference::Time => command.args(["--local-timezone", "UTC"]),
            Reference::Memory => command.env("MEMORY_FILE_PATH", self.path("memory.jsonl")),
            Reference::Thinking => command.env("DISABLE_THOUGHT_LOGGING", "true"),
        };
        Ok(command)
    }

    /// The command that starts mcpool with the tools of them all, and `extra` arguments.
    ///
    /// # Errors
    /// When it is not there.
    pub fn mcpool(&self, peers: &Peers, extra: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(peers.place(Peer::Mcpool)?);
        let toolsets = Reference::ALL.map(Reference::toolset).join(",");
        command.args(["serve", "--tools", &toolsets, "--ignore-robots-txt", "--allow-private-ips"]);
        command.args(["--local-timezone", "UTC", "--repository"]).arg(self.path("repository"));
        command.args(extra).arg(self.folder.path());
        command.env("MEMORY_FILE_PATH", self.path("memory.jsonl")).env("DISABLE_THOUGHT_LOGGING", "true");
        Ok(command)
    }

    /// What a server is asked; each step has a name of its own.
    pub fn steps(&self, server: Reference) -> Vec<LoadStep> {
        let repository = self.path("repository");
        let call = |tool: &str, arguments: Value| match arguments {
            Value::Object(arguments) => LoadStep::call(tool, arguments),
            _ => LoadStep::call(tool, Map::new()),
        };
        match server {
            Reference::Filesystem => vec![
                call("read_text_file", json!({ "path": self.path("file.txt") })),
                call("list_directory", json!({ "path": self.folder.path() })),
            ],
            Reference::Git => vec![
                call("git_status", json!({ "repo_path": repository })),
                call("git_log", json!({ "repo_path": repository, "max_count": 10 })),
            ],
            Reference::Fetch => vec![call("fetch", json!({ "url": format!("http://{}/", self.page) }))],
            Reference::Memory => vec![
                call("search_nodes", json!({ "query": "entity 77" })),
                call("open_nodes", json!({ "names": ["entity 5", "entity 500"] })),
            ],
            Reference::Time => vec![
                call("get_current_time", json!({ "timezone": "Europe/Berlin" })),
                call(
                    "convert_time",
                    json!({ "source_timezone": "Europe/Berlin", "time": "12:30", "target_timezone": "Asia/Tokyo" }),
                ),
            ],
            Reference::Thinking => vec![call(
                "sequentialthinking",
                json!({ "thought": "a thought", "nextThoughtNeeded": true, "thoughtNumber": 1, "totalThoughts": 3 }),
            )],
        }
    }
}

fn repository(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    git(path, &["init", "--quiet"])?;
    for number in 0..COMMITS {
        fs::write(path.join(format!("{number}.txt")), file_text(1 << 10))?;
        git(path, &["add", "."])?;
        git(path, &["commit", "--quiet", "--message", &format!("Commit {number}")])?;
    }
    Ok(())
}

fn git(path: &Path, arguments: &[&str]) -> io::Result<()> {
    let identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"];
    let mut command = Command::new("git");
    command.args(identity).args(arguments).current_dir(path).stdout(Stdio::null());
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("git {arguments:?} ended with {status}")))
    }
}

fn graph(path: &Path) -> io::Result<()> {
    let entity = |number| {
        json!({
            "type": "entity", "name": format!("entity {number}"), "entityType": "thing",
            "observations": [format!("it is the thing of number {number}")],
        })
        .to_string()
    };
    fs::write(path, (0..ENTITIES).map(entity).collect::<Vec<_>>().join("\n"))
}

/// Serves the page to whoever asks, for as long as this process lives.
fn serve_page() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(&stream));
        }
    });
    Ok(address)
}

/// Answers the requests of one connection.
fn answer(stream: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.is_empty() {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
                PAGE.len()
            );
            (&mut &*stream).write_all(format!("{head}{PAGE}").as_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_what_the_tools_work_on() {
        let workspace = Workspace::new().expect("a folder, and git");
        let graph = fs::read_to_string(workspace.path("memory.jsonl")).expect("a graph");
        assert_eq!(graph.lines().count(), ENTITIES);
        assert!(workspace.path("repository/.git/HEAD").is_file());
        let mut page = TcpStream::connect(workspace.page).expect("it listens");
        page.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        page.shutdown(std::net::Shutdown::Write).expect("ended");
        let answer = io::read_to_string(page).expect("an answer");
        assert!(answer.ends_with(PAGE), "{answer}");
    }

    #[test]
    fn each_server_is_asked_for_something() {
        let workspace = Workspace::new().expect("a folder, and git");
        let steps = Reference::ALL.map(|server| workspace.steps(server));
        let names: Vec<_> = steps.iter().flatten().map(LoadStep::name).collect();
        let apart: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!((names.len(), apart.len()), (10, 10));
    }
}
