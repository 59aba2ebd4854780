//! What a server says of a request that it refuses, as its client is told.

use crate::visible;
use serde::Deserialize;

/// Characters of the longest text that is passed on.
const MAX_CHARS: usize = 500;
/// The code of an error that the shim words itself.
const INTERNAL_ERROR: i64 = -32603;

/// A request that was refused over HTTP, without an answer that has its id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    code: i64,
    /// What the server said, if a person can read it.
    words: Option<String>,
}

/// The bodies that servers and proxies send: an error of JSON-RPC, one of OAuth, or another object.
#[derive(Deserialize)]
struct Body {
    error: Option<Error>,
    error_description: Option<String>,
    message: Option<String>,
    detail: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Error {
    Message { code: i64, message: String },
    Word(String),
}

impl Refusal {
    /// Reads the body of an answer.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let (code, words) = match serde_json::from_str::<Body>(&text) {
            Ok(Body { error: Some(Error::Message { code, message }), .. }) => (code, Some(message)),
            Ok(Body { error, error_description, message, detail }) => {
                let word = error.and_then(|error| match error {
                    Error::Word(word) => Some(word),
                    Error::Message { .. } => None,
                });
                (INTERNAL_ERROR, error_description.or(message).or(detail).or(word))
            }
            // A page is not for people who read one line.
            Err(_) if text.trim_start().starts_with('<') => (INTERNAL_ERROR, None),
            Err(_) => (INTERNAL_ERROR, Some(text.into_owned())),
        };
        let words = words.map(|words| one_line(&words)).filter(|words| !words.is_empty());
        Self { status, code, words }
    }

    /// In one sentence, with what to do where that is known.
    pub(super) fn sentence(&self, url: &str) -> String {
        let status = self.status;
        let name = match status {
            400 => " Bad Request",
            401 => " Unauthorized",
            403 => " Forbidden",
            404 => " Not Found",
            429 => " Too Many Requests",
            500 => " Internal Server Error",
            502 => " Bad Gateway",
            503 => " Service Unavailable",
            _ => "",
        };
        let words = self.words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        let remedy = match status {
            300..=399 => "; the shim follows no redirection: give the URL that it leads to",
            401 => {
                "; the shim sends the token of --token-file FILE, or a header as in --header 'Authorization: \
                 Bearer TOKEN'"
            }
            404 if self.words.is_none() => "; is the path of the URL that of the server's MCP endpoint?",
            _ => "",
        };
        format!("the server at {url} answered {status}{name}{words}{remedy}")
    }

    /// The answer to the request with that id.
    pub(super) fn answer(&self, id: &str, url: &str) -> Vec<u8> {
        let Self { status, code, .. } = self;
        let message = serde_json::Value::from(self.sentence(url));
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message},"data":{{"reason":"refused","status":{status}}}}}}}"#
        )
        .into_bytes()
    }
}

/// Words with a space between each two, and nothing that would steer a terminal.
fn one_line(text: &str) -> String {
    let line = visible::line(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_server_are_found_in_whatever_it_sends() {
        for (body, code, want) in [
            (
                r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"no such session"}}"#,
                -32600,
                "no such session",
            ),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"a\nb"}}"#, -1, "a b"),
            (
                r#"{"error":"invalid_token","error_description":"it has expired"}"#,
                INTERNAL_ERROR,
                "it has expired",
            ),
            (r#"{"error":"invalid_token"}"#, INTERNAL_ERROR, "invalid_token"),
            (r#"{"detail":"Not \"here\""}"#, INTERNAL_ERROR, "Not \"here\""),
            (r#"{"message":"who are you?"}"#, INTERNAL_ERROR, "who are you?"),
            ("404 page not found\n", INTERNAL_ERROR, "404 page not found"),
            ("red \u{1b}[31malert", INTERNAL_ERROR, "red \\u{1b}[31malert"),
            ("<html><body>nginx</body></html>", INTERNAL_ERROR, ""),
            ("", INTERNAL_ERROR, ""),
            ("{}", INTERNAL_ERROR, ""),
        ] {
            let words = (!want.is_empty()).then(|| want.to_owned());
            assert_eq!(Refusal::read(404, body.as_bytes()), Refusal { status: 404, code, words }, "{body}");
        }
        let long = "é".repeat(MAX_CHARS + 1);
        let words = Refusal::read(500, long.as_bytes()).words.expect("text");
        assert_eq!(words.chars().count(), MAX_CHARS + 3);
    }

    #[test]
    fn a_client_is_told_in_a_message_what_happened_and_what_to_do() {
        let answer = Refusal::read(401, b"").answer("\"a\"", "http://h/mcp");
        let value: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!((value["id"].as_str(), value["error"]["data"]["status"].as_u64()), (Some("a"), Some(401)));
        let message = value["error"]["message"].as_str().expect("text");
        assert!(message.starts_with("the server at http://h/mcp answered 401 Unauthorized; "), "{message}");
        assert!(message.contains("--token-file FILE"), "{message}");
        let sentence = |status, body: &str| Refusal::read(status, body.as_bytes()).sentence("u");
        assert_eq!(sentence(503, "full"), "the server at u answered 503 Service Unavailable: full");
        assert!(sentence(404, "").ends_with("endpoint?") && sentence(301, "").contains("redirection"));
    }
}
