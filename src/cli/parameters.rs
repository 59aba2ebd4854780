//! Reads the input schema of a tool as a list of parameters. Does not know where values come from.
//!
//! It reads what describes a flat list of arguments (properties, required, types, enumerations, local
//! references); a schema with more in it still works, because a value that is valid JSON is sent as such.

use super::terminal::{columns, padding, wrap};
use crate::client::Tool;
use crate::visible;
use serde_json::Value;
use std::fmt::Write;

/// The most references that are followed in a row; then the schema is taken as it is.
const MAX_REFERENCES: usize = 8;
/// How deep schemas in alternatives and lists are read.
const MAX_NESTING: usize = 4;
/// The most values of an enumeration that are shown.
const SHOWN_VALUES: usize = 6;
/// Columns of a message about arguments, and those that a description has at least beside its argument.
const WIDTH: usize = 80;
const MIN_WIDTH: usize = 24;
/// Characters of the longest description of an argument; `mcpool tools --json` has them whole.
const MAX_DESCRIPTION: usize = 240;

/// One argument that a tool takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter<'t> {
    pub(super) name: &'t str,
    pub(super) required: bool,
    pub(super) schema: Schema<'t>,
}

/// A part of a tool's input schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema<'t> {
    root: &'t Value,
    part: &'t Value,
}

/// Types that a value may have. None set means any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kinds(u8);

/// The types of JSON schema, in the order in which they are shown.
const KINDS: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];

impl Kinds {
    pub(super) fn allow(self, kind: &str) -> bool {
        self.0 == 0 || KINDS.iter().position(|name| *name == kind).is_some_and(|bit| self.0 & (1 << bit) != 0)
    }

    pub(super) fn is_any(self) -> bool {
        self.0 == 0
    }

    fn add(&mut self, kind: &str) {
        if let Some(bit) = KINDS.iter().position(|name| *name == kind) {
            self.0 |= 1 << bit;
        }
    }

    /// Tells whether `value` has one of these types.
    pub(super) fn fit(self, value: &Value) -> bool {
        match value {
            Value::Null => self.allow("null"),
            Value::Bool(_) => self.allow("boolean"),
            Value::Number(number) => self.allow("number") || (self.allow("integer") && !number.is_f64()),
            Value::String(_) => self.allow("string"),
            Value::Array(_) => self.allow("array"),
            Value::Object(_) => self.allow("object"),
        }
    }
}

/// The parameters of `tool`: those that must be given first, in the tool's order; then the others by name.
pub(super) fn parameters(tool: &Tool) -> Vec<Parameter<'_>> {
    let root = &tool.input_schema;
    let rank =
        |name: &str| root["required"].as_array().and_then(|all| all.iter().position(|one| one == name));
    let mut parameters: Vec<_> = root["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, part)| Parameter { name, required: rank(name).is_some(), schema: Schema { root, part } })
        .collect();
    parameters.sort_by_key(|parameter| rank(parameter.name).unwrap_or(usize::MAX));
    parameters
}

/// Tells whether `tool` takes arguments beyond those that its schema names.
pub(super) fn takes_others(tool: &Tool) -> bool {
    let named = tool.input_schema["properties"].as_object().is_some_and(|all| !all.is_empty());
    match &tool.input_schema["additionalProperties"] {
        Value::Bool(others) => *others,
        Value::Object(_) => true,
        _ => !named && !tool.input_schema["properties"].is_object(),
    }
}

impl<'t> Schema<'t> {
    /// The schema that this part refers to, or itself.
    fn resolved(self) -> &'t Value {
        let mut part = self.part;
        for _ in 0..MAX_REFERENCES {
            let Some(target) = part["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) else {
                break;
            };
            match self.root.pointer(target) {
                Some(found) => part = found,
                None => break,
            }
        }
        part
    }

    fn part(self, part: &'t Value) -> Self {
        Self { part, ..self }
    }

    /// Types that a value may have.
    pub(super) fn kinds(self) -> Kinds {
        let mut kinds = Kinds::default();
        self.collect_kinds(&mut kinds, MAX_NESTING);
        kinds
    }

    fn collect_kinds(self, kinds: &mut Kinds, nesting: usize) {
        let part = self.resolved();
        match &part["type"] {
            Value::String(kind) => kinds.add(kind),
            Value::Array(all) => all.iter().filter_map(Value::as_str).for_each(|kind| kinds.add(kind)),
            _ => {
                for value in part["enum"].as_array().into_iter().flatten().chain(part.get("const")) {
                    kinds.add(match value {
                        Value::Null => "null",
                        Value::Bool(_) => "boolean",
                        Value::Number(_) => "number",
                        Value::String(_) => "string",
                        Value::Array(_) => "array",
                        Value::Object(_) => "object",
                    });
                }
                if nesting > 0 {
                    for alternative in
                        ["anyOf", "oneOf"].iter().filter_map(|key| part[*key].as_array()).flatten()
                    {
                        self.part(alternative).collect_kinds(kinds, nesting - 1);
                    }
                }
            }
        }
    }

    /// The schema of the items of a list, also of a list among alternatives (`string or list of strings`).
    pub(super) fn items(self) -> Option<Self> {
        let part = self.resolved();
        let alternatives = ["anyOf", "oneOf"].iter().filter_map(|key| part[*key].as_array()).flatten();
        std::iter::once(part)
            .chain(alternatives.map(|alternative| self.part(alternative).resolved()))
            .find_map(|part| part.get("items"))
            .map(|items| self.part(items))
    }

    /// The allowed values, if the schema lists them.
    pub(super) fn allowed(self) -> Option<&'t Vec<Value>> {
        self.resolved()["enum"].as_array()
    }

    /// The description by the tool.
    pub(super) fn description(self) -> &'t str {
        let own = self.part["description"].as_str();
        own.or_else(|| self.resolved()["description"].as_str()).unwrap_or_default()
    }

    /// The type as people write it: `string`, `number`, `string[]`, `asc|desc`.
    pub(super) fn show(self) -> String {
        self.show_nested(MAX_NESTING)
    }

    fn show_nested(self, nesting: usize) -> String {
        if let Some(allowed) = self.allowed() {
            let mut shown: Vec<String> = allowed.iter().take(SHOWN_VALUES).map(show_value).collect();
            if allowed.len() > SHOWN_VALUES {
                shown.push("...".to_owned());
            }
            return shown.join("|");
        }
        let kinds = self.kinds();
        if kinds.is_any() {
            return "any".to_owned();
        }
        let mut shown = String::new();
        for kind in KINDS.iter().filter(|kind| kinds.allow(kind)) {
            let separator = if shown.is_empty() { "" } else { "|" };
            let _ = match (self.items(), *kind) {
                (Some(items), "array") if nesting > 0 => {
                    write!(shown, "{separator}{}[]", items.show_nested(nesting - 1))
                }
                _ => write!(shown, "{separator}{kind}"),
            };
        }
        shown
    }
}

/// A value as a user would type it.
pub(super) fn show_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A paragraph that lists the arguments of `tool`, for messages about wrong arguments.
pub(super) fn describe(tool: &Tool) -> String {
    let (name, parameters) = (visible::line(&tool.name), parameters(tool));
    if parameters.is_empty() {
        return format!("{name} takes no arguments.");
    }
    let shown =
        |parameter: &Parameter<'_>| visible::line(&format!("{}={}", parameter.name, parameter.schema.show()));
    let widest = parameters.iter().map(|parameter| columns(&shown(parameter))).max().unwrap_or_default();
    let mut text = format!("Arguments of {name}:");
    for parameter in &parameters {
        let shown = shown(parameter);
        let need = if parameter.required { "required" } else { "optional" };
        let _ = write!(text, "\n  {shown}{}  {need}", padding(&shown, widest));
        let description = super::render::one_line(parameter.schema.description(), MAX_DESCRIPTION);
        let indent = widest + 2 + "  required  ".len();
        let (indent, room) =
            if indent + MIN_WIDTH <= WIDTH { (indent, WIDTH - indent) } else { (6, WIDTH - 6) };
        for (number, line) in wrap(&description, room).iter().filter(|line| !line.is_empty()).enumerate() {
            let _ = match number {
                0 if indent > 6 => write!(text, "  {line}"),
                _ => write!(text, "\n{:indent$}{line}", ""),
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(schema: &Value) -> Tool {
        serde_json::from_str(&json!({"name": "t", "inputSchema": schema}).to_string()).expect("a tool")
    }

    #[test]
    fn what_a_server_calls_its_arguments_steers_no_terminal() {
        let hostile = visible::HOSTILE.concat();
        let property = json!({"type": "string", "enum": [hostile], "description": hostile});
        let mut named = tool(&json!({"type": "object", "properties": {(hostile.clone()): property}}));
        named.name.clone_from(&hostile);
        let text = describe(&named);
        assert!(visible::is_harmless(&text) && text.lines().count() < 20, "{text:?}");
        named.input_schema = Value::Null;
        assert!(visible::is_harmless(&describe(&named)));
    }

    #[test]
    fn types_are_shown_as_people_write_them() {
        let schema = json!({
            "type": "object", "required": ["z"],
            "properties": {
                "a": {"type": "string"},
                "b": {"type": ["string", "null"]},
                "c": {"type": "array", "items": {"type": "string"}},
                "d": {"enum": ["name", "size"]},
                "e": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/flag"}]},
                "f": {"$ref": "#/$defs/loop"},
                "g": {},
                "h": {"type": "array", "items": {"type": "object", "properties": {}}},
                "z": {"$ref": "#/$defs/flag"}
            },
            "$defs": {"flag": {"type": "boolean"}, "loop": {"$ref": "#/$defs/loop"}}
        });
        let tool = tool(&schema);
        let shown: Vec<_> = parameters(&tool).iter().map(|p| (p.name, p.schema.show(), p.required)).collect();
        let want = [
            ("z", "boolean", true),
            ("a", "string", false),
            ("b", "string|null", false),
            ("c", "string[]", false),
            ("d", "name|size", false),
            ("e", "integer|boolean", false),
            ("f", "any", false),
            ("g", "any", false),
            ("h", "object[]", false),
        ];
        assert_eq!(shown, want.map(|(name, kind, required)| (name, kind.to_owned(), required)));
    }

    #[test]
    fn a_schema_that_contains_itself_is_shown_to_a_fixed_depth() {
        let tool = tool(&json!({
            "properties": {"tree": {"$ref": "#/$defs/tree"}},
            "$defs": {"tree": {"anyOf": [
                {"$ref": "#/$defs/tree"},
                {"type": "array", "items": {"$ref": "#/$defs/tree"}}
            ]}}
        }));
        assert_eq!(parameters(&tool)[0].schema.show(), "array[][][][]");
    }

    #[test]
    fn whether_others_are_taken_is_read_from_the_schema() {
        for (schema, want) in [
            (json!({"properties": {"a": {}}}), false),
            (json!({"properties": {"a": {}}, "additionalProperties": true}), true),
            (json!({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}), true),
            (json!({"type": "object", "properties": {}}), false),
            (json!({"type": "object"}), true),
            (json!({"type": "object", "additionalProperties": false}), false),
        ] {
            assert_eq!(takes_others(&tool(&schema)), want, "{schema}");
        }
    }
}
