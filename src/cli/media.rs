//! The answer of a tool as files: media as the bytes that they are, all text together as one.

use super::render::write_result;
use crate::client::{CallResult, Content, Resource};
use crate::visible;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::path::{Path, PathBuf};

/// A file to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutputFile {
    pub(super) path: PathBuf,
    /// Its media type, or `text`.
    pub(super) kind: String,
    pub(super) bytes: Vec<u8>,
}

/// The files of an answer: its media, the first in `path`, or its text where it has no media.
///
/// # Errors
/// When data is no base64.
pub(super) fn files(result: &CallResult, path: &Path) -> Result<Vec<OutputFile>, String> {
    let mut files = Vec::new();
    for block in &result.content {
        let (data, kind) = match block {
            Content::Image { data, mime_type } | Content::Audio { data, mime_type } => {
                (data, mime_type.as_str())
            }
            Content::Resource { resource: Resource { blob: Some(data), mime_type, .. } } => {
                (data, mime_type.as_deref().unwrap_or("of unknown type"))
            }
            _ => continue,
        };
        let bytes = STANDARD.decode(data).map_err(|error| {
            format!("the {} that the server sent is no base64: {error}", visible::line(kind))
        })?;
        files.push(OutputFile { path: numbered(path, files.len() + 1), kind: kind.to_owned(), bytes });
    }
    if files.is_empty() {
        let mut bytes = Vec::new();
        write_result(&mut bytes, result, false).map_err(|error| error.to_string())?;
        files.push(OutputFile { path: path.to_owned(), kind: "text".to_owned(), bytes });
    }
    Ok(files)
}

/// The path of the file of that number: `a.png`, `a-2.png`.
fn numbered(path: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str) -> Result<Vec<(String, String, Vec<u8>)>, String> {
        let result: CallResult = serde_json::from_str(json).expect("a result");
        let shown = |file: OutputFile| (file.path.display().to_string(), file.kind, file.bytes);
        files(&result, Path::new("dir/a.png")).map(|files| files.into_iter().map(shown).collect())
    }

    #[test]
    fn media_become_the_bytes_that_they_are() {
        let image = r#"{"type":"image","mimeType":"image/png","data":"QUJDRA=="}"#;
        let blob = r#"{"type":"resource","resource":{"uri":"file:///x","blob":"AAE="}}"#;
        let text = r#"{"type":"text","text":"said"}"#;
        assert_eq!(
            written(&format!(r#"{{"content":[{text},{image},{blob}]}}"#)).expect("files"),
            [
                ("dir/a.png".to_owned(), "image/png".to_owned(), b"ABCD".to_vec()),
                ("dir/a-2.png".to_owned(), "of unknown type".to_owned(), vec![0, 1]),
            ]
        );
        assert_eq!(
            written(&format!(r#"{{"content":[{text}]}}"#)).expect("a file"),
            [("dir/a.png".to_owned(), "text".to_owned(), b"said".to_vec())]
        );
        let broken = written(r#"{"content":[{"type":"audio","mimeType":"audio/wav","data":"?"}]}"#);
        assert!(broken.is_err_and(|why| why.contains("audio/wav") && why.contains("no base64")));
        assert_eq!(numbered(Path::new("a"), 2), Path::new("a-2"));
    }
}
