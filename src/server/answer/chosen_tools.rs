//! The list of tools of a server some of whose tools are shown only to clients that can be asked for something.
//!
//! Its entries are kept one by one, and a page is written from them for each client. A list that is the same for all clients
//! is kept in whole pages instead ([`catalog`](super::catalog)).

use super::page_cursor::PageCursor;
use crate::protocol::{ClientCapabilities, Era, ToolDefinition};
use crate::wire::{Raw, Reply};
use std::hash::{DefaultHasher, Hash, Hasher};

/// All tools of such a server.
#[derive(Debug)]
pub(super) struct ChosenTools {
    entries: Box<[Entry]>,
    /// Entries of a page, those included that a client does not see: so a cursor means the same to all of them.
    page_entries: usize,
    version: u32,
    /// The members of modern pages about caching.
    caching: Box<str>,
}

#[derive(Debug)]
struct Entry {
    needs: ClientCapabilities,
    modern: Box<str>,
    legacy: Box<str>,
}

/// One page of it, as one client sees it.
pub(crate) struct ChosenPage<'c> {
    entries: &'c [Entry],
    era: Era,
    client: ClientCapabilities,
    next: Option<PageCursor>,
    caching: &'c str,
}

impl ChosenTools {
    pub(super) fn new<'a>(
        tools: impl Iterator<Item = &'a ToolDefinition>,
        page_entries: usize,
        caching: String,
    ) -> Result<Self, serde_json::Error> {
        let mut hasher = DefaultHasher::new();
        let mut entries = Vec::new();
        for tool in tools {
            let written = |era| serde_json::to_string(&tool.in_era(era)).map(String::into_boxed_str);
            let (modern, legacy) = (written(Era::Modern)?, written(Era::Legacy)?);
            modern.hash(&mut hasher);
            entries.push(Entry { needs: tool.needs(), modern, legacy });
        }
        let version = hasher.finish() as u32;
        Ok(Self { entries: entries.into(), page_entries, version, caching: caching.into() })
    }

    /// Heap bytes of the entries.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.entries.iter().map(|entry| entry.modern.len() + entry.legacy.len());
        texts.sum::<usize>() + size_of_val(&*self.entries) + self.caching.len()
    }

    /// A page for `client`: the first, or the one that a cursor names. `None` if this list did not give it out.
    pub(super) fn page(
        &self,
        era: Era,
        client: ClientCapabilities,
        cursor: Option<&str>,
    ) -> Option<ChosenPage<'_>> {
        let page = PageCursor::read(cursor, self.version)?;
        let from = page.checked_mul(self.page_entries)?;
        let rest = self.entries.get(from..).filter(|rest| page == 0 || !rest.is_empty())?;
        let entries = &rest[..rest.len().min(self.page_entries)];
        let next = PageCursor { version: self.version, page: page as u32 + 1 };
        let next = (entries.len() < rest.len()).then_some(next);
        Some(ChosenPage { entries, era, client, next, caching: &self.caching })
    }
}

impl ChosenPage<'_> {
    /// Writes the members of the result.
    pub(crate) fn write(&self, reply: &mut Reply) {
        reply.token(r#""tools":["#);
        let mut separator = "";
        for entry in self.entries.iter().filter(|entry| self.client.includes(entry.needs)) {
            reply.token(std::mem::replace(&mut separator, ","));
            reply.raw(Raw::trusted(match self.era {
                Era::Modern => &entry.modern,
                Era::Legacy => &entry.legacy,
            }));
        }
        reply.token("]");
        if let Some(next) = self.next {
            reply.token(r#","nextCursor":"#);
            reply.string(next.write(&mut [0; PageCursor::LENGTH]));
        }
        if self.era == Era::Modern {
            reply.token(",");
            reply.raw(Raw::trusted(self.caching));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Capability;
    use crate::wire::Lexer;
    use bumpalo::Bump;
    use mcpool_pools::BufferPool;
    use serde_json::Value;

    const CACHING: &str = r#""ttlMs":1,"cacheScope":"private""#;

    fn tools() -> Vec<ToolDefinition> {
        use Capability::{Elicitation, Roots, Sampling};
        let tool = |name: &'static str| ToolDefinition::new(name, "d");
        vec![
            tool("all"),
            tool("roots").shown_if(&[Roots]),
            tool("both").shown_if(&[Sampling, Elicitation]),
            tool("sampling").shown_if(&[Sampling]),
            tool("last"),
        ]
    }

    fn shown(list: &ChosenTools, era: Era, declared: &str) -> (Vec<String>, usize) {
        let arena = Bump::new();
        let declared = Lexer::from_text(declared).raw().expect("JSON");
        let client = ClientCapabilities::decode(declared, &arena);
        let (mut names, mut pages, mut cursor) = (Vec::new(), 0, None::<String>);
        loop {
            let page = list.page(era, client, cursor.as_deref()).expect("a page");
            let mut reply = Reply::new(BufferPool::default(), 1 << 20);
            reply.token("{");
            page.write(&mut reply);
            reply.token("}");
            let page: Value = serde_json::from_slice(&reply.finish().expect("room")).expect("JSON");
            assert_eq!(page["cacheScope"].is_string(), era == Era::Modern, "{page}");
            let tools = page["tools"].as_array().expect("tools");
            names.extend(tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)));
            pages += 1;
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return (names, pages);
            }
        }
    }

    #[test]
    fn a_client_sees_what_it_can_be_asked_for_on_pages_of_any_size() {
        for page_entries in [1, 2, 3, 5, 100] {
            let list = ChosenTools::new(tools().iter(), page_entries, CACHING.to_owned()).expect("a list");
            for era in [Era::Modern, Era::Legacy] {
                for (declared, want) in [
                    ("{}", &["all", "last"][..]),
                    (r#"{"roots":{}}"#, &["all", "roots", "last"]),
                    (r#"{"elicitation":{}}"#, &["all", "last"]),
                    (r#"{"sampling":{}}"#, &["all", "sampling", "last"]),
                    (r#"{"sampling":{},"elicitation":{}}"#, &["all", "both", "sampling", "last"]),
                ] {
                    let (names, pages) = shown(&list, era, declared);
                    assert_eq!(names, want, "{declared}");
                    assert_eq!(pages, 5_usize.div_ceil(page_entries));
                }
            }
        }
    }

    #[test]
    fn cursors_that_were_not_given_out_are_refused() {
        let list = ChosenTools::new(tools().iter(), 2, CACHING.to_owned()).expect("a list");
        let other = ChosenTools::new(tools()[1..].iter(), 2, CACHING.to_owned()).expect("a list");
        let cursor = |page| PageCursor { version: list.version, page }.to_string();
        let is_page = |list: &ChosenTools, cursor: &str| {
            list.page(Era::Modern, ClientCapabilities::default(), Some(cursor)).is_some()
        };
        assert!(is_page(&list, &cursor(1)) && is_page(&list, &cursor(2)));
        assert!(!is_page(&other, &cursor(1)), "of another list");
        for bad in ["", "x", &cursor(0), &cursor(3), &cursor(u32::MAX), &format!("{}A", cursor(1))] {
            assert!(!is_page(&list, bad), "{bad}");
        }
    }
}
