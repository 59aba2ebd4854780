//! The tree of a page, built within bounds: of its depth, its size, its memory and its time.
//!
//! The tokenizer gets the page in pieces, and each token passes through here on its way to the tree builder, so that a page
//! that would grow into something else than it looks like stops in the middle.

use super::error::PageError;
use super::job::Job;
use super::nesting::{MAX_OPEN, Nesting};
use dom_query::{Document, NodeData, NodeId};
use html5ever::TokenizerResult;
use html5ever::buffer_queue::BufferQueue;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use std::cell::{Cell, RefCell};

/// Bytes of a page that are read between two looks at its bounds.
const PIECE_BYTES: usize = 8 * 1024;
/// Nodes and attributes of one page. The longest pages of Wikipedia have a third of it.
const MAX_NODES: usize = 200_000;
/// What one of them takes in the tree and in the copies of it that the search for the main part makes.
const NODE_BYTES: usize = 640;
/// Attributes of one element; more are left out.
const MAX_ATTRIBUTES: usize = 64;
/// What the texts of a page may cost to be escaped: the bytes of each, times its signs that have to be. The library looks
/// through the rest of a text for each of them; this is a second of work.
const MAX_ESCAPE_COST: u64 = 40_000_000_000;
/// A tree this much deeper than the open elements were counted is not worked on.
const MAX_DEPTH: usize = 3 * MAX_OPEN;

/// What the search for the main part may cost: for each text its bytes, and for each node [`NODE_COST`], times how deep it
/// is, as the library looks at the texts of an element's whole tree, at each depth again. It cannot be stopped, so on a page
/// that would cost more it is not begun. 70,000 nodes and a MiB of text, all ten deep, have a third of it.
const MAX_SEARCH_COST: u64 = 100_000_000;
/// What a node costs, in bytes of text.
const NODE_COST: u64 = 24;

/// Why there is no tree.
#[derive(Debug)]
pub(crate) enum NoTree {
    Page(PageError),
    /// It would be too large, too deep or too dear to be worked on.
    TooLarge,
}

impl From<PageError> for NoTree {
    fn from(error: PageError) -> Self {
        Self::Page(error)
    }
}

/// The tree of `html`, for which `held_bytes` are held already.
///
/// # Errors
/// When it would be too large, when there is no memory or no time left, or when nobody waits.
pub(crate) fn parse(html: &str, url: &str, job: &Job, held_bytes: usize) -> Result<Document, NoTree> {
    let builder_options = TreeBuilderOpts { scripting_enabled: false, ..TreeBuilderOpts::default() };
    let guard = Guard {
        builder: TreeBuilder::new(Document::default(), builder_options),
        nesting: RefCell::default(),
        attributes: Cell::new(0),
        text: Cell::default(),
        escape_cost: Cell::new(0),
    };
    let tokenizer = Tokenizer::new(guard, TokenizerOpts::default());
    let queue = BufferQueue::default();
    let mut rest = html;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES.min(rest.len())));
        rest = after;
        queue.push_back(StrTendril::from_slice(piece));
        while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
        let nodes = tokenizer.sink.nodes();
        if nodes > MAX_NODES || tokenizer.sink.escape_cost() > MAX_ESCAPE_COST {
            return Err(NoTree::TooLarge);
        }
        job.memory.hold(held_bytes + nodes * NODE_BYTES)?;
        job.left(url)?;
    }
    tokenizer.end();
    let nodes = tokenizer.sink.nodes();
    job.memory.hold(held_bytes + nodes * NODE_BYTES)?;
    let document = tokenizer.sink.builder.sink;
    document.errors.borrow_mut().clear();
    job.left(url)?;
    let Shape { depth, search_cost } = shape(&document);
    if depth > MAX_DEPTH || search_cost > MAX_SEARCH_COST { Err(NoTree::TooLarge) } else { Ok(document) }
}

/// Stands between the tokenizer and the tree builder.
struct Guard {
    builder: TreeBuilder<NodeId, Document>,
    nesting: RefCell<Nesting>,
    attributes: Cell<usize>,
    /// Of the text since the last tag.
    text: Cell<Escapes>,
    /// Of all that came before.
    escape_cost: Cell<u64>,
}

/// What has to be escaped in a text.
#[derive(Debug, Default, Clone, Copy)]
struct Escapes {
    bytes: u64,
    signs: u64,
}

impl Escapes {
    fn of(text: &str) -> Self {
        // The first byte of U+0080 to U+00BF, one of which has to be.
        let is_sign = |byte: &u8| matches!(byte, b'&' | b'<' | b'>' | b'"' | 0xc2);
        Self { bytes: text.len() as u64, signs: text.bytes().filter(|byte| is_sign(byte)).count() as u64 }
    }

    fn and(self, more: Self) -> Self {
        Self { bytes: self.bytes + more.bytes, signs: self.signs + more.signs }
    }

    fn cost(self) -> u64 {
        self.bytes.saturating_mul(self.signs)
    }
}

impl Guard {
    fn escape_cost(&self) -> u64 {
        self.escape_cost.get().saturating_add(self.text.get().cost())
    }

    /// Counts what a token adds to the cost.
    fn count_escapes(&self, token: &Token) {
        match token {
            Token::CharacterTokens(text) => self.text.set(self.text.get().and(Escapes::of(text))),
            Token::TagToken(tag) => {
                let attributes: u64 = tag.attrs.iter().map(|at| Escapes::of(&at.value).cost()).sum();
                self.escape_cost.set(self.escape_cost().saturating_add(attributes));
                self.text.set(Escapes::default());
            }
            _ => {}
        }
    }

    fn nodes(&self) -> usize {
        self.builder.sink.tree.len() + self.attributes.get()
    }

    /// Whether a tag goes on to the builder, and with which attributes.
    fn admits(&self, tag: &mut Tag) -> bool {
        match tag.kind {
            TagKind::StartTag => {
                tag.attrs.truncate(MAX_ATTRIBUTES);
                self.attributes.set(self.attributes.get() + tag.attrs.len());
                self.nesting.borrow_mut().open(&tag.name)
            }
            TagKind::EndTag => self.nesting.borrow_mut().close(&tag.name),
        }
    }
}

impl TokenSink for Guard {
    type Handle = NodeId;

    fn process_token(&self, mut token: Token, line: u64) -> TokenSinkResult<NodeId> {
        let is_admitted = match &mut token {
            Token::TagToken(tag) => self.admits(tag),
            // A page may have an error for each byte, and nobody reads either.
            Token::ParseError(_) | Token::CommentToken(_) => false,
            _ => true,
        };
        // One token may add a node for each open element, so they are counted here and not for each piece alone.
        let is_full = self.nodes() > MAX_NODES && !matches!(token, Token::EOFToken);
        if is_full || !is_admitted {
            return TokenSinkResult::Continue;
        }
        self.count_escapes(&token);
        let result = self.builder.process_token(token, line);
        self.builder.sink.errors.borrow_mut().clear();
        result
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

/// What decides whether a tree can be worked on.
struct Shape {
    depth: usize,
    search_cost: u64,
}

/// How deep the tree is and what a search in it costs, found without recursion.
fn shape(document: &Document) -> Shape {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut search_cost = 0_u64;
    let mut node = Some(document.root());
    while let Some(at) = node {
        deepest = deepest.max(depth);
        let text_bytes = at.query_or(0, |node| match &node.data {
            NodeData::Text { contents } => contents.len() as u64,
            _ => 0,
        });
        search_cost = search_cost.saturating_add((NODE_COST + text_bytes) * depth as u64);
        node = at.first_child();
        if node.is_some() {
            depth += 1;
            continue;
        }
        let mut up = Some(at);
        while let Some(at) = up {
            node = at.next_sibling();
            if node.is_some() {
                break;
            }
            up = at.parent();
            depth = depth.saturating_sub(1);
        }
    }
    Shape { depth: deepest, search_cost }
}
