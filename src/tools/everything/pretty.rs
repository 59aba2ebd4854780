//! JSON with an indent of two, with the members in their order.

use std::fmt::{self, Write as _};

/// JSON text that is shown indented, as JavaScript does it. It is valid.
pub(super) struct Pretty<'a>(pub(super) &'a str);

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut depth = 0_usize;
        let (mut is_in_string, mut is_escaped) = (false, false);
        let mut tokens = self.0.chars().peekable();
        while let Some(token) = tokens.next() {
            if is_in_string {
                f.write_char(token)?;
                is_in_string = is_escaped || token != '"';
                is_escaped = !is_escaped && token == '\\';
                continue;
            }
            match token {
                ' ' | '\t' | '\n' | '\r' => {}
                '{' | '[' => {
                    f.write_char(token)?;
                    while tokens.next_if(char::is_ascii_whitespace).is_some() {}
                    if let Some(end) = tokens.next_if(|next| matches!(next, '}' | ']')) {
                        f.write_char(end)?;
                    } else {
                        depth += 1;
                        line(f, depth)?;
                    }
                }
                '}' | ']' => {
                    depth = depth.saturating_sub(1);
                    line(f, depth)?;
                    f.write_char(token)?;
                }
                ',' => {
                    f.write_char(token)?;
                    line(f, depth)?;
                }
                ':' => f.write_str(": ")?,
                _ => {
                    is_in_string = token == '"';
                    f.write_char(token)?;
                }
            }
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
    f.write_char('\n')?;
    (0..depth).try_for_each(|_| f.write_str("  "))
}

#[cfg(test)]
mod tests {
    use super::Pretty;

    #[test]
    fn text_is_indented_and_stays_the_same() {
        let text = r#"{ "b" :[1,{"x":[ ],"y":{}}, "a\"{[,:\\" ],"a":null}"#;
        let want = "{\n  \"b\": [\n    1,\n    {\n      \"x\": [],\n      \"y\": {}\n    },\n    \"a\\\"{[,:\\\\\"\n  ],\n  \"a\": null\n}";
        assert_eq!(Pretty(text).to_string(), want);
        assert_eq!(Pretty("\"x\"").to_string(), "\"x\"");
    }
}
