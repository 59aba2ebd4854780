//! What each tool that changes the graph makes of it: lines that are new, other, or gone.

use super::arguments::{Addition, Deletion, NamedRelation, NewEntity};
use super::error::GraphError;
use super::graph::{Change, Graph, LineIndex, push_line};
use super::json_text::{Json, Text};
use super::line::{self, Item, Observations};
use crate::limits::price;
use mcpool_pools::{MemoryBudget, Reservation};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a text of a call takes in a table that may be half empty, and in the lists of what is new.
const TABLED_BYTES: usize = 128;
/// What stands around a text in a list.
const QUOTES_BYTES: usize = 3;

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
/// When there is no entity of a name, and when there is no memory for the new lines.
pub(crate) fn add_observations<'a>(
    graph: &Graph,
    additions: &[Addition<'a>],
    memory: &MemoryBudget,
) -> Result<(Change, Vec<Vec<&'a str>>), GraphError> {
    let mut of_entities: BTreeMap<LineIndex, Vec<usize>> = BTreeMap::new();
    for (number, Addition { entity_name, .. }) in additions.iter().enumerate() {
        let no_entity = || GraphError::NoSuchEntity { name: (*entity_name).to_owned() };
        let at = graph.entity(entity_name).ok_or_else(no_entity)?;
        of_entities.entry(at).or_default().push(number);
    }
    let texts = additions.iter().flat_map(|addition| &addition.contents);
    let held = hold(memory, graph, of_entities.keys(), texts)?;
    let mut added: Vec<Vec<&str>> = additions.iter().map(|_| Vec::new()).collect();
    let mut replaced = Vec::new();
    for (at, numbers) in of_entities {
        for (number, text) in new_to(graph, at, additions, &numbers) {
            added[number].push(text);
        }
        let new = || numbers.iter().flat_map(|number| &added[*number]);
        if new().next().is_some() {
            let all = observations(graph, at).iter().chain(new().map(|text| Text::Plain(text)));
            let bytes = graph.line(at).len() + new().map(|text| text.len() + QUOTES_BYTES).sum::<usize>();
            replaced.push((at, line::with_observations(graph.line(at), &list(all, bytes))));
        }
    }
    Ok((Change { replaced, held, ..Change::default() }, added))
}

/// What an entity does not have of what it is to get, in order, each with the number of its addition.
///
/// Only what the call brings is in a table: what the entity has may be much more.
fn new_to<'a>(
    graph: &Graph,
    at: LineIndex,
    additions: &[Addition<'a>],
    numbers: &[usize],
) -> Vec<(usize, &'a str)> {
    let contents =
        || numbers.iter().flat_map(|number| additions[*number].contents.iter().map(|text| (*number, *text)));
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (number, text) in contents() {
        first.entry(text).or_insert(number);
    }
    let mut scratch = String::new();
    for known in observations(graph, at).iter() {
        first.remove(known.decoded(&mut scratch));
    }
    // As in the reference, what comes twice in one list is added twice.
    contents().filter(|(number, text)| first.get(text) == Some(number)).collect()
}

/// Reserves what a change of observations takes, unless it is little: tables and lists of the texts of the call, and each
/// line twice, as it is and as a list.
fn hold<'t>(
    memory: &MemoryBudget,
    graph: &Graph,
    lines: impl Iterator<Item = &'t LineIndex>,
    texts: impl Iterator<Item = &'t &'t str>,
) -> Result<Option<Reservation>, GraphError> {
    let lines: usize = lines.map(|at| graph.line(*at).len()).sum();
    let (texts, tables) = texts
        .fold((0, 0), |(texts, tables), text| (texts + text.len() + QUOTES_BYTES, tables + TABLED_BYTES));
    let bytes = 2 * (lines + texts) + tables;
    if bytes <= price::LARGE_BYTES {
        return Ok(None);
    }
    memory.try_reserve(bytes).map(Some).map_err(|spent| GraphError::NoMemory { bytes, spent })
}

fn observations(graph: &Graph, at: LineIndex) -> Observations<'_> {
    graph.item(at).entity().map_or(Observations::Plain(&[]), |entity| entity.observations)
}

fn list<'a>(texts: impl Iterator<Item = Text<'a>>, bytes: usize) -> String {
    let mut written = String::with_capacity(bytes);
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
///
/// # Errors
/// When there is no memory for the new lines.
pub(crate) fn delete_observations(
    graph: &Graph,
    deletions: &[Deletion<'_>],
    memory: &MemoryBudget,
) -> Result<Change, GraphError> {
    let mut of_entities: BTreeMap<LineIndex, Vec<usize>> = BTreeMap::new();
    for (number, Deletion { entity_name, .. }) in deletions.iter().enumerate() {
        if let Some(at) = graph.entity(entity_name) {
            of_entities.entry(at).or_default().push(number);
        }
    }
    let texts = deletions.iter().flat_map(|deletion| &deletion.observations);
    let mut change = Change { held: hold(memory, graph, of_entities.keys(), texts)?, ..Change::default() };
    for (at, numbers) in of_entities {
        let gone: HashSet<&str> =
            numbers.iter().flat_map(|number| deletions[*number].observations.iter().copied()).collect();
        let mut scratch = String::new();
        let mut is_gone = |text: &Text<'_>| gone.contains(text.decoded(&mut scratch));
        if observations(graph, at).iter().any(|text| is_gone(&text)) {
            let kept = observations(graph, at).iter().filter(|text| !is_gone(text));
            let line = graph.line(at);
            change.replaced.push((at, line::with_observations(line, &list(kept, line.len()))));
        }
    }
    Ok(change)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let line = r#"{"type":"entity","name":"a","entityType":"t","observations":["1","\u0032"]}"#;
        Graph::whole(format!("{line}\n")).expect("a graph")
    }

    #[test]
    fn only_what_is_new_is_added_as_in_the_reference() {
        let addition = |contents: &[&'static str]| Addition { entity_name: "a", contents: contents.to_vec() };
        let additions = [addition(&["2", "3", "3", "1"]), addition(&["3", "4", "2"]), addition(&[])];
        let budget = MemoryBudget::new(0);
        let (change, added) =
            add_observations(&graph(), &additions, &budget).expect("little needs no memory");
        assert_eq!(added, [vec!["3", "3"], vec!["4"], vec![]]);
        let (at, text) = &change.replaced[0];
        let line: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!((*at, &line["observations"]), (0, &serde_json::json!(["1", "2", "3", "3", "4"])));
    }

    #[test]
    fn what_a_large_change_takes_is_reserved_until_it_is_done() {
        let long = "x".repeat(price::LARGE_BYTES);
        let additions = [Addition { entity_name: "a", contents: vec![&long] }];
        let budget = MemoryBudget::new(4 * price::LARGE_BYTES);
        let (change, _) = add_observations(&graph(), &additions, &budget).expect("room");
        assert!(budget.used_bytes() > 2 * price::LARGE_BYTES);
        let refused = add_observations(&graph(), &additions, &budget).expect_err("no room for two");
        assert!(refused.to_string().contains("There is no memory for the"), "{refused}");
        let deletions = [Deletion { entity_name: "a", observations: vec![&long] }];
        assert!(delete_observations(&graph(), &deletions, &budget).is_err());
        drop(change);
        assert_eq!(budget.used_bytes(), 0);
        let unchanged = delete_observations(&graph(), &deletions, &budget).expect("room");
        assert!(unchanged.is_empty());
    }
}
