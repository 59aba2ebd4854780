//! The filesystem tools, called as a client calls them.

#![cfg(unix)]

#[path = "filesystem/arguments.rs"]
mod arguments;
#[cfg(target_os = "linux")]
#[path = "filesystem/batches.rs"]
mod batches;
#[path = "filesystem/bounds.rs"]
mod bounds;
#[cfg(target_os = "linux")]
#[path = "filesystem/completion.rs"]
mod completion;
#[path = "filesystem/concurrent.rs"]
mod concurrent;
#[path = "filesystem/contents.rs"]
mod contents;
#[path = "filesystem/cut_texts.rs"]
mod cut_texts;
#[path = "filesystem/directories.rs"]
mod directories;
#[path = "filesystem/editing.rs"]
mod editing;
#[path = "filesystem/files.rs"]
mod files;
#[path = "filesystem/hostile.rs"]
mod hostile;
#[path = "filesystem/line_ranges.rs"]
mod line_ranges;
#[cfg(target_os = "linux")]
#[path = "filesystem/long_lists.rs"]
mod long_lists;
#[path = "filesystem/once.rs"]
mod once;
#[path = "filesystem/patterns.rs"]
mod patterns;
#[path = "filesystem/places.rs"]
mod places;
#[cfg(feature = "cli")]
#[path = "filesystem/program.rs"]
mod program;
#[cfg(target_os = "linux")]
#[path = "filesystem/resources.rs"]
mod resources;
#[cfg(target_os = "linux")]
#[path = "filesystem/streamed.rs"]
mod streamed;
#[cfg(target_os = "linux")]
#[path = "filesystem/streamed_lines.rs"]
mod streamed_lines;
#[cfg(target_os = "linux")]
#[path = "filesystem/streamed_several.rs"]
mod streamed_several;
#[cfg(target_os = "linux")]
#[path = "filesystem/subscriptions.rs"]
mod subscriptions;
#[path = "filesystem/threads.rs"]
mod threads;
#[path = "filesystem/waiting.rs"]
mod waiting;
#[cfg(target_os = "linux")]
#[path = "filesystem/wide_directories.rs"]
mod wide_directories;
#[cfg(target_os = "linux")]
#[path = "filesystem/writing.rs"]
mod writing;

use crate::test_client::TestClient;
use mcpool::tools::filesystem::Filesystem;
use mcpool::{Limits, Server};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory tree with one allowed directory in it, and a client of a server of it.
struct Scene {
    outer: TempDir,
    server: Server,
    client: TestClient,
    calls: u64,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Limits::default(), false).await
    }

    async fn with(limits: Limits, read_only: bool) -> Self {
        Self::made(limits, read_only, |tools| tools).await
    }

    async fn of(limits: Limits, change: impl FnOnce(Filesystem) -> Filesystem) -> Self {
        Self::made(limits, false, change).await
    }

    async fn made(limits: Limits, read_only: bool, change: impl FnOnce(Filesystem) -> Filesystem) -> Self {
        let outer = tempfile::tempdir().expect("a directory");
        let root = outer.path().join("root");
        std::fs::create_dir(&root).expect("a directory");
        let (filesystem, warnings) = Filesystem::new(&[root], read_only).expect("the directory is usable");
        assert!(warnings.is_empty(), "{warnings:?}");
        let filesystem = change(filesystem);
        let server =
            Server::builder("files", "1").toolset(filesystem).limits(limits).build().expect("a server");
        let client = TestClient::legacy(&server, "2025-06-18").await;
        Self { outer, server, client, calls: 0 }
    }

    /// A path in the allowed directory.
    fn path(&self, name: &str) -> PathBuf {
        self.outer.path().join("root").join(name)
    }

    /// A path beside it.
    fn outside(&self, name: &str) -> PathBuf {
        self.outer.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.calls += 1;
        self.client.call(self.calls, tool, arguments).await
    }

    /// The text of an answer, which `structuredContent` must repeat.
    async fn text(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments.clone()).await;
        assert_eq!(result.get("isError"), None, "{tool} {arguments}: {result}");
        let text = text_of(&result);
        assert_eq!(result["structuredContent"], json!({"content": text}), "{tool} {arguments}");
        text
    }

    /// The text of an error, with the place of the directory written as `ROOT`.
    async fn error(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments.clone()).await;
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        assert_eq!(result.get("structuredContent"), None);
        let outer = self.outer.path().canonicalize().expect("a path");
        text_of(&result).replace(&*outer.to_string_lossy(), "OUTER")
    }
}

fn text_of(result: &Value) -> String {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}")).to_owned()
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
