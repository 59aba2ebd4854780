//! Which elements of a page are open while it is read, so that none is nested deeper than the code behind it can go.
//!
//! A tag that would go deeper is left out, with its end, and what is in it stays: browsers do the same at 512. The count
//! follows the tree builder's own rules closely enough that pages are never deeper than it says: an element whose end
//! may be left out is not counted, and one that formats text stays open until its own end, as the builder opens it again
//! after each block.

use html5ever::LocalName;
use std::collections::HashMap;

/// Elements that may be open at once.
pub(crate) const MAX_OPEN: usize = 160;
/// Of these, those that indent what is in them: Markdown repeats the indent on each line.
const MAX_INDENTS: usize = 16;

/// The open elements.
#[derive(Debug, Default)]
pub(crate) struct Nesting {
    open: Vec<LocalName>,
    indents: usize,
    /// Ends that belong to tags that were left out.
    left_out: HashMap<LocalName, usize>,
}

impl Nesting {
    /// Opens an element. Gives `false` if its tag is to be left out.
    pub(crate) fn open(&mut self, name: &LocalName) -> bool {
        match &**name {
            "area" | "base" | "br" | "col" | "embed" | "hr" | "img" | "input" | "link" | "meta" | "param"
            | "source" | "track" | "wbr"
            // What is in them is text.
            | "script" | "style" | "title" | "textarea" | "xmp" | "iframe" | "noembed" | "noframes"
            | "plaintext" => return true,
            "td" | "th" | "tr" | "tbody" | "thead" | "tfoot" | "caption" | "colgroup" => {
                self.close_above("table");
                return true;
            }
            // Their ends may be left out, and those of the same kind are never in each other.
            "p" | "li" | "dt" | "dd" | "option" | "optgroup" | "rt" | "rp" | "html" | "head" | "body" => {
                return true;
            }
            // One ends the one before.
            "a" | "nobr" | "button" => self.close_one(name),
            _ => {}
        }
        let indents = usize::from(indents(name));
        if self.open.len() >= MAX_OPEN || self.indents + indents > MAX_INDENTS {
            *self.left_out.entry(name.clone()).or_default() += 1;
            return false;
        }
        self.indents += indents;
        self.open.push(name.clone());
        true
    }

    /// Closes an element. Gives `false` if its tag is to be left out.
    pub(crate) fn close(&mut self, name: &LocalName) -> bool {
        if let Some(left_out) = self.left_out.get_mut(name).filter(|left_out| **left_out > 0) {
            *left_out -= 1;
            return false;
        }
        match &**name {
            "td" | "th" | "tr" | "tbody" | "thead" | "tfoot" | "caption" => self.close_above("table"),
            _ if formats(name) => self.close_one(name),
            _ => {
                if let Some(at) = self.open.iter().rposition(|open| open == name) {
                    self.keep_formats(at);
                }
            }
        }
        true
    }

    fn close_one(&mut self, name: &LocalName) {
        if let Some(at) = self.open.iter().rposition(|open| open == name) {
            self.open.remove(at);
            self.indents -= usize::from(indents(name));
        }
    }

    /// A cell ends all that is open in the one before.
    fn close_above(&mut self, name: &str) {
        if let Some(at) = self.open.iter().rposition(|open| &**open == name) {
            self.open.truncate(at + 1);
            self.indents = self.open.iter().filter(|open| indents(open)).count();
        }
    }

    /// Closes the element at `at` and all in it but those that format text.
    fn keep_formats(&mut self, at: usize) {
        let above = self.open.split_off(at);
        self.open.extend(above.into_iter().filter(formats));
        self.indents = self.open.iter().filter(|open| indents(open)).count();
    }
}

fn indents(name: &LocalName) -> bool {
    matches!(&**name, "blockquote" | "ul" | "ol" | "dl" | "menu" | "dir" | "table" | "pre" | "listing")
}

fn formats(name: &LocalName) -> bool {
    matches!(
        &**name,
        "a" | "b"
            | "big"
            | "code"
            | "em"
            | "font"
            | "i"
            | "nobr"
            | "s"
            | "small"
            | "strike"
            | "strong"
            | "tt"
            | "u"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> LocalName {
        LocalName::from(text)
    }

    #[test]
    fn what_would_be_too_deep_is_left_out_with_its_end() {
        let mut nesting = Nesting::default();
        let opened = (0..1_000).filter(|_| nesting.open(&name("div"))).count();
        assert_eq!(opened, MAX_OPEN);
        let closed = (0..1_000).filter(|_| nesting.close(&name("div"))).count();
        assert_eq!((closed, nesting.open.len()), (MAX_OPEN, 0));
        let opened = (0..1_000).filter(|_| nesting.open(&name("blockquote"))).count();
        assert_eq!(opened, MAX_INDENTS);
        assert!(nesting.open(&name("div")));
    }

    #[test]
    fn ordinary_pages_lose_nothing() {
        let mut nesting = Nesting::default();
        for _ in 0..1_000 {
            for tag in [
                "p", "br", "li", "a", "img", "div", "/div", "b", "/b", "table", "tr", "td", "b", "div", "td",
                "/table",
            ] {
                let kept = match tag.strip_prefix('/') {
                    Some(tag) => nesting.close(&name(tag)),
                    None => nesting.open(&name(tag)),
                };
                assert!(kept, "{tag}");
            }
        }
        assert!(nesting.open.len() < 4, "{:?}", nesting.open);
    }

    /// The builder opens what formats text again behind the block that it stood in.
    #[test]
    fn formats_outlive_the_block_that_they_stand_in() {
        let mut nesting = Nesting::default();
        for _ in 0..10 {
            nesting.open(&name("div"));
            nesting.open(&name("font"));
            nesting.close(&name("div"));
        }
        assert_eq!(nesting.open.len(), 10);
    }
}
