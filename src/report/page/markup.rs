//! Text, tables and figures as HTML.
//!
//! Knows nothing of memory; escapes names from outside. Invariant: text never becomes markup, whether in an element, an
//! attribute or a script.

use crate::report::layout::{Align, Cell, Section, Sentence};
use crate::report::legend::meaning_of;
use crate::visible;
use std::fmt::Write;

/// Text for between tags and between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in visible::line(text).chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// A sentence, its names set apart.
pub(super) fn sentence(cells: &Sentence) -> String {
    let piece = |cell: &Cell| match cell {
        Cell::Text(_) => escape(&cell.plain()),
        Cell::Name(_) => format!("<b class=\"name\">{}</b>", escape(&cell.plain())),
    };
    cells.iter().map(piece).collect()
}

/// A part of the page that can be linked to. The title up to its first colon is the heading, the rest stands beside.
pub(super) fn part(id: &str, title: &str, body: &str) -> String {
    let (heading, rest) = title.split_once(": ").unwrap_or((title, ""));
    let rest = if rest.is_empty() { String::new() } else { format!("<p class=\"sub\">{}</p>", escape(rest)) };
    let heading = escape(heading);
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{heading}</h2>{rest}\n{body}</section>\n"
    )
}

/// The rows of a section, then its remarks. `bars`, 0 to 1 each, stand where plain text draws its own.
pub(super) fn section(section: &Section, bars: &[f64]) -> String {
    let mut html = String::new();
    if !section.rows.is_empty() {
        html.push_str(&table(section, bars));
    }
    html.push_str(&sentences(&section.notes));
    html
}

/// Remarks, a paragraph each.
pub(super) fn sentences(notes: &[Sentence]) -> String {
    let note = |note: &Sentence| format!("<p class=\"note\">{}</p>\n", sentence(note));
    notes.iter().map(note).collect()
}

/// The rows, in a frame of their own that scrolls where the screen is narrow.
pub(super) fn table(section: &Section, bars: &[f64]) -> String {
    let has_bars = !bars.is_empty();
    let shown: Vec<usize> =
        (0..section.columns.len()).filter(|at| has_bars || !section.columns[*at].is_plain_only).collect();
    let class = |at: usize| match section.columns[at].align {
        Align::Left => "",
        Align::Right => " class=\"n\"",
    };
    let title = escape(&section.title);
    let mut html = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{title}\"><table><caption>{title}</caption>\n<thead><tr>"
    );
    for &at in &shown {
        let column = &section.columns[at];
        if column.is_plain_only {
            html.push_str("<td></td>");
        } else {
            let meaning = meaning_of(column.title).map(|text| format!(" title=\"{}\"", escape(text)));
            let meaning = meaning.unwrap_or_default();
            let _ = write!(html, "<th scope=\"col\"{}{meaning}>{}</th>", class(at), escape(column.title));
        }
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (row, cells) in section.rows.iter().enumerate() {
        html.push_str("<tr>");
        for &at in &shown {
            let text = escape(&cells[at].plain());
            let cell = match at {
                0 => format!("<th scope=\"row\"{}>{text}</th>", class(0)),
                _ if section.columns[at].is_plain_only => bar(bars.get(row).copied().unwrap_or_default()),
                _ => format!("<td{}>{text}</td>", class(at)),
            };
            html.push_str(&cell);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

/// Decoration: the figure beside it says the same.
fn bar(share: f64) -> String {
    let percent = if share.is_finite() { share.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
    format!("<td class=\"bar\" aria-hidden=\"true\"><i style=\"width:{percent:.1}%\"></i></td>")
}

/// JSON in a `script` element, which no text in it can close.
pub(super) fn data(id: &str, json: &str) -> String {
    format!("<script type=\"application/json\" id=\"{id}\">{}</script>\n", json.replace('<', "\\u003c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escape("<a href=\"x\" b='y'>&\x1b\u{202e}"),
            "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\\u{1b}\\u{202e}"
        );
        assert_eq!(data("x", "\"</script><!--\"").matches('<').count(), 2);
        assert!(bar(f64::NAN).contains("width:0.0%") && bar(7.0).contains("width:100.0%"));
    }
}
