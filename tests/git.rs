//! The git tools, called as a client calls them, on repositories that git made. Without git they have nothing to run,
//! and are skipped with a word.

#![cfg(unix)]

#[path = "git/answers.rs"]
mod answers;
#[path = "git/bounds.rs"]
mod bounds;
#[path = "git/hostile.rs"]
mod hostile;
#[path = "git/roots.rs"]
mod roots;
#[path = "git/sandbox.rs"]
mod sandbox;

use crate::test_client::TestClient;
use mcpool::tools::git::Git;
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A directory with an allowed one in it, a repository in that, and a client of a server of it.
struct Scene {
    _outer: TempDir,
    /// The path of the outer directory, without links.
    outer: PathBuf,
    server: Server,
    client: TestClient,
    calls: u64,
}

impl Scene {
    async fn new() -> Option<Self> {
        Self::with(Limits::default(), |git| git).await
    }

    async fn with(limits: Limits, change: impl FnOnce(Git) -> Git) -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            eprintln!("skipped: there is no git");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let outer = directory.path().canonicalize().expect("a path");
        let root = outer.join("root");
        std::fs::create_dir(&root).expect("a directory");
        init(&root.join("repo"));
        let server = Server::builder("git", "1").toolset(change(Git::new(&[root], false))).limits(limits);
        let server = server.build().expect("a server");
        let client = TestClient::legacy(&server, "2025-06-18").await;
        Some(Self { _outer: directory, outer, server, client, calls: 0 })
    }

    /// A path in the repository.
    fn path(&self, name: &str) -> PathBuf {
        self.outer.join("root/repo").join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }

    /// Runs git in the repository, as its owner would.
    fn git(&self, arguments: &[&str]) -> String {
        git(&self.path(""), arguments)
    }

    /// Commits all that is there.
    fn commit_all(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--allow-empty-message", "--message", message]);
    }

    async fn call(&mut self, tool: &str, mut arguments: Value) -> Value {
        if arguments.get("repo_path").is_none() {
            arguments["repo_path"] = json!(self.path("").to_string_lossy());
        }
        self.calls += 1;
        self.client.call(self.calls, tool, arguments).await
    }

    async fn text(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments.clone()).await;
        assert_eq!(result.get("isError"), None, "{tool} {arguments}: {result}");
        assert_eq!(result.get("structuredContent"), None);
        text_of(&result)
    }

    /// The text of an error without its beginning, with the place of the outer directory written as `OUTER`.
    async fn error(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        let text = text_of(&result).replace(&*self.outer.to_string_lossy(), "OUTER");
        let begin = format!("Error executing tool {tool}: ");
        text.strip_prefix(&begin).unwrap_or_else(|| panic!("{text}")).to_owned()
    }
}

/// Makes a repository whose own settings make its tests independent of those of the user.
fn init(path: &Path) {
    std::fs::create_dir_all(path).expect("a directory");
    git(path, &["init", "--quiet"]);
    git(path, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    for (key, value) in [
        ("user.name", "Ann"),
        ("user.email", "ann@example.org"),
        ("core.autocrlf", "false"),
        ("core.attributesFile", "/dev/null"),
        ("core.excludesFile", "/dev/null"),
        ("core.hooksPath", "/dev/null"),
        ("commit.gpgSign", "false"),
        ("status.short", "false"),
        ("diff.noprefix", "false"),
        ("diff.mnemonicPrefix", "false"),
    ] {
        git(path, &["config", key, value]);
    }
}

fn git(path: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(path);
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(name);
    }
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn text_of(result: &Value) -> String {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}")).to_owned()
}
