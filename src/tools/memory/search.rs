//! Finds entities by a part of their texts, in any case, and the relations that belong to entities.
//!
//! A line that is plain is looked through as it stands, at the speed of memory: what occurs nowhere in it is in none of
//! its texts. The other lines are decoded and lowered, each text by itself.

use super::graph::{Graph, LineIndex};
use super::json_text::Text;
use super::line::Entity;
use bumpalo::Bump;
use bumpalo::collections::{String as ArenaString, Vec as ArenaVec};
use std::fmt;

/// Letters and signs of JSON and of English, from the most frequent one on.
const FREQUENT: &[u8] = b"e\"taoinsrhldc, mupf:gywbvkxjqz";

/// What is searched for.
pub(crate) struct Needle<'a> {
    /// In lower case.
    text: ArenaString<'a>,
    /// The place of the byte in it that is seldom in a text.
    rare_at: usize,
    scratch: ArenaString<'a>,
}

impl<'a> Needle<'a> {
    pub(crate) fn new(query: &str, arena: &'a Bump) -> Self {
        let mut text = ArenaString::with_capacity_in(query.len(), arena);
        push_lower(query, &mut text);
        let rank = |byte: &u8| FREQUENT.iter().position(|other| other == byte).unwrap_or(FREQUENT.len());
        let rare_at = text.bytes().enumerate().max_by_key(|(_, byte)| rank(byte)).map_or(0, |(at, _)| at);
        Self { text, rare_at, scratch: ArenaString::new_in(arena) }
    }

    /// Whether it occurs in a text of an entity.
    pub(crate) fn is_in(&mut self, graph: &Graph, at: LineIndex) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let is_plain = graph.is_plain(at);
        if is_plain && !self.is_in_plain(graph.line(at)) {
            return false;
        }
        let Some(entity) = graph.item(at).entity() else { return false };
        let Entity { name, kind, observations } = entity;
        let mut texts = [name, kind].into_iter().chain(observations.iter());
        texts.any(|text| match text {
            Text::Escaped(inside) if is_plain => self.is_in_plain(inside),
            text => self.is_in_any(text),
        })
    }

    /// Whether it occurs in a text of ASCII.
    fn is_in_plain(&self, text: &str) -> bool {
        let (needle, text) = (self.text.as_bytes(), text.as_bytes());
        let rare = needle[self.rare_at];
        let is_here = |at: usize| {
            let start = at.checked_sub(self.rare_at)?;
            text.get(start..start + needle.len()).map(|part| part.eq_ignore_ascii_case(needle))
        };
        memchr::memchr2_iter(rare, rare.to_ascii_uppercase(), text).any(|at| is_here(at) == Some(true))
    }

    fn is_in_any(&mut self, text: Text<'_>) -> bool {
        self.scratch.clear();
        match text {
            Text::Plain(text) => push_lower(text, &mut self.scratch),
            Text::Escaped(text) if !text.contains('\\') => push_lower(text, &mut self.scratch),
            Text::Escaped(_) => text.push_to(&mut Lowered(&mut self.scratch)),
        }
        memchr::memmem::find(self.scratch.as_bytes(), self.text.as_bytes()).is_some()
    }
}

/// Lowers what is written to it.
struct Lowered<'t, 'a>(&'t mut ArenaString<'a>);

impl fmt::Write for Lowered<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_lower(text, self.0);
        Ok(())
    }
}

/// Appends a text in lower case.
fn push_lower(text: &str, target: &mut ArenaString<'_>) {
    // Only what stands around this letter tells which of two it becomes.
    if text.contains('Σ') {
        return target.push_str(&text.to_lowercase());
    }
    for character in text.chars() {
        match character {
            '\0'..='\x7f' => target.push(character.to_ascii_lowercase()),
            // Most of what people write in scripts without cases.
            '\u{2e80}'..='\u{a63f}' | '\u{ac00}'..='\u{fefe}' => target.push(character),
            _ => target.extend(character.to_lowercase()),
        }
    }
}

/// Entities that were found, and which relations belong to them.
pub(crate) struct Found<'a> {
    /// In the order of the file.
    pub(crate) entities: ArenaVec<'a, LineIndex>,
    pub(crate) relations: ArenaVec<'a, LineIndex>,
}

impl<'a> Found<'a> {
    /// The relations from or to one of the entities are found too. `entities` are in order.
    pub(crate) fn new(graph: &Graph, entities: ArenaVec<'a, LineIndex>, arena: &'a Bump) -> Self {
        let mut by_hash = ArenaVec::with_capacity_in(entities.len(), arena);
        by_hash.extend(entities.iter().map(|at| (graph.ends(*at)[0], *at)));
        by_hash.sort_unstable();
        let mut relations = ArenaVec::new_in(arena);
        relations.extend(graph.relations().filter(|at| touches(graph, *at, &by_hash)));
        Self { entities, relations }
    }
}

/// Whether a relation begins or ends at one of the entities, which are sorted by their hashes.
fn touches(graph: &Graph, at: LineIndex, by_hash: &[(u32, LineIndex)]) -> bool {
    let candidates = |hash: u32| {
        let start = by_hash.partition_point(|(other, _)| *other < hash);
        by_hash[start..].iter().take_while(move |(other, _)| *other == hash).map(|(_, entity)| *entity)
    };
    let [from, to] = graph.ends(at);
    if candidates(from).next().is_none() && candidates(to).next().is_none() {
        return false;
    }
    let Some(relation) = graph.item(at).relation() else { return false };
    let is_end = |end: Text<'_>, hash: u32| {
        candidates(hash).any(|entity| {
            let name = graph.item(entity).entity().map(|entity| entity.name);
            name.is_some_and(|name| name.is_same(end))
        })
    };
    is_end(relation.from, from) || is_end(relation.to, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_as_it_is_has_no_lower_case() {
        let arena = Bump::new();
        let mut lower = ArenaString::new_in(&arena);
        for character in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            lower.clear();
            push_lower(character.encode_utf8(&mut [0; 4]), &mut lower);
            assert_eq!(lower.as_str(), character.to_string().to_lowercase(), "{character:?}");
        }
    }

    #[test]
    fn a_needle_is_found_in_any_case_and_however_it_is_written() {
        let arena = Bump::new();
        let lines = concat!(
            r#"{"type":"entity","name":"Plain","entityType":"kind","observations":["One two"]}"#,
            "\n",
            r#"{"type":"entity","name":"\u00c9t\u00e9","entityType":"\u212a","observations":["a\"B", "ΑΣ"]}"#,
        );
        let graph = Graph::read(lines.to_owned()).expect("lines");
        let found = |query: &str| {
            let mut needle = Needle::new(query, &arena);
            graph.lines().filter(|at| needle.is_in(&graph, *at)).collect::<Vec<_>>()
        };
        assert_eq!(found(""), [0, 1]);
        assert_eq!(found("E TW"), [0]);
        assert_eq!(found("k"), [0, 1], "the Kelvin sign is a k");
        assert_eq!(found("éT"), [1]);
        assert_eq!(found("a\"b"), [1]);
        assert_eq!(found("ας"), [1]);
        for of_none in ["entity", "observations", "u00", "One two\"", "three"] {
            assert_eq!(found(of_none), [0; 0], "{of_none}");
        }
    }
}
