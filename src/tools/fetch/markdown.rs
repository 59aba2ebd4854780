//! The main part of an HTML page as Markdown: found as browsers find it for their reader's view, by a port of the same
//! library that the reference server uses.

use super::error::PageError;
use super::job::Job;
use super::tree::{self, NoTree};
use dom_smoothie::{Config, Readability, TextMode};

/// What the answer has in the place of a page without a main part.
const FAILED: &str = "<error>Page failed to be simplified from HTML</error>";
/// What it has in the place of a page that is too large for that.
const TOO_LARGE: &str = "<error>Page failed to be simplified from HTML: it is too large or too deeply nested. Call the fetch tool \
                         with raw set to true to get its HTML.</error>";
/// Text of a page is there as it came, in the tree, as the HTML of its main part, in which `&` has five bytes, and as
/// Markdown, in which some signs have two.
const TEXT_TIMES: usize = 10;

/// Whether `text` is a page to be simplified, by the rules of the reference.
pub(crate) fn is_html(text: &str, content_type: &str) -> bool {
    let head = text.char_indices().nth(100).map_or(text, |(at, _)| &text[..at]);
    content_type.is_empty() || content_type.contains("text/html") || head.contains("<html")
}

/// The Markdown of the main part of `html`, or in its place an error that the model reads.
///
/// # Errors
/// When there is no memory or no time left, or when nobody waits.
pub(crate) fn simplify(html: String, url: &str, job: &Job) -> Result<String, PageError> {
    let held_bytes = html.len() * TEXT_TIMES;
    job.memory.hold(held_bytes)?;
    let document = match tree::parse(&html, url, job, held_bytes) {
        Ok(document) => document,
        Err(NoTree::TooLarge) => return Ok(TOO_LARGE.to_owned()),
        Err(NoTree::Page(error)) => return Err(error),
    };
    drop(html);
    job.left(url)?;
    // What JSON in the page says about it is not part of the answer.
    let config = Config { disable_json_ld: true, text_mode: TextMode::Markdown, ..Config::default() };
    let found = Readability::with_document(document, None, Some(config)).and_then(|mut page| page.parse());
    job.left(url)?;
    Ok(match found {
        Ok(article) if !article.text_content.trim().is_empty() => article.text_content.to_string(),
        Ok(_) | Err(_) => FAILED.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::CancellationToken;
    use crate::tools::fetch::job::HeldMemory;
    use mcpool_pools::MemoryBudget;

    fn simplified(html: String) -> Result<String, PageError> {
        let memory = HeldMemory::new(MemoryBudget::new(1 << 30));
        let job = Job::new(CancellationToken::after(u64::MAX), memory, 600_000, 0);
        simplify(html, "http://test/", &job)
    }

    fn page(body: &str) -> String {
        let text =
            "This sentence has commas, words, and a few more words, so that it counts as text. ".repeat(4);
        format!(
            "<html><head><title>T</title></head><body><article><p>{text}</p>{body}</article></body></html>"
        )
    }

    #[test]
    fn pages_are_told_by_their_type_or_their_start() {
        for (text, content_type, want) in [
            ("x", "text/html; charset=utf-8", true),
            ("x", "", true),
            ("x", "text/plain", false),
            ("<!doctype html><html>", "text/plain", true),
            (&format!("{}<html>", "\u{e9}".repeat(95)), "text/plain", true),
            (&format!("{}<html>", "\u{e9}".repeat(96)), "text/plain", false),
            ("<HTML>", "application/xhtml+xml", false),
        ] {
            assert_eq!(is_html(text, content_type), want, "{text:?} {content_type}");
        }
    }

    #[test]
    fn the_main_part_becomes_markdown() {
        let body = "<h1>Title</h1><nav>Menu</nav><ul><li>one</li><li>two</li></ul><pre><code>let x = 1;</code></pre>\
                    <table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>\
                    <p><a href=\"/x\">link</a> <b>bold</b></p><script>evil()</script><style>p{}</style>";
        let text = simplified(page(body)).expect("simplified");
        for want in
            ["## Title", "- one", "let x = 1;", "| a | b |", "[link](/x)", "**bold**", "This sentence"]
        {
            assert!(text.contains(want), "no {want:?} in:\n{text}");
        }
        for not in ["evil", "p{}", "<p>"] {
            assert!(!text.contains(not), "{not:?} in:\n{text}");
        }
        for empty in ["", "<html></html>", "<html><body></body></html>", "<script>x()</script>"] {
            assert_eq!(simplified(empty.to_owned()).expect("simplified"), FAILED, "{empty}");
        }
    }

    /// Each would overflow the stack, take minutes or gigabytes, or end the process, if nothing bounded it.
    #[test]
    fn hostile_pages_come_to_an_end() {
        let (very_many, many) = (100_000, 5_000);
        let numbered =
            |tag: &str, count| (0..count).map(|n| format!("<{tag} x={n}>")).collect::<Vec<_>>().concat();
        let attributes = (0..5_000).map(|n| format!("a{n} ")).collect::<Vec<_>>().concat();
        for (what, html) in [
            ("deep", page(&format!("{}x", "<div>".repeat(very_many)))),
            ("deep and closed", page(&format!("{}x{}", "<div>".repeat(many), "</div>".repeat(many)))),
            ("deep formats", page(&format!("{}x{}", numbered("font", many), "<p>y".repeat(500)))),
            ("misnested", page(&"<b><div></b>x".repeat(many / 5))),
            ("formats in blocks", page(&"<div><i><b><u></div>x".repeat(many / 5))),
            ("deep quotes", page(&format!("{}x", "<blockquote><p>".repeat(many)))),
            ("deep lists", page(&format!("{}x", "<ul><li>".repeat(many)))),
            ("deep tables", page(&format!("{}x", "<table><tr><td>".repeat(many)))),
            ("deep svg", page(&format!("<svg>{}x", "<g>".repeat(very_many)))),
            ("many attributes", page(&format!("<p {attributes}>x"))),
            ("long attribute", page(&format!("<p title='{}'>x", "y".repeat(1 << 20)))),
            ("many breaks", page(&"<br>".repeat(many))),
            ("many breaks and texts", page(&"x<br><br>".repeat(many))),
            ("many links", page(&"<a href=x>y</a>".repeat(many))),
            ("entities", page(&"&amp;&#x10ffff;&notin;&#0;&#xd800;".repeat(many))),
            ("nulls", page(&"\0".repeat(very_many))),
            ("open comment", page(&"<!-- ".repeat(many))),
            ("open tag", page(&format!("<p {}", "x='".repeat(many)))),
            ("many headings", page(&"<h1>T</h1>".repeat(many))),
            ("many cells", page(&format!("<table><tr>{}", "<td>x".repeat(many)))),
            ("many rows", page(&format!("<table>{}", "<tr><td>x".repeat(many)))),
            ("tables without end", page(&"<table>x".repeat(many))),
            ("templates", page(&"<template>x".repeat(many))),
            ("frames", "<frameset>".repeat(many)),
            ("selects", page(&"<select><option>x".repeat(many))),
            ("forms", page(&"<form><input>".repeat(many))),
            ("math", page(&"<math><mi><annotation-xml><svg><foreignObject>".repeat(many / 10))),
            ("two bodies", page(&"</body><body a=1></html><html>x".repeat(many / 5))),
            ("plaintext", page("<plaintext></plaintext></article>")),
        ] {
            let bytes = html.len();
            let text = simplified(html).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(
                !text.is_empty() && text.len() < 16 * bytes + (1 << 20),
                "{what}: {} of {bytes}",
                text.len()
            );
        }
    }

    /// What the library behind it would take a minute for.
    #[test]
    fn text_that_is_dear_to_escape_is_not_simplified() {
        for html in [page(&"&amp;".repeat(300_000)), page(&"\u{ab}".repeat(300_000))] {
            assert_eq!(simplified(html).expect("refused"), TOO_LARGE);
        }
        let attribute = page(&format!("<p title='{}'>x", "&".repeat(300_000)));
        assert_eq!(simplified(attribute).expect("refused"), TOO_LARGE);
    }

    /// The library looks at a text once for each element that it is in, and cannot be stopped.
    #[test]
    fn pages_whose_main_part_is_dear_to_find_are_not_searched() {
        let deep = |inner: &str| page(&format!("{}{inner}", "<div>".repeat(150)));
        for (what, html) in [
            ("commas", deep(&",".repeat(2 << 20))),
            ("words", deep(&"a ".repeat(1 << 20))),
            ("lines", deep(&"a\n".repeat(1 << 20))),
            ("paragraphs", deep(&format!("<p>{}</p>", "word, ".repeat(200)).repeat(2_000))),
            ("nodes", deep(&"<i></i>".repeat(90_000))),
        ] {
            assert_eq!(simplified(html).expect("refused"), TOO_LARGE, "{what}");
        }
        // A long page of usual depth is not dear.
        let sections = format!("<section><h2>Title</h2><p>{}</p></section>", "word, ".repeat(200));
        let text = simplified(page(&sections.repeat(500))).expect("simplified");
        assert!(text.len() > 500_000, "{}", text.len());
    }

    #[test]
    fn a_page_needs_memory_for_its_tree() {
        let html = page(&"<p>x".repeat(20_000));
        let budget = MemoryBudget::new(2 << 20);
        let job = Job::new(CancellationToken::after(u64::MAX), HeldMemory::new(budget), 600_000, 0);
        let refused = simplify(html.clone(), "http://test/", &job);
        assert!(matches!(refused, Err(PageError::TooLarge { .. })), "{refused:?}");
        let memory = HeldMemory::new(MemoryBudget::new(1 << 30));
        let job = Job::new(CancellationToken::after(2), memory, 600_000, 0);
        let cancelled = simplify(html, "http://test/", &job);
        assert!(matches!(cancelled, Err(PageError::Cancelled(_))), "{cancelled:?}");
    }
}
