//! The arguments of each tool. Clients see the schemas in `definitions.json`.

use super::json_text::Text;
use super::line::{Entity, Observations, Relation};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use smallvec::SmallVec;
use std::fmt;
use std::marker::PhantomData;

/// `create_entities`.
#[derive(Debug, Deserialize)]
pub(crate) struct CreateEntities<'a> {
    #[serde(borrow)]
    pub(crate) entities: Vec<NewEntity<'a>>,
}

/// One entity of `create_entities`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewEntity<'a> {
    pub(crate) name: &'a str,
    pub(crate) entity_type: &'a str,
    #[serde(borrow)]
    pub(crate) observations: Vec<&'a str>,
}

/// `create_relations` and `delete_relations`.
#[derive(Debug, Deserialize)]
pub(crate) struct Relations<'a> {
    #[serde(borrow)]
    pub(crate) relations: Vec<NamedRelation<'a>>,
}

/// One relation of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NamedRelation<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) relation_type: &'a str,
}

/// `add_observations`.
#[derive(Debug, Deserialize)]
pub(crate) struct AddObservations<'a> {
    #[serde(borrow)]
    pub(crate) observations: Vec<Addition<'a>>,
}

/// What one entity is to have too.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Addition<'a> {
    pub(crate) entity_name: &'a str,
    #[serde(borrow)]
    pub(crate) contents: Vec<&'a str>,
}

/// `delete_entities`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteEntities<'a> {
    #[serde(borrow)]
    pub(crate) entity_names: Vec<&'a str>,
}

/// `delete_observations`.
#[derive(Debug, Deserialize)]
pub(crate) struct DeleteObservations<'a> {
    #[serde(borrow)]
    pub(crate) deletions: Vec<Deletion<'a>>,
}

/// What one entity is to have no more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deletion<'a> {
    pub(crate) entity_name: &'a str,
    #[serde(borrow)]
    pub(crate) observations: Vec<&'a str>,
}

/// `read_graph`.
#[derive(Debug, Deserialize)]
pub(crate) struct Nothing {}

/// `search_nodes`.
#[derive(Debug, Deserialize)]
pub(crate) struct Search<'a> {
    pub(crate) query: &'a str,
}

/// `open_nodes`.
#[derive(Debug, Deserialize)]
pub(crate) struct Open<'a> {
    #[serde(borrow, deserialize_with = "names")]
    pub(crate) names: Names<'a>,
}

/// Names, of which a few need no memory of their own.
pub(crate) type Names<'a> = SmallVec<[&'a str; 8]>;

impl NewEntity<'_> {
    pub(crate) fn as_entity(&self) -> Entity<'_> {
        Entity {
            name: Text::Plain(self.name),
            kind: Text::Plain(self.entity_type),
            observations: Observations::Plain(&self.observations),
        }
    }
}

impl<'a> NamedRelation<'a> {
    pub(crate) fn as_relation(self) -> Relation<'a> {
        Relation {
            from: Text::Plain(self.from),
            to: Text::Plain(self.to),
            kind: Text::Plain(self.relation_type),
        }
    }
}

fn names<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Names<'a>, D::Error> {
    struct List<'a>(PhantomData<&'a str>);
    impl<'de: 'a, 'a> Visitor<'de> for List<'a> {
        type Value = Names<'a>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names<'a>, A::Error> {
            let mut names = Names::new();
            while let Some(name) = list.next_element::<&'de str>()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_seq(List(PhantomData))
}
