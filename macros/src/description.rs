//! Descriptions for the model, from the comments of a function.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The text of a documentation comment up to its first heading, as sections such as `# Errors` are for who reads the
/// code. Lines of a paragraph are joined. `None` where nothing is left.
pub(crate) fn of(attributes: &[Attribute]) -> Option<String> {
    let lines = attributes.iter().filter_map(documentation);
    let text: Vec<String> =
        lines.flat_map(|text| text.split('\n').map(unindented).collect::<Vec<_>>()).collect();
    let mut described = String::new();
    let mut is_code = false;
    let mut joins = false;
    for line in &text {
        if !is_code && is_heading(line) {
            break;
        }
        let is_fence = line.trim_start().starts_with("```");
        let is_plain = !is_code && !is_fence && begins_plain(line);
        if !described.is_empty() {
            described.push(if joins && is_plain { ' ' } else { '\n' });
        }
        described.push_str(if is_code { line } else { line.trim_end() });
        is_code ^= is_fence;
        joins = !is_code && !is_fence && !line.trim().is_empty();
    }
    let described = described.trim();
    (!described.is_empty()).then(|| described.to_owned())
}

/// The text of one line of documentation, or of a block of it.
fn documentation(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
    pair.path.is_ident("doc").then(|| text.value())
}

/// A line without the space behind `///`.
fn unindented(line: &str) -> String {
    line.strip_prefix(' ').unwrap_or(line).to_owned()
}

fn is_heading(line: &str) -> bool {
    let hashes = line.len() - line.trim_start_matches('#').len();
    (1..=6).contains(&hashes) && line[hashes..].starts_with(' ')
}

/// Whether a line may go on with the paragraph before it: it begins no list, table, quotation or code.
fn begins_plain(line: &str) -> bool {
    let Some(first) = line.chars().next() else { return false };
    let is_marked = first.is_whitespace() || matches!(first, '-' | '*' | '+' | '>' | '|' | '#');
    let number = line.trim_start_matches(|sign: char| sign.is_ascii_digit());
    let is_numbered = number.len() < line.len() && number.starts_with(['.', ')']);
    !is_marked && !is_numbered
}

#[cfg(test)]
mod tests {
    use super::of;
    use syn::{ItemFn, parse_str};

    fn described(comment: &str) -> Option<String> {
        let lines: Vec<String> =
            comment.lines().map(|line| format!("/// {line}").trim_end().to_owned()).collect();
        let function: ItemFn = parse_str(&format!("{}\nfn f() {{}}", lines.join("\n"))).expect("a function");
        of(&function.attrs)
    }

    #[test]
    fn paragraphs_are_joined_and_all_else_stays() {
        for (comment, want) in [
            ("Counts the words\nof a text.", "Counts the words of a text."),
            ("One.\n\nTwo\nlines.", "One.\n\nTwo lines."),
            ("Either:\n- a\n- b\n1. c", "Either:\n- a\n- b\n1. c"),
            ("As:\n```\na\nb\n```\nso.", "As:\n```\na\nb\n```\nso."),
            ("Counts.\n\n# Errors\nNever.", "Counts."),
            ("Counts.\n\n#tag", "Counts.\n\n#tag"),
            ("```\n# no heading\n```", "```\n# no heading\n```"),
        ] {
            assert_eq!(described(comment).as_deref(), Some(want), "{comment}");
        }
    }

    #[test]
    fn nothing_is_no_description() {
        assert_eq!(described(""), None);
        assert_eq!(described("# Errors\nNever."), None);
    }

    #[test]
    fn block_comments_are_read() {
        let function: ItemFn = parse_str("/** Counts\n words. */ fn f() {}").expect("a function");
        assert_eq!(of(&function.attrs).as_deref(), Some("Counts words."));
    }
}
