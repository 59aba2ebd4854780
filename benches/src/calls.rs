//! What servers are asked for when they are measured, as steps of a load test.
//!
//! Knows the tools of the peers; how requests look in an era is for `mcpool::load`.

use mcpool::load::{Era, LoadStep};
use serde_json::{Map, Value};

/// Bytes of a text that an everyday call sends.
pub const SMALL_BYTES: usize = 100;
const SENTENCE: &str = "the quick brown fox jumps over the lazy dog and sits down to write; ";

/// The revision that is spoken in an era.
pub fn revision(era: Era) -> &'static str {
    match era {
        Era::Modern => "2026-07-28",
        Era::Legacy => "2025-11-25",
    }
}

/// What is asked of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `ping`, of the legacy era.
    Ping,
    /// `tools/list`.
    ListTools,
    /// The tool `echo` with a text of so many bytes.
    Echo(usize),
    /// The tool `length` with a text of so many bytes, some of them escaped: a large request, a small answer.
    Length(usize),
    /// The tool `list_allowed_directories` with such a text, which it does not need: the same of those with files.
    Unused(usize),
    /// The tool `read_text_file` on a file of [`file_text`].
    ReadFile {
        /// The file.
        path: String,
        /// How long it is.
        bytes: usize,
    },
}

impl Call {
    /// The step that makes it.
    pub fn step(&self) -> LoadStep {
        match self {
            Self::Ping => LoadStep::method("ping", Map::new()),
            Self::ListTools => LoadStep::method("tools/list", Map::new()),
            Self::Echo(bytes) => with_text("echo", "text", text(*bytes)),
            Self::Length(bytes) => with_text("length", "text", escaped_text(*bytes)),
            Self::Unused(bytes) => with_text("list_allowed_directories", "unused", escaped_text(*bytes)),
            Self::ReadFile { path, .. } => with_text("read_text_file", "path", path.clone()),
        }
    }

    /// How long the text is that it moves.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Ping | Self::ListTools => 0,
            Self::Echo(bytes) | Self::Length(bytes) | Self::Unused(bytes) | Self::ReadFile { bytes, .. } => {
                *bytes
            }
        }
    }

    /// As the tables call it.
    pub fn name(&self) -> String {
        match self {
            Self::Ping => "ping".to_owned(),
            Self::ListTools => "tools/list".to_owned(),
            Self::Echo(bytes) => format!("echo {}", size(*bytes)),
            Self::Length(bytes) => format!("length {}", size(*bytes)),
            Self::Unused(bytes) => format!("list_allowed_directories {}", size(*bytes)),
            Self::ReadFile { bytes, .. } => format!("read_text_file {}", size(*bytes)),
        }
    }
}

/// A call of a tool that takes one text.
fn with_text(tool: &str, argument: &str, text: String) -> LoadStep {
    LoadStep::call(tool, Map::from_iter([(argument.to_owned(), Value::from(text))]))
}

/// A text of so many bytes without escapes.
pub fn text(bytes: usize) -> String {
    SENTENCE.chars().cycle().take(bytes).collect()
}

/// A text of so many bytes, plain and with what JSON escapes, so that all that could grow does.
fn escaped_text(bytes: usize) -> String {
    const PART: &str = "plain text, then an escape: \n";
    PART.chars().cycle().take(bytes).collect()
}

/// A text of so many bytes in lines, as a file has it.
pub fn file_text(bytes: usize) -> String {
    let breaks = |(at, char)| if at % SENTENCE.len() == SENTENCE.len() - 1 { '\n' } else { char };
    text(bytes).chars().enumerate().map(breaks).collect()
}

/// A size as people say it.
pub fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_asks_for_what_the_call_says() {
        let read = Call::ReadFile { path: "/a \"b\"".to_owned(), bytes: 1 << 20 };
        let calls = [Call::Ping, Call::ListTools, Call::Echo(100), read];
        let steps = calls.each_ref().map(|call| call.step().name().to_owned());
        assert_eq!(steps, ["ping", "tools/list", "echo", "read_text_file"]);
        let names = calls.each_ref().map(Call::name);
        assert_eq!(names, ["ping", "tools/list", "echo 100 B", "read_text_file 1 MiB"]);
    }

    #[test]
    fn texts_have_their_length() {
        for bytes in [0, 1, 64, 100, 1024, 1 << 20] {
            assert_eq!(
                [text(bytes), file_text(bytes), escaped_text(bytes)].map(|text| text.len()),
                [bytes; 3]
            );
        }
        assert!(file_text(1024).lines().count() > 10);
        assert_eq!([100, 10 << 10, 1 << 20].map(size), ["100 B", "10 KiB", "1 MiB"]);
    }
}
