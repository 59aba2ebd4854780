//! What each tool that changes the graph makes of it: lines that are new, other, or gone.

use super::arguments::{Addition, Deletion, NamedRelation, NewEntity};
use super::error::GraphError;
use super::graph::{Change, Graph, LineIndex, push_line};
use super::json_text::{Json, Text};
use super::line::{self, Item};
use std::collections::{BTreeMap, HashSet};

/// Adds the entities that the graph does not have; says which of them are new.
pub(crate) fn create_entities(graph: &Graph, entities: &[NewEntity<'_>]) -> (Change, Vec<usize>) {
    let mut change = Change::default();
    let mut new = Vec::new();
    for (at, entity) in entities.iter().enumerate() {
        // As in the reference, several of one name in one call are all new.
        if graph.entity(entity.name).is_none() {
            push_line(&mut change.added, &Item::Entity(entity.as_entity()));
            new.push(at);
        }
    }
    (change, new)
}

/// Adds the relations that the graph does not have; says which of them are new.
pub(crate) fn create_relations(graph: &Graph, relations: &[NamedRelation<'_>]) -> (Change, Vec<usize>) {
    let mut change = Change::default();
    let mut new = Vec::new();
    for (at, relation) in relations.iter().enumerate() {
        if graph.relation(relation.as_relation()).is_none() {
            push_line(&mut change.added, &Item::Relation(relation.as_relation()));
            new.push(at);
        }
    }
    (change, new)
}

/// Adds observations to entities, and gives what each got.
///
/// # Errors
/// When there is no entity of a name.
pub(crate) fn add_observations<'a>(
    graph: &Graph,
    additions: &[Addition<'a>],
) -> Result<(Change, Vec<Vec<&'a str>>), GraphError> {
    let mut of_entities: BTreeMap<LineIndex, Grown<'a>> = BTreeMap::new();
    let mut added = Vec::with_capacity(additions.len());
    for Addition { entity_name, contents } in additions {
        let no_entity = || GraphError::NoSuchEntity { name: (*entity_name).to_owned() };
        let at = graph.entity(entity_name).ok_or_else(no_entity)?;
        let grown = of_entities.entry(at).or_insert_with(|| Grown::of(graph, at));
        // As in the reference, what comes twice in one list is added twice.
        let new: Vec<&str> = contents.iter().copied().filter(|text| !grown.has(text)).collect();
        grown.added.extend(&new);
        grown.known.extend(new.iter().map(|text| (*text).to_owned()));
        added.push(new);
    }
    let grown = of_entities.into_iter().filter(|(_, grown)| !grown.added.is_empty());
    let replaced = grown.map(|(at, grown)| {
        let mut texts = observations(graph, at);
        texts.extend(grown.added.iter().map(|text| Text::Plain(text)));
        (at, line::with_observations(graph.line(at), &list(texts.into_iter())))
    });
    Ok((Change { replaced: replaced.collect(), ..Change::default() }, added))
}

/// An entity that gets observations.
struct Grown<'a> {
    known: HashSet<String>,
    added: Vec<&'a str>,
}

impl Grown<'_> {
    fn of(graph: &Graph, at: LineIndex) -> Self {
        let known =
            observations(graph, at).into_iter().map(|text| text.decoded(&mut String::new()).to_owned());
        Self { known: known.collect(), added: Vec::new() }
    }

    fn has(&self, text: &str) -> bool {
        self.known.contains(text)
    }
}

fn observations(graph: &Graph, at: LineIndex) -> Vec<Text<'_>> {
    graph.item(at).entity().map(|entity| entity.observations.iter().collect()).unwrap_or_default()
}

fn list<'a>(texts: impl Iterator<Item = Text<'a>>) -> String {
    let mut written = String::new();
    let mut json = Json::new(&mut written, false);
    json.open("[");
    for text in texts {
        json.item();
        json.string(text);
    }
    json.close("]");
    written
}

/// Takes entities out, and the relations from and to them.
pub(crate) fn delete_entities(graph: &Graph, names: &[&str]) -> Change {
    let mut removed = Vec::new();
    for name in names {
        graph.each_entity(name, |at| removed.push(at));
    }
    let names: HashSet<&str> = names.iter().copied().collect();
    let mut scratch = String::new();
    let mut is_named = |text: Text<'_>| names.contains(text.decoded(&mut scratch));
    removed.extend(graph.relations().filter(|at| {
        let relation = graph.item(*at).relation();
        relation.is_some_and(|relation| is_named(relation.from) || is_named(relation.to))
    }));
    removed.sort_unstable();
    removed.dedup();
    Change { removed, ..Change::default() }
}

/// Takes observations from entities.
pub(crate) fn delete_observations(graph: &Graph, deletions: &[Deletion<'_>]) -> Change {
    let mut of_entities: BTreeMap<LineIndex, HashSet<&str>> = BTreeMap::new();
    for Deletion { entity_name, observations } in deletions {
        if let Some(at) = graph.entity(entity_name) {
            of_entities.entry(at).or_default().extend(observations);
        }
    }
    let mut change = Change::default();
    for (at, gone) in of_entities {
        let mut scratch = String::new();
        let texts = observations(graph, at);
        let all = texts.len();
        let kept: Vec<Text<'_>> =
            texts.into_iter().filter(|text| !gone.contains(text.decoded(&mut scratch))).collect();
        if kept.len() < all {
            change.replaced.push((at, line::with_observations(graph.line(at), &list(kept.into_iter()))));
        }
    }
    change
}

/// Takes relations out.
pub(crate) fn delete_relations(graph: &Graph, relations: &[NamedRelation<'_>]) -> Change {
    let wanted: HashSet<NamedRelation<'_>> = relations.iter().copied().collect();
    let is_wanted = |at: &LineIndex| {
        let Some(relation) = graph.item(*at).relation() else { return false };
        let mut scratch = [String::new(), String::new(), String::new()];
        let [from, to, relation_type] = &mut scratch;
        wanted.contains(&NamedRelation {
            from: relation.from.decoded(from),
            to: relation.to.decoded(to),
            relation_type: relation.kind.decoded(relation_type),
        })
    };
    Change { removed: graph.relations().filter(is_wanted).collect(), ..Change::default() }
}
