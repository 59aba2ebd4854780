//! The parts of a schema that rules look at. Reads what anybody's server lists: depth and number of parts are bounded.

use serde_json::Value;

/// Most parts of one schema that are looked at.
const MAX_NODES: usize = 10_000;
/// Deepest nesting that is looked at.
const MAX_DEPTH: usize = 64;
/// Keywords whose schemas apply to the value beside the others.
pub(super) const COMBINATORS: [&str; 3] = ["anyOf", "oneOf", "allOf"];

/// Where a part of a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The schema itself.
    Root,
    /// A member of an object, by name or any other.
    Property,
    /// What a list holds.
    Items,
    /// One of several alternatives.
    Branch,
    /// Referred to by others.
    Definition,
}

/// One part.
#[derive(Debug)]
pub(super) struct Node<'s> {
    /// How a person finds it: `edits[].oldText`.
    pub(super) path: String,
    pub(super) value: &'s Value,
    pub(super) kind: Kind,
    /// How many lists and objects are around it.
    pub(super) depth: usize,
}

impl<'s> Node<'s> {
    /// Whether it allows values of that type, by its own word.
    pub(super) fn has_type(&self, name: &str) -> bool {
        match &self.value["type"] {
            Value::String(own) => own == name,
            Value::Array(own) => own.iter().any(|own| own == name),
            _ => false,
        }
    }

    pub(super) fn has(&self, keyword: &str) -> bool {
        self.value.get(keyword).is_some()
    }

    pub(super) fn has_combinator(&self) -> bool {
        COMBINATORS.iter().any(|keyword| self.has(keyword))
    }

    fn child(&self, path: String, value: &'s Value, kind: Kind) -> Self {
        let is_deeper = matches!(kind, Kind::Property | Kind::Items);
        Self { path, value, kind, depth: self.depth + usize::from(is_deeper) }
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn children(&self) -> Vec<Self> {
        let mut found = Vec::new();
        for (keyword, kind) in [
            ("properties", Kind::Property),
            ("patternProperties", Kind::Property),
            ("$defs", Kind::Definition),
        ] {
            for (name, value) in self.value[keyword].as_object().into_iter().flatten() {
                let name = if kind == Kind::Definition { format!("$defs.{name}") } else { name.clone() };
                found.push(self.child(self.below(&name), value, kind));
            }
        }
        for (name, value) in self.value["definitions"].as_object().into_iter().flatten() {
            found.push(self.child(self.below(&format!("definitions.{name}")), value, Kind::Definition));
        }
        if let Some(items) = self.value.get("items") {
            found.push(self.child(format!("{}[]", self.path), items, Kind::Items));
        }
        for (at, item) in self.value["prefixItems"].as_array().into_iter().flatten().enumerate() {
            found.push(self.child(format!("{}[{at}]", self.path), item, Kind::Items));
        }
        if let Some(others) = self.value.get("additionalProperties").filter(|others| others.is_object()) {
            found.push(self.child(self.below("*"), others, Kind::Property));
        }
        for keyword in COMBINATORS {
            for (at, branch) in self.value[keyword].as_array().into_iter().flatten().enumerate() {
                let path = self.below(&format!("{keyword}[{at}]"));
                found.push(self.child(path, branch, Kind::Branch));
            }
        }
        found
    }
}

/// All parts of a schema, itself first.
pub(super) fn nodes(schema: &Value) -> Vec<Node<'_>> {
    let mut found = vec![Node { path: String::new(), value: schema, kind: Kind::Root, depth: 0 }];
    let mut at = 0;
    while at < found.len() && found.len() < MAX_NODES {
        if found[at].depth < MAX_DEPTH {
            let children = found[at].children();
            found.extend(children);
        }
        at += 1;
    }
    found.truncate(MAX_NODES);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_part_has_a_path_that_a_person_can_follow() {
        let schema = json!({
            "properties": {"edits": {"items": {"properties": {"old": {"anyOf": [{}, {}]}}}}},
            "additionalProperties": {"type": "string"},
            "$defs": {"one": {}},
        });
        let found: Vec<_> = nodes(&schema).into_iter().map(|node| (node.path, node.depth)).collect();
        for want in [("", 0), ("edits", 1), ("edits[]", 2), ("edits[].old", 3), ("*", 1), ("$defs.one", 0)] {
            assert!(found.contains(&(want.0.to_owned(), want.1)), "{want:?}: {found:?}");
        }
        assert!(found.contains(&("edits[].old.anyOf[1]".to_owned(), 3)), "{found:?}");
    }

    #[test]
    fn a_schema_of_any_size_and_depth_is_looked_at_within_bounds() {
        let mut deep = json!({"type": "string"});
        for _ in 0..500 {
            deep = json!({"type": "array", "items": deep});
        }
        assert_eq!(nodes(&deep).len(), MAX_DEPTH + 1);
        let wide: serde_json::Map<_, _> = (0..50_000).map(|n| (n.to_string(), json!({}))).collect();
        assert_eq!(nodes(&json!({"properties": wide})).len(), MAX_NODES);
    }
}
