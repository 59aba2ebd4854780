//! Prints the answers of tools for people.

use super::terminal::{columns, cut};
use crate::client::{CallResult, Content, Progress, Resource};
use crate::limits::units;
use crate::visible;
use std::io::{self, Write};

/// Writes the answer of a tool: text as it is, other blocks by their type and size, the structured content if there is
/// nothing else. `ends_line` adds a newline at the very end if there is none.
pub(super) fn write_result(out: &mut impl Write, result: &CallResult, ends_line: bool) -> io::Result<()> {
    let mut at_line_start = true;
    let mut has_text = false;
    for block in &result.content {
        // Each block begins on a new line; a single text stays byte for byte the same.
        if !at_line_start {
            writeln!(out)?;
        }
        let described;
        let text = match block {
            Content::Text { text } | Content::Resource { resource: Resource { text: Some(text), .. } } => {
                has_text = true;
                text
            }
            other => {
                described = describe(other);
                &described
            }
        };
        out.write_all(text.as_bytes())?;
        at_line_start = text.ends_with('\n') || text.is_empty();
    }
    if let (false, Some(structured)) = (has_text, &result.structured_content) {
        if !at_line_start {
            writeln!(out)?;
        }
        visible::write_json(&mut *out, structured)?;
        at_line_start = false;
    }
    if ends_line && !at_line_start {
        writeln!(out)?;
    }
    Ok(())
}

fn describe(block: &Content) -> String {
    match block {
        Content::Image { data, mime_type } => format!("[image {mime_type}, {}]", decoded_size(data)),
        Content::Audio { data, mime_type } => format!("[audio {mime_type}, {}]", decoded_size(data)),
        Content::ResourceLink { uri, name } => format!("[link {name} {uri}]"),
        Content::Resource { resource } => {
            let mime_type = resource.mime_type.as_deref().unwrap_or("of unknown type");
            let size = decoded_size(resource.blob.as_deref().unwrap_or_default());
            format!("[resource {} {mime_type}, {size}]", resource.uri)
        }
        // Text is written as it is.
        Content::Text { .. } => String::new(),
        Content::Unknown => "[content of a kind that mcpool does not know; --raw shows it]".to_owned(),
    }
}

/// The size of the data in a base64 text.
fn decoded_size(base64: &str) -> String {
    let digits = base64.trim_end_matches('=').len();
    units::bytes(digits as u64 * 3 / 4)
}

/// The first sentence of `text` on one line of at most `width` columns, with escapes for what does not show.
pub(super) fn one_line(text: &str, width: usize) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&visible::line(word));
        if columns(&line) > width {
            return cut(&line, width.saturating_sub(3)).trim_end().to_owned() + "...";
        }
        // "e.g." and "1." do not end a sentence; a word of four letters and a full stop does.
        if word.len() > 4 && word.ends_with('.') {
            break;
        }
    }
    line
}

/// A report of progress on one line: `3/10 reading`, `30 % reading`, `3 reading`.
pub(super) fn progress_line(progress: &Progress, width: usize) -> String {
    let done = match progress.total {
        Some(total) if total > 0.0 => {
            format!("{:.0} %", (progress.progress / total * 100.0).clamp(0.0, 100.0))
        }
        _ => format!("{}", progress.progress),
    };
    one_line(&format!("{done} {}", progress.message.as_deref().unwrap_or_default()), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(json: &str, ends_line: bool) -> String {
        let result: CallResult = serde_json::from_str(json).expect("a result");
        let mut out = Vec::new();
        write_result(&mut out, &result, ends_line).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn text_stays_as_it_is_and_the_rest_is_described() {
        let text = |text: &str| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let image = r#"{"type":"image","mimeType":"image/png","data":"QUJDRA=="}"#;
        let cases = [
            (format!(r#"{{"content":[{}]}}"#, text("a b")), "a b", "a b\n"),
            (format!(r#"{{"content":[{}]}}"#, text("a\\n")), "a\n", "a\n"),
            (format!(r#"{{"content":[{},{}]}}"#, text("a"), text("b")), "a\nb", "a\nb\n"),
            (format!(r#"{{"content":[{image}]}}"#), "[image image/png, 4 B]", "[image image/png, 4 B]\n"),
            (format!(r#"{{"content":[{}],"structuredContent":{{"n":1}}}}"#, text("a")), "a", "a\n"),
            (
                r#"{"content":[],"structuredContent":{"n":1}}"#.to_owned(),
                "{\n  \"n\": 1\n}",
                "{\n  \"n\": 1\n}\n",
            ),
            (r#"{"content":[]}"#.to_owned(), "", ""),
            (
                r#"{"content":[{"type":"resource","resource":{"uri":"file:///x","text":"inner"}}]}"#
                    .to_owned(),
                "inner",
                "inner\n",
            ),
        ];
        for (json, want, want_ended) in cases {
            assert_eq!(rendered(&json, false), want, "{json}");
            assert_eq!(rendered(&json, true), want_ended, "{json}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_bytes_not_of_base64() {
        for (characters, want) in [(0, "0 B"), (4, "3 B"), (2_000, "1.5 KiB"), (2_800_000, "2.0 MiB")] {
            assert_eq!(decoded_size(&"A".repeat(characters)), want);
        }
    }

    #[test]
    fn one_line_takes_the_first_sentence_and_nothing_that_steers() {
        for (text, width, want) in [
            ("Reads a file. Then more.", 80, "Reads a file."),
            ("Reads  a\n file", 80, "Reads a file"),
            ("e.g. this one", 80, "e.g. this one"),
            ("red \x1b[31malert\x07", 80, "red \\u{1b}[31malert\\u{7}"),
            ("one two three", 9, "one tw..."),
            ("one two three", 10, "one two..."),
            ("abcdefghijkl", 8, "abcde..."),
            ("", 8, ""),
        ] {
            assert_eq!(one_line(text, width), want, "{text:?}");
        }
    }

    #[test]
    fn progress_is_a_share_where_the_end_is_known() {
        let line = |progress: f64, total: Option<f64>, message: Option<&str>| {
            progress_line(&Progress { progress, total, message: message.map(str::to_owned) }, 80)
        };
        assert_eq!(line(3.0, Some(10.0), Some("reading")), "30 % reading");
        assert_eq!(line(3.0, None, Some("reading")), "3 reading");
        assert_eq!(line(30.0, Some(10.0), None), "100 %");
        assert_eq!(line(1.0, Some(0.0), None), "1");
    }
}
