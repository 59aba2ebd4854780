//! Finds entities by a part of their texts, in any case, and the relations that belong to entities.
//!
//! A line that is plain is looked through as it stands, at the speed of memory: what occurs nowhere in it is in none of
//! its texts. The other lines are decoded and lowered, each text by itself.

use super::graph::{Graph, LineIndex};
use super::json_text::Text;
use super::line::Entity;
use bumpalo::Bump;
use bumpalo::collections::{String as ArenaString, Vec as ArenaVec};

/// Letters and signs of JSON and of English, from the most frequent one on.
const FREQUENT: &[u8] = b"e\"taoinsrhldc, mupf:gywbvkxjqz";

/// What is searched for.
pub(crate) struct Needle<'a> {
    lower: Lower<'a>,
    scratch: Scratch<'a>,
}

/// What becomes of a text that is not plain.
struct Scratch<'a> {
    decoded: ArenaString<'a>,
    lower: ArenaString<'a>,
}

/// What is searched for, in lower case.
struct Lower<'a> {
    text: ArenaString<'a>,
    /// The place of the byte in it that is seldom in a text.
    rare_at: usize,
}

impl Lower<'_> {
    /// Where it occurs in a text of which all that counts is ASCII, in order.
    fn occurrences(&self, text: &str) -> impl Iterator<Item = usize> {
        let (needle, text) = (self.text.as_bytes(), text.as_bytes());
        let rare = needle[self.rare_at];
        memchr::memchr2_iter(rare, rare.to_ascii_uppercase(), text).filter_map(move |at| {
            let start = at.checked_sub(self.rare_at)?;
            let is_here = text.get(start..start + needle.len())?.eq_ignore_ascii_case(needle);
            is_here.then_some(start)
        })
    }

    fn is_in(&self, text: &str) -> bool {
        self.occurrences(text).next().is_some()
    }
}

impl<'a> Needle<'a> {
    pub(crate) fn new(query: &str, arena: &'a Bump) -> Self {
        let mut text = ArenaString::with_capacity_in(query.len(), arena);
        push_lower(query, &mut text);
        let rank = |byte: &u8| FREQUENT.iter().position(|other| other == byte).unwrap_or(FREQUENT.len());
        let rare_at = text.bytes().enumerate().max_by_key(|(_, byte)| rank(byte)).map_or(0, |(at, _)| at);
        Self {
            lower: Lower { text, rare_at },
            scratch: Scratch { decoded: ArenaString::new_in(arena), lower: ArenaString::new_in(arena) },
        }
    }

    /// Gives the entities to `take` in a text of which it occurs, in the order of the file. `go_on` is asked now and then.
    ///
    /// # Errors
    /// Those of `go_on`.
    pub(crate) fn find<E>(
        self,
        graph: &Graph,
        mut take: impl FnMut(LineIndex),
        mut go_on: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { lower, mut scratch } = self;
        if lower.text.is_empty() {
            graph.entities().for_each(take);
            return Ok(());
        }
        let (text, in_order_bytes) = graph.text();
        // All lines are looked through at once, as most are short and none of them has it.
        let mut occurrences = lower.occurrences(&text[..in_order_bytes]).peekable();
        for (looked_at, at) in graph.entities().enumerate() {
            if looked_at % 4096 == 4095 {
                go_on()?;
            }
            if graph.is_plain(at) {
                let line = graph.range(at);
                let may_have_it = if line.start < in_order_bytes {
                    while occurrences.next_if(|start| *start < line.start).is_some() {}
                    occurrences.peek().is_some_and(|start| start + lower.text.len() <= line.end)
                } else {
                    lower.is_in(graph.line(at))
                };
                if !may_have_it {
                    continue;
                }
            }
            if lower.is_in_entity(graph, at, &mut scratch) {
                take(at);
            }
        }
        Ok(())
    }
}

impl Lower<'_> {
    /// Whether it occurs in a text of an entity.
    fn is_in_entity(&self, graph: &Graph, at: LineIndex, scratch: &mut Scratch<'_>) -> bool {
        let is_plain = graph.is_plain(at);
        let Some(entity) = graph.item(at).entity() else { return false };
        let Entity { name, kind, observations } = entity;
        let mut texts = [name, kind].into_iter().chain(observations.iter());
        texts.any(|text| match text {
            Text::Escaped(inside) if is_plain => self.is_in(inside),
            text => self.is_in_any(text, scratch),
        })
    }

    fn is_in_any(&self, text: Text<'_>, scratch: &mut Scratch<'_>) -> bool {
        let Scratch { decoded, lower } = scratch;
        lower.clear();
        match text {
            Text::Escaped(text) if text.contains('\\') => {
                // What a letter becomes may depend on those around it, so that the text is needed as a whole.
                decoded.clear();
                Text::Escaped(text).push_to(decoded);
                push_lower(decoded, lower);
            }
            Text::Plain(text) | Text::Escaped(text) => push_lower(text, lower),
        }
        memchr::memmem::find(lower.as_bytes(), self.text.as_bytes()).is_some()
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
    use crate::tools::memory::graph::Change;

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
            r#"{"type":"entity","name":"\u00c9t\u00e9","entityType":"\u212a","observations":["a\"B", "ΑΣ", "\u039f\u03a3"]}"#,
        );
        let graph = Graph::whole(lines.to_owned()).expect("lines");
        let found = |query: &str| {
            let mut found = Vec::new();
            let go_on = || Ok::<(), std::convert::Infallible>(());
            let Ok(()) = Needle::new(query, &arena).find(&graph, |at| found.push(at), go_on);
            found
        };
        assert_eq!(found(""), [0, 1]);
        assert_eq!(found("E TW"), [0]);
        assert_eq!(found("k"), [0, 1], "the Kelvin sign is a k");
        assert_eq!(found("éT"), [1]);
        assert_eq!(found("a\"b"), [1]);
        assert_eq!(found("ας"), [1]);
        assert_eq!(found("ος"), [1], "the sigma at the end of a word is another one, in escapes too");
        for of_none in ["entity", "observations", "u00", "One two\"", "three"] {
            assert_eq!(found(of_none), [0; 0], "{of_none}");
        }
    }

    /// Lines that were moved, cut out, added and packed are found as if each was looked through by itself.
    #[test]
    fn lines_are_found_wherever_they_stand() {
        let arena = Bump::new();
        let entity =
            |name: &str| format!(r#"{{"type":"entity","name":"{name}","entityType":"t","observations":[]}}"#);
        let all = |lines: &[String]| lines.iter().map(|line| line.clone() + "\n").collect::<String>();
        let mut names: Vec<String> = (0..400).map(|number| format!("n{number}x")).collect();
        let lines: Vec<String> = names.iter().map(|name| entity(name)).collect();
        let mut graph = Graph::whole(all(&lines)).expect("lines");
        let mut random = 20_260_831_u32;
        for round in 0..200_u32 {
            random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            let at = (random >> 8) as usize % names.len();
            let mut change = Change::default();
            match round % 4 {
                0 | 1 => {
                    names[at] = format!("r{round}x{}", "-".repeat(round as usize * 7));
                    change.replaced.push((at as LineIndex, entity(&names[at])));
                }
                2 => {
                    names.remove(at);
                    change.removed.push(at as LineIndex);
                }
                _ => {
                    names.push(format!("a{round}x"));
                    change.added = entity(&names[names.len() - 1]) + "\n";
                }
            }
            graph.apply(&change).expect("lines");
            for query in ["x", "1x", "R", "a1", "n39", "}\n{"] {
                let mut found = Vec::new();
                let go_on = || Ok::<(), std::convert::Infallible>(());
                let Ok(()) = Needle::new(query, &arena).find(&graph, |at| found.push(at as usize), go_on);
                let lower = query.to_lowercase();
                let want: Vec<usize> = (0..names.len()).filter(|at| names[*at].contains(&lower)).collect();
                assert_eq!(found, want, "{query:?} after {round}");
            }
        }
    }
}
