//! The live page of a server: one HTML page that draws the reports that it is sent.
//!
//! It loads nothing from elsewhere. Invariants: no text of a server is in it, and its script writes such text through
//! `textContent` alone; a browser that obeys the policy runs this script and no other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const BODY: &str = include_str!("live/live.html");
const STYLE: &str = include_str!("live/live.css");
const SCRIPT: &str = include_str!("live/live.js");

/// The page, and the policy that it is to be sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePage {
    /// The page.
    pub html: String,
    /// The value of the header `Content-Security-Policy`.
    pub policy: String,
}

impl LivePage {
    /// Makes the page. It reads reports as server-sent events from `/events` of its own server.
    pub fn new() -> Self {
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>mcpool</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n{BODY}<script>{SCRIPT}</script>\n</body>\n</html>\n"
        );
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            digest(SCRIPT),
            digest(STYLE)
        );
        Self { html, policy }
    }
}

impl Default for LivePage {
    fn default() -> Self {
        Self::new()
    }
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_and_makes_no_markup_of_text() {
        let LivePage { html, policy } = LivePage::new();
        for refused in ["http://", "https://", " on", "style=", "src="] {
            let found = html.replace("http://www.w3.org/2000/svg", "");
            let body = if refused == " on" || refused == "style=" { BODY } else { &found };
            assert!(!body.contains(refused), "{refused}");
        }
        for refused in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
        {
            assert!(!SCRIPT.contains(refused), "{refused}");
        }
        assert!(!SCRIPT.contains("</script") && !STYLE.contains("</style"));
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"));
    }
}
