//! The graph in memory: the text of its file, a record for each line, and an index by name.
//!
//! A line costs its own bytes, its record, and about six bytes of the index. Lines that were replaced leave their text
//! behind, until that is a quarter of all. **Invariant:** the records are in the order of the lines of the file, and
//! what they point to was read by [`line::read`].

use super::json_text::{Json, Sink, Text};
use super::line::{self, Entity, Item, Relation};
use super::unread::{LineFault, Unread};
use hashbrown::HashTable;
use mcpool_pools::Reservation;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Text left behind that is not worth moving the rest for.
const FREE_WASTE: usize = 64 * 1024;
/// What a line costs beside its text at most: its record, and its entry in an index that just grew.
const LINE_BYTES: usize = size_of::<Line>() + 10;

/// A line, by its number from 0 on.
pub(crate) type LineIndex = u32;

/// The graph of a file.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    text: String,
    lines: Vec<Line>,
    /// The first entity of each name, and the first of equal relations.
    index: HashTable<LineIndex>,
    hashes: RandomState,
    /// Bytes of `text` that no line points to.
    waste: usize,
    /// The lines that begin before this byte of `text` stand in it in their order; those behind may not.
    in_order_bytes: usize,
    /// Whether there are entities that the index does not have.
    has_twins: bool,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    start: u32,
    length: u32,
    /// Of the name, or of both ends and the type.
    hashes: [u32; 3],
    kind: Kind,
    /// Neither escapes nor anything but ASCII is in it, so that what it means stands in it as such.
    is_plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Entity,
    Relation,
    Foreign,
}

/// What is to become of lines. Nothing is done twice to the same line.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// New lines, each with its newline.
    pub(crate) added: String,
    /// Lines and their new text, in order.
    pub(crate) replaced: Vec<(LineIndex, String)>,
    /// In order.
    pub(crate) removed: Vec<LineIndex>,
    /// What is reserved for the texts, until they are in the graph.
    #[expect(dead_code, reason = "it is held")]
    pub(crate) held: Option<Reservation>,
}

impl Change {
    pub(crate) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.only_adds()
    }

    /// Whether no line that is there changes.
    pub(crate) fn only_adds(&self) -> bool {
        self.replaced.is_empty() && self.removed.is_empty()
    }

    /// Bytes and lines that it adds.
    fn growth(&self) -> usize {
        let replaced: usize = self.replaced.iter().map(|(_, text)| text.len()).sum();
        let lines = memchr::memchr_iter(b'\n', self.added.as_bytes()).count();
        replaced + self.added.len() + lines * LINE_BYTES
    }
}

impl Graph {
    /// Reads a file's text, without the lines that cannot be read.
    pub(crate) fn read(text: String, unread: &mut Unread) -> Self {
        let mut graph = Self::default();
        let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1;
        graph.lines.reserve_exact(lines);
        graph.index.reserve(lines, |_| 0);
        graph.text = text;
        graph.read_from(0, 0, unread);
        graph.in_order_bytes = graph.text.len();
        graph
    }

    /// Reads a text that has no line that cannot be read.
    #[cfg(test)]
    pub(crate) fn whole(text: String) -> Result<Self, LineFault> {
        let mut unread = Unread::default();
        let graph = Self::read(text, &mut unread);
        unread.into_first().map_or(Ok(graph), Err)
    }

    /// Reads more lines, which the file has behind those that are there; `lines_before` of it were read already.
    ///
    /// # Errors
    /// Which line cannot be read. None of them is in the graph then.
    pub(crate) fn extend(&mut self, text: &str, lines_before: usize) -> Result<(), LineFault> {
        let (start, lines, waste) = (self.text.len(), self.lines.len(), self.waste);
        // By an eighth, as most files grow by a line at a time, and twice the bytes would be too many.
        if self.text.capacity() - start < text.len() {
            self.text.reserve_exact(text.len() + start / 8);
        }
        self.text.push_str(text);
        let mut unread = Unread::default();
        self.read_from(start, lines_before, &mut unread);
        if let Some(fault) = unread.into_first() {
            self.text.truncate(start);
            self.lines.truncate(lines);
            self.waste = waste;
            self.index_anew();
            return Err(fault);
        }
        if self.in_order_bytes == start {
            self.in_order_bytes = self.text.len();
        }
        Ok(())
    }

    fn read_from(&mut self, mut start: usize, lines_before: usize, unread: &mut Unread) {
        let mut number = lines_before;
        while start < self.text.len() {
            let end = memchr::memchr(b'\n', &self.text.as_bytes()[start..]);
            let end = end.map_or(self.text.len(), |at| start + at);
            number += 1;
            let text = &self.text[start..end];
            if text.trim().is_empty() {
                self.waste += end - start;
            } else {
                match self.record(text, start) {
                    Ok(line) => self.push(line),
                    Err(fault) => {
                        self.waste += end - start;
                        unread.add(number, fault);
                    }
                }
            }
            self.waste += usize::from(end < self.text.len());
            start = end + 1;
        }
    }

    fn record(&self, text: &str, start: usize) -> Result<Line, String> {
        let mut scratch = String::new();
        let mut hash = |text: Text<'_>| self.hashes.hash_one(text.decoded(&mut scratch)) as u32;
        let (kind, hashes) = match line::read(text)? {
            Item::Entity(entity) => (Kind::Entity, [hash(entity.name), 0, 0]),
            Item::Relation(relation) => {
                (Kind::Relation, [hash(relation.from), hash(relation.to), hash(relation.kind)])
            }
            Item::Foreign => (Kind::Foreign, [0; 3]),
        };
        let is_plain = text.is_ascii() && !text.contains('\\');
        Ok(Line { start: start as u32, length: text.len() as u32, hashes, kind, is_plain })
    }

    fn push(&mut self, line: Line) {
        let at = self.lines.len() as LineIndex;
        self.lines.push(line);
        self.enter(at);
    }

    /// Enters a line into the index, if it is the first of its kind.
    fn enter(&mut self, at: LineIndex) {
        let line = self.lines[at as usize];
        if line.kind == Kind::Foreign {
            return;
        }
        let is_there = self.first(line, |other| other.is_same(self.item(at)));
        if is_there.is_some() {
            self.has_twins |= line.kind == Kind::Entity;
            return;
        }
        let Self { index, lines, .. } = self;
        index.insert_unique(line.spread(), at, |other| lines[*other as usize].spread());
    }

    /// The first line with the hashes of `wanted` that `is_it` holds for.
    fn first(&self, wanted: Line, mut is_it: impl FnMut(Item<'_>) -> bool) -> Option<LineIndex> {
        let found = self.index.find(wanted.spread(), |at| {
            let line = &self.lines[*at as usize];
            line.kind == wanted.kind && line.hashes == wanted.hashes && is_it(self.item(*at))
        });
        found.copied()
    }

    fn index_anew(&mut self) {
        self.index.clear();
        self.has_twins = false;
        (0..self.lines.len() as LineIndex).for_each(|at| self.enter(at));
    }

    pub(crate) fn item(&self, at: LineIndex) -> Item<'_> {
        // invariant: it was read before.
        line::read(self.line(at)).unwrap_or(Item::Foreign)
    }

    /// The text of a line.
    pub(crate) fn line(&self, at: LineIndex) -> &str {
        &self.text[self.range(at)]
    }

    /// The text of all lines, with what was left behind, and how much of it has the lines in their order.
    pub(crate) fn text(&self) -> (&str, usize) {
        (&self.text, self.in_order_bytes)
    }

    /// Where a line stands in the text.
    pub(crate) fn range(&self, at: LineIndex) -> Range<usize> {
        self.lines[at as usize].range()
    }

    /// Whether what a line means stands in it as such: it has no escapes, and nothing but ASCII.
    pub(crate) fn is_plain(&self, at: LineIndex) -> bool {
        self.lines[at as usize].is_plain
    }

    /// All lines, in order.
    pub(crate) fn lines(&self) -> Range<LineIndex> {
        0..self.lines.len() as LineIndex
    }

    /// The lines of entities, in order.
    pub(crate) fn entities(&self) -> impl Iterator<Item = LineIndex> {
        self.lines().filter(|at| self.lines[*at as usize].kind == Kind::Entity)
    }

    /// The lines of relations, in order.
    pub(crate) fn relations(&self) -> impl Iterator<Item = LineIndex> {
        self.lines().filter(|at| self.lines[*at as usize].kind == Kind::Relation)
    }

    /// The hashes of the ends of a relation; the first one is that of the name of an entity.
    pub(crate) fn ends(&self, at: LineIndex) -> [u32; 2] {
        let [from, to, _] = self.lines[at as usize].hashes;
        [from, to]
    }

    /// The first entity of that name.
    pub(crate) fn entity(&self, name: &str) -> Option<LineIndex> {
        self.first(self.named(name), |item| item.is_entity(name))
    }

    /// Gives all entities of that name to `take`, in order.
    pub(crate) fn each_entity(&self, name: &str, mut take: impl FnMut(LineIndex)) {
        let Some(first) = self.entity(name) else { return };
        take(first);
        if self.has_twins {
            let hashes = self.named(name).hashes;
            let later = self.entities().filter(|at| *at > first && self.lines[*at as usize].hashes == hashes);
            later.filter(|at| self.item(*at).is_entity(name)).for_each(take);
        }
    }

    /// The first relation with those ends and that type.
    pub(crate) fn relation(&self, relation: Relation<'_>) -> Option<LineIndex> {
        let mut scratch = String::new();
        let mut hash = |text: Text<'_>| self.hashes.hash_one(text.decoded(&mut scratch)) as u32;
        let hashes = [hash(relation.from), hash(relation.to), hash(relation.kind)];
        let wanted = Line { start: 0, length: 0, hashes, kind: Kind::Relation, is_plain: false };
        self.first(wanted, |item| item.is_relation(relation))
    }

    fn named(&self, name: &str) -> Line {
        let hashes = [self.hashes.hash_one(name) as u32, 0, 0];
        Line { start: 0, length: 0, hashes, kind: Kind::Entity, is_plain: false }
    }

    /// Writes the lines of entities and relations as an answer.
    pub(crate) fn write<S: Sink>(
        &self,
        json: &mut Json<'_, S>,
        entities: impl Iterator<Item = LineIndex>,
        relations: impl Iterator<Item = LineIndex>,
    ) {
        json.open("{");
        json.key(r#""entities":"#);
        self.write_list(json, entities);
        json.key(r#""relations":"#);
        self.write_list(json, relations);
        json.close("}");
    }

    fn write_list<S: Sink>(&self, json: &mut Json<'_, S>, lines: impl Iterator<Item = LineIndex>) {
        json.open("[");
        for at in lines {
            if json.sink.is_full() {
                break;
            }
            json.item();
            match self.item(at) {
                Item::Entity(entity) => entity.write(json, false),
                Item::Relation(relation) => relation.write(json, false),
                Item::Foreign => {}
            }
        }
        json.close("]");
    }

    /// Bytes of heap.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.lines.capacity() * size_of::<Line>() + self.index.allocation_size()
    }

    /// Bytes that its lines need, with what a change adds.
    pub(crate) fn bytes_with(&self, change: &Change) -> usize {
        self.text.len().saturating_sub(self.waste) + self.lines.len() * LINE_BYTES + change.growth()
    }

    /// Whether a change adds lines, or makes those that are there longer.
    pub(crate) fn is_grown_by(&self, change: &Change) -> bool {
        let length = |at: LineIndex| self.lines[at as usize].length as usize;
        let before: usize = change.replaced.iter().map(|(at, _)| length(*at)).sum();
        let after: usize = change.replaced.iter().map(|(_, text)| text.len()).sum();
        !change.added.is_empty() || after > before
    }

    /// Bytes of the text that a search looks through, with what was left behind.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Bytes of the records of the lines.
    pub(crate) fn record_bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    /// Does what a change says; `added` lines are read by [`Graph::extend`].
    ///
    /// # Errors
    /// Which line cannot be read, which this program wrote.
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), LineFault> {
        for (at, text) in &change.replaced {
            self.replace(*at, text)?;
        }
        if !change.removed.is_empty() {
            self.remove(&change.removed);
        }
        let lines = self.lines.len();
        self.extend(&change.added, lines)?;
        if self.waste > FREE_WASTE && self.waste > self.text.len() / 4 {
            self.pack();
        }
        Ok(())
    }

    /// Gives a line another text: behind all others, or, where the text would need another block for that, in the place of
    /// the old one if that is as long.
    fn replace(&mut self, at: LineIndex, text: &str) -> Result<(), LineFault> {
        let old = self.lines[at as usize].range();
        let has_room = self.text.capacity() - self.text.len() >= text.len();
        let is_in_place = !has_room && text.len() <= old.len();
        let start = if is_in_place { old.start } else { self.text.len() };
        let line = self.record(text, start).map_err(|fault| LineFault { line: at as usize + 1, fault })?;
        if is_in_place {
            self.waste += old.len() - text.len();
            let mut bytes = std::mem::take(&mut self.text).into_bytes();
            bytes[start..start + text.len()].copy_from_slice(text.as_bytes());
            bytes[start + text.len()..old.end].fill(b' ');
            // invariant: a whole line is replaced by a whole line and spaces.
            self.text = String::from_utf8(bytes).unwrap_or_default();
        } else {
            if !has_room {
                self.text.reserve_exact(text.len() + start / 8);
            }
            self.text.push_str(text);
            self.waste += old.len();
        }
        self.lines[at as usize] = line;
        Ok(())
    }

    fn remove(&mut self, removed: &[LineIndex]) {
        let mut at = 0;
        let waste = &mut self.waste;
        self.lines.retain(|line| {
            let is_removed = removed.binary_search(&at).is_ok();
            at += 1;
            *waste += if is_removed { line.length as usize } else { 0 };
            !is_removed
        });
        self.index_anew();
    }

    /// Moves the text of the lines together.
    fn pack(&mut self) {
        let mut text = std::mem::take(&mut self.text).into_bytes();
        let mut order: Vec<LineIndex> = self.lines().collect();
        order.sort_unstable_by_key(|at| self.lines[*at as usize].start);
        let (mut end, mut in_order_end) = (0, 0);
        for at in order {
            let line = &mut self.lines[at as usize];
            let was_in_order = (line.start as usize) < self.in_order_bytes;
            text.copy_within(line.range(), end);
            line.start = end as u32;
            end += line.length as usize;
            in_order_end = if was_in_order { end } else { in_order_end };
        }
        self.in_order_bytes = in_order_end;
        text.truncate(end);
        text.shrink_to_fit();
        // invariant: whole lines are moved, and each of them is text.
        self.text = String::from_utf8(text).unwrap_or_default();
        self.lines.shrink_to_fit();
        self.waste = 0;
    }
}

impl Line {
    fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }

    /// All hashes as one of 64 bits, of which a table uses both ends.
    fn spread(&self) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let [first, second, third] = self.hashes.map(u64::from);
        (first.wrapping_mul(ODD) ^ second)
            .wrapping_mul(ODD)
            .rotate_left(29)
            .wrapping_add(third)
            .wrapping_mul(ODD)
    }
}

impl Item<'_> {
    fn is_entity(&self, name: &str) -> bool {
        matches!(self, Self::Entity(entity) if entity.name.is(name))
    }

    fn is_relation(&self, wanted: Relation<'_>) -> bool {
        matches!(self, Self::Relation(relation) if relation.from.is_same(wanted.from)
            && relation.to.is_same(wanted.to)
            && relation.kind.is_same(wanted.kind))
    }

    /// Whether it is an entity of the same name, or the same relation.
    fn is_same(&self, other: Item<'_>) -> bool {
        match (self, other) {
            (Self::Entity(one), Item::Entity(other)) => one.name.is_same(other.name),
            (_, Item::Relation(relation)) => self.is_relation(relation),
            _ => false,
        }
    }
}

/// The line of an entity or a relation, with its newline.
pub(crate) fn push_line(target: &mut String, item: &Item<'_>) {
    let mut json = Json::new(target, false);
    match item {
        Item::Entity(entity) => entity.write(&mut json, true),
        Item::Relation(relation) => relation.write(&mut json, true),
        Item::Foreign => return,
    }
    target.push('\n');
}

impl<'a> Item<'a> {
    pub(crate) fn entity(self) -> Option<Entity<'a>> {
        match self {
            Item::Entity(entity) => Some(entity),
            Item::Relation(_) | Item::Foreign => None,
        }
    }

    pub(crate) fn relation(self) -> Option<Relation<'a>> {
        match self {
            Item::Relation(relation) => Some(relation),
            Item::Entity(_) | Item::Foreign => None,
        }
    }
}
