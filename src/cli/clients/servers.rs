//! The servers that a client's file names, read from any client's form of them.
//!
//! The one reader of such files: `mcpool load --mcp-json` and the commands that write them share it. Comments and trailing
//! commas are read over, as most clients do.

use super::fault::Fault;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Format {
    /// JSON, perhaps with comments and trailing commas.
    Json,
    /// TOML.
    Toml,
}

impl Format {
    /// That of a file, by the ending of its name.
    pub(in crate::cli) fn of(path: &Path) -> Self {
        let is_toml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        if is_toml { Self::Toml } else { Self::Json }
    }
}

/// The keys under which clients have their servers.
const KEYS: [&str; 5] = ["mcpServers", "servers", "context_servers", "mcp_servers", "mcp"];

/// How one server is started or reached, in whichever way its client writes that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(in crate::cli) struct ServerEntry {
    #[serde(default)]
    command: Option<Words>,
    #[serde(default)]
    args: Vec<String>,
    /// Variables for its environment.
    #[serde(default, alias = "environment")]
    pub(in crate::cli) env: BTreeMap<String, String>,
    /// Where it is, if it is not started.
    #[serde(default, alias = "httpUrl", alias = "serverUrl")]
    pub(in crate::cli) url: Option<String>,
    /// What is sent with each request to it.
    #[serde(default, alias = "http_headers")]
    pub(in crate::cli) headers: BTreeMap<String, String>,
}

/// A program, or a program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl ServerEntry {
    /// Reads one entry.
    ///
    /// # Errors
    /// When its members are of other kinds.
    pub(super) fn read(name: &str, value: &Value) -> Result<Self, Fault> {
        Self::deserialize(value)
            .map_err(|error| Fault::Entry { name: name.to_owned(), what: error.to_string() })
    }

    /// The program and its arguments; none if the server is not started.
    pub(in crate::cli) fn command(&self) -> Vec<&str> {
        let words: Vec<&str> = match &self.command {
            None => return Vec::new(),
            Some(Words::One(program)) => vec![program],
            Some(Words::Many(words)) => words.iter().map(String::as_str).collect(),
        };
        words.into_iter().chain(self.args.iter().map(String::as_str)).collect()
    }
}

/// How JSON is read: as clients that allow comments read it, and not more loosely.
pub(super) fn json_options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_extended_string_escapes: false,
        allow_non_finite_numbers: false,
    }
}

/// Reads a text as data. An empty one is an empty object.
///
/// # Errors
/// [`Fault::Syntax`], and [`Fault::NoObject`].
pub(super) fn parse(format: Format, text: &str) -> Result<Value, Fault> {
    let value = match format {
        Format::Json => {
            let parsed = jsonc_parser::parse_to_serde_value::<Option<Value>>(text, &json_options());
            let parsed = parsed.map_err(|error| {
                Fault::at(text, Some(error.range().start..error.range().end), &error.kind().to_string())
            })?;
            match parsed {
                Some(value) => value,
                None if has_value(text) => return Err(Fault::NoObject),
                None => Value::Object(Map::new()),
            }
        }
        Format::Toml => {
            toml::from_str(text).map_err(|error| Fault::at(text, error.span(), error.message()))?
        }
    };
    if value.is_object() { Ok(value) } else { Err(Fault::NoObject) }
}

/// Whether a text has more than comments in it.
fn has_value(text: &str) -> bool {
    parse_to_ast(text, &CollectOptions::default(), &json_options()).is_ok_and(|parsed| parsed.value.is_some())
}

/// The text of a file without the mark that some editors put before it.
///
/// # Errors
/// [`Fault::Encoding`].
pub(super) fn text(bytes: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Encoding)?;
    Ok(text.strip_prefix(MARK).unwrap_or(text))
}

/// The byte order mark.
pub(super) const MARK: char = '\u{feff}';

/// The entries under a key; none if it is not there.
///
/// # Errors
/// [`Fault::NoTable`].
pub(super) fn entries<'v>(value: &'v Value, key: &str) -> Result<Option<&'v Map<String, Value>>, Fault> {
    match value.get(key) {
        None => Ok(None),
        Some(Value::Object(entries)) => Ok(Some(entries)),
        Some(_) => Err(Fault::NoTable { key: key.to_owned() }),
    }
}

/// The servers of a file of any client, by name.
///
/// # Errors
/// When it cannot be read, or has none of the keys that clients use.
pub(in crate::cli) fn read_any(path: &Path, text_of_file: &str) -> Result<BTreeMap<String, Value>, String> {
    let fault = |fault: Fault| fault.to_string();
    let value = parse(Format::of(path), text(text_of_file.as_bytes()).map_err(fault)?).map_err(fault)?;
    let found = KEYS.iter().find_map(|key| value.get(key)?.as_object());
    let found = found.ok_or_else(|| format!("it names no servers (under {})", KEYS.join(", ")))?;
    Ok(found.iter().map(|(name, entry)| (name.clone(), entry.clone())).collect())
}

/// One of those servers.
///
/// # Errors
/// When its members are of other kinds.
pub(in crate::cli) fn read_entry(name: &str, value: &Value) -> Result<ServerEntry, String> {
    ServerEntry::read(name, value).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_the_files_of_all_clients() {
        let started = ["a", "b c"];
        for (name, text) in [
            ("x.json", r#"{"mcpServers": {"n": {"command": "a", "args": ["b c"]}}}"#),
            (
                "x.json",
                "{\"servers\": { // ours\n\"n\": {\"type\": \"stdio\", \"command\": \"a\", \"args\": [\"b c\",],},},}",
            ),
            (
                "x.json",
                r#"{"context_servers": {"n": {"source": "custom", "command": "a", "args": ["b c"]}}}"#,
            ),
            ("x.jsonc", "\u{feff}{\"mcp\": {\"n\": {\"type\": \"local\", \"command\": [\"a\", \"b c\"]}}}"),
            ("x.toml", "[mcp_servers.n]\ncommand = 'a'\nargs = ['b c']\n"),
        ] {
            let servers = read_any(Path::new(name), text).expect(text);
            let entry = read_entry("n", &servers["n"]).expect(text);
            assert_eq!(entry.command(), started, "{text}");
        }
        for text in [r#"{"url": "u"}"#, r#"{"httpUrl": "u"}"#, r#"{"serverUrl": "u"}"#] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            let entry = read_entry("n", &value).expect(text);
            assert_eq!((entry.url.as_deref(), entry.command().len()), (Some("u"), 0), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (name, text, want) in [
            ("x.json", "{\n  \"a\": 1,\n  b: 2\n}", "line 3, column 3: "),
            ("x.json", "[]", "it is JSON, but no object"),
            ("x.json", "{}", "it names no servers (under mcpServers, servers,"),
            ("x.toml", "a = 1\nb = \n", "line 2, column "),
        ] {
            let message = read_any(Path::new(name), text).expect_err(text);
            assert!(message.starts_with(want), "{message}");
        }
        let message = read_entry("n", &serde_json::json!({"command": 1})).expect_err("no text");
        assert!(message.starts_with("the server \"n\": "), "{message}");
        assert_eq!(text(b"\xff{}"), Err(Fault::Encoding));
    }
}
