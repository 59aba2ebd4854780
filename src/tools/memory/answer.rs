//! What clients read: the text with an indent of two, as the reference has it, and the same as a structured answer.

use super::arguments::{Addition, NamedRelation, NewEntity};
use super::error::GraphError;
use super::graph::{Graph, LineIndex};
use super::json_text::{Counted, Json, Sink, Text};
use super::search::Found;
use crate::server::CallContext;

/// What an answer has around its two copies at most.
const AROUND_BYTES: usize = 1024;

/// A list that is the text of an answer, and a member of the structured answer.
pub(crate) enum List<'a> {
    /// Which of the entities are new.
    Entities(&'a [NewEntity<'a>], &'a [usize]),
    /// Which of the relations are new.
    Relations(&'a [NamedRelation<'a>], &'a [usize]),
    /// What each of the entities got.
    Observations(&'a [Addition<'a>], &'a [Vec<&'a str>]),
}

impl List<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Entities(..) => r#""entities":"#,
            Self::Relations(..) => r#""relations":"#,
            Self::Observations(..) => r#""results":"#,
        }
    }

    fn write<S: Sink>(&self, json: &mut Json<'_, S>) {
        json.open("[");
        match self {
            Self::Entities(entities, new) => {
                for at in *new {
                    json.item();
                    entities[*at].as_entity().write(json, false);
                }
            }
            Self::Relations(relations, new) => {
                for at in *new {
                    json.item();
                    relations[*at].as_relation().write(json, false);
                }
            }
            Self::Observations(additions, added) => {
                for (addition, added) in additions.iter().zip(*added) {
                    json.item();
                    write_added(json, addition.entity_name, added);
                }
            }
        }
        json.close("]");
    }
}

fn write_added<S: Sink>(json: &mut Json<'_, S>, name: &str, added: &[&str]) {
    json.open("{");
    json.key(r#""entityName":"#);
    json.string(Text::Plain(name));
    json.key(r#""addedObservations":"#);
    json.open("[");
    for text in added {
        json.item();
        json.string(Text::Plain(text));
    }
    json.close("]");
    json.close("}");
}

/// Answers with a list.
pub(crate) fn list(call: &mut CallContext, list: &List<'_>) {
    call.text_with(|text| list.write(&mut Json::new(text, true)));
    call.structured_with(|reply| {
        let mut json = Json::new(reply, false);
        json.open("{");
        json.key(list.name());
        list.write(&mut json);
        json.close("}");
    });
}

/// Answers with a sentence.
pub(crate) fn success(call: &mut CallContext, message: &'static str) {
    call.text(message);
    call.structured_with(|reply| {
        let mut json = Json::new(reply, false);
        json.open("{");
        json.key(r#""success":"#);
        json.sink.put("true");
        json.key(r#""message":"#);
        json.string(Text::Plain(message));
        json.close("}");
    });
}

/// Whether an answer was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// There is more to write than there may be here; nothing was.
    TooLong,
}

/// Answers with entities and the relations that belong to them, if their lines are not longer than `max_bytes`.
///
/// # Errors
/// When the answer would be too long.
pub(crate) fn found(
    graph: &Graph,
    call: &mut CallContext,
    max_bytes: usize,
    found: &Found<'_>,
) -> Result<Extent, GraphError> {
    let all = found.entities.iter().chain(&found.relations);
    let bytes = all.map(|at| graph.line(*at).len()).sum();
    if bytes > max_bytes {
        return Ok(Extent::TooLong);
    }
    parts(graph, call, bytes, || (found.entities.iter().copied(), found.relations.iter().copied()))
}

/// Answers with lines of entities, and of relations, which have so many bytes in all.
///
/// # Errors
/// When the answer would be too long.
pub(crate) fn parts<E: Iterator<Item = LineIndex>, R: Iterator<Item = LineIndex>>(
    graph: &Graph,
    call: &mut CallContext,
    bytes: usize,
    parts: impl Fn() -> (E, R),
) -> Result<Extent, GraphError> {
    let max_bytes = call.limits().max_reply_bytes;
    let mut counted = Counted::default();
    let copies = usize::from(!call.is_text_once());
    // A small answer grows into its buffer; a large one has one of its own size, as two of them would be much.
    if bytes > call.limits().inline_read_bytes {
        write(graph, parts(), &mut counted, true);
        counted.as_json *= copies;
        if counted.as_text + counted.as_json + AROUND_BYTES > max_bytes {
            return Err(GraphError::LongAnswer { max_bytes });
        }
    }
    let (mut written, mut is_full) = call.text_with(|text| {
        text.make_room(counted.as_text + counted.as_json);
        write(graph, parts(), text, true);
        (text.written_bytes(), text.is_full())
    });
    if !is_full {
        call.structured_with(|json| {
            json.make_room(counted.as_json);
            write(graph, parts(), json, false);
            written += json.len();
            is_full = json.is_full() || written + AROUND_BYTES > max_bytes;
        });
    }
    if is_full && call.memory_lack().is_none() {
        return Err(GraphError::LongAnswer { max_bytes });
    }
    Ok(Extent::Whole)
}

fn write<S: Sink>(
    graph: &Graph,
    (entities, relations): (impl Iterator<Item = LineIndex>, impl Iterator<Item = LineIndex>),
    sink: &mut S,
    is_pretty: bool,
) {
    graph.write(&mut Json::new(sink, is_pretty), entities, relations);
}
