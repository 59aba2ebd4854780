//! One line of the file: read where it stands, and written.
//!
//! A line keeps its text, so that what the reference drops (members and types that it does not know) is still there
//! when the file is written anew.

use super::json_text::{Json, Sink, Text};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;

/// What a line is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Item<'a> {
    Entity(Entity<'a>),
    Relation(Relation<'a>),
    /// JSON of another type: kept, and not shown.
    Foreign,
}

/// An entity, as a line or a call has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entity<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) kind: Text<'a>,
    pub(crate) observations: Observations<'a>,
}

/// The observations of an entity.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Observations<'a> {
    /// A list of strings, as it is written in JSON.
    Json(&'a str),
    Plain(&'a [&'a str]),
}

/// A relation, as a line or a call has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relation<'a> {
    pub(crate) from: Text<'a>,
    pub(crate) to: Text<'a>,
    pub(crate) kind: Text<'a>,
}

impl<'a> Observations<'a> {
    pub(crate) fn iter(self) -> impl Iterator<Item = Text<'a>> {
        let (json, plain) = match self {
            Self::Json(json) => (json, &[][..]),
            Self::Plain(plain) => ("", plain),
        };
        Strings { rest: json }.map(Text::Escaped).chain(plain.iter().map(|text| Text::Plain(text)))
    }
}

/// The strings of a list that was checked by [`is_list_of_strings`].
struct Strings<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let start = memchr::memchr(b'"', self.rest.as_bytes())? + 1;
        let end = start + string_end(&self.rest[start..])?;
        let inside = &self.rest[start..end];
        self.rest = &self.rest[end + 1..];
        Some(inside)
    }
}

/// Where the quote is that ends a string.
fn string_end(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', text.as_bytes().get(at..)?)?;
        if text.as_bytes()[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
    }
}

/// Whether JSON is a list, and all that it holds are strings.
fn is_list_of_strings(json: &str) -> bool {
    let Some(mut rest) = json.strip_prefix('[').and_then(|list| list.strip_suffix(']')) else { return false };
    loop {
        rest = rest.trim_start_matches(|byte: char| byte == ',' || byte.is_ascii_whitespace());
        match rest.strip_prefix('"').map(|inside| (inside, string_end(inside))) {
            Some((inside, Some(end))) => rest = &inside[end + 1..],
            Some((_, None)) => return false,
            None => return rest.is_empty(),
        }
    }
}

/// Reads a line.
///
/// # Errors
/// Why it is neither an entity, nor a relation, nor of another type, as the end of a sentence about it.
pub(crate) fn read(line: &str) -> Result<Item<'_>, String> {
    let members: Members<'_> = match serde_json::from_str(line) {
        Ok(members) => members,
        // It may be JSON that is no object.
        Err(error) => {
            return match serde_json::from_str::<IgnoredAny>(line) {
                Ok(_) => Ok(Item::Foreign),
                // A line is line 1 of its own text only.
                Err(_) => Err(format!("is not JSON ({error})").replace(" at line 1 column ", " at column ")),
            };
        }
    };
    let kind = members.kind.map_or("", RawValue::get);
    match kind {
        r#""entity""# => Ok(Item::Entity(Entity {
            name: text(kind, "name", members.name)?,
            // The reference fails for all of the graph where these are missing.
            kind: members
                .entity_type
                .map_or(Ok(Text::Plain("")), |member| text(kind, "entityType", Some(member)))?,
            observations: match members.observations.map(RawValue::get) {
                None => Observations::Plain(&[]),
                Some(json) if is_list_of_strings(json) => Observations::Json(json),
                Some(_) => return Err("is an entity, and its observations are no list of strings".to_owned()),
            },
        })),
        r#""relation""# => Ok(Item::Relation(Relation {
            from: text(kind, "from", members.from)?,
            to: text(kind, "to", members.to)?,
            kind: text(kind, "relationType", members.relation_type)?,
        })),
        _ => Ok(Item::Foreign),
    }
}

/// The inside of a string.
fn text<'a>(kind: &str, name: &str, member: Option<&'a RawValue>) -> Result<Text<'a>, String> {
    let inside = member.and_then(|member| member.get().strip_prefix('"')?.strip_suffix('"'));
    inside.map(Text::Escaped).ok_or_else(|| format!("is of type {kind}, and its {name} is no string"))
}

/// The members of a line that the tools know, as they are written. Of several of one name the last counts.
#[derive(Debug, Default)]
struct Members<'a> {
    kind: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    entity_type: Option<&'a RawValue>,
    observations: Option<&'a RawValue>,
    from: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
    relation_type: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Member {
    Type,
    Name,
    EntityType,
    Observations,
    From,
    To,
    RelationType,
    #[serde(other)]
    Unknown,
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(member) = map.next_key()? {
                    let place = match member {
                        Member::Type => &mut members.kind,
                        Member::Name => &mut members.name,
                        Member::EntityType => &mut members.entity_type,
                        Member::Observations => &mut members.observations,
                        Member::From => &mut members.from,
                        Member::To => &mut members.to,
                        Member::RelationType => &mut members.relation_type,
                        Member::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = Some(map.next_value()?);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Walk)
    }
}

impl Entity<'_> {
    /// Writes its members. Those of a line begin with its type, those of an answer have none.
    pub(crate) fn write<S: Sink>(&self, json: &mut Json<'_, S>, is_line: bool) {
        json.open("{");
        if is_line {
            json.key(r#""type":"#);
            json.string(Text::Plain("entity"));
        }
        json.key(r#""name":"#);
        json.string(self.name);
        json.key(r#""entityType":"#);
        json.string(self.kind);
        json.key(r#""observations":"#);
        json.open("[");
        for observation in self.observations.iter() {
            json.item();
            json.string(observation);
        }
        json.close("]");
        json.close("}");
    }
}

impl Relation<'_> {
    /// Writes its members, as [`Entity::write`] does.
    pub(crate) fn write<S: Sink>(&self, json: &mut Json<'_, S>, is_line: bool) {
        json.open("{");
        if is_line {
            json.key(r#""type":"#);
            json.string(Text::Plain("relation"));
        }
        json.key(r#""from":"#);
        json.string(self.from);
        json.key(r#""to":"#);
        json.string(self.to);
        json.key(r#""relationType":"#);
        json.string(self.kind);
        json.close("}");
    }
}

/// A line with another list of observations; all else of it stays as it is written.
pub(crate) fn with_observations(line: &str, observations: &str) -> String {
    let members = serde_json::from_str::<Members<'_>>(line).unwrap_or_default();
    let list = members.observations.map(RawValue::get);
    let range = list.map(|list| {
        let start = list.as_ptr() as usize - line.as_ptr() as usize;
        start..start + list.len()
    });
    if let Some(range) = range {
        return [&line[..range.start], observations, &line[range.end..]].concat();
    }
    let end = line.rfind('}').unwrap_or(line.len());
    [&line[..end], r#","observations":"#, observations, &line[end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_order_of_its_members() {
        let line = r#" {"observations": [ "a\"]" , "b" ,"" ], "more": {"x": [1]}, "entityType": "t", "name": "n\u00e9", "name": "last", "type": "entity"} "#;
        let Ok(Item::Entity(entity)) = read(line) else { panic!("no entity: {:?}", read(line)) };
        assert!(entity.name.is("last"));
        let observations: Vec<String> =
            entity.observations.iter().map(|text| text.decoded(&mut String::new()).to_owned()).collect();
        assert_eq!(observations, ["a\"]", "b", ""]);
        let Ok(Item::Entity(bare)) = read(r#"{"type":"entity","name":"n"}"#) else { panic!("no entity") };
        assert_eq!(bare.observations.iter().count(), 0);
    }

    #[test]
    fn what_is_neither_is_kept_or_named() {
        for foreign in ["1", "null", "[]", "{}", r#"{"type":"other","name":1}"#, r#"{"type":{}}"#] {
            assert!(matches!(read(foreign), Ok(Item::Foreign)), "{foreign}");
        }
        for (broken, fault) in [
            ("{", "is not JSON"),
            ("{} {}", "is not JSON"),
            (r#"{"type":"entity"}"#, "its name is no string"),
            (r#"{"type":"entity","name":"n","observations":["a",1]}"#, "no list of strings"),
            (r#"{"type":"entity","name":"n","observations":"a"}"#, "no list of strings"),
            (r#"{"type":"entity","name":"n","entityType":2}"#, "its entityType is no string"),
            (r#"{"type":"relation","from":"a","to":"b"}"#, "its relationType is no string"),
        ] {
            let found = read(broken).expect_err(broken);
            assert!(found.contains(fault), "{broken}: {found}");
        }
    }

    #[test]
    fn other_members_stay() {
        let line = r#"{"type":"entity","observations":["a"],"name":"n","x":1}"#;
        assert_eq!(
            with_observations(line, r#"["b"]"#),
            r#"{"type":"entity","observations":["b"],"name":"n","x":1}"#
        );
        assert_eq!(
            with_observations(r#"{"type":"entity","name":"n"}"#, "[]"),
            r#"{"type":"entity","name":"n","observations":[]}"#
        );
    }
}
