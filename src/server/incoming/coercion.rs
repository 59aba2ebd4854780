//! Corrects arguments whose values have another JSON type than the schema wants, or lists everything that is wrong.
//!
//! Models write `"2"` for 2, `"true"` for true, a list as the text of its JSON, and null for what they leave out. Such
//! a value is replaced only if the schema allows exactly one meaning: never where a string is allowed, never by
//! guessing. Only refused arguments are corrected, so that all others cost nothing. The result is JSON again, and is
//! decoded and validated as if the client had sent it.
//!
//! The module does not know what a tool does with its arguments. Invariant: the result is at most a little longer than
//! the arguments, and a fault quotes little of them.

use crate::protocol::ToolDefinition;
use crate::wire::{Kind, Lexer, Raw};
use bumpalo::Bump;
use serde_json::Value;
use std::fmt::Write as _;

/// Faults that are listed; the text says if there are more.
const MAX_FAULTS: usize = 16;

/// Characters of a client's string or name that a fault quotes.
const MAX_QUOTED: usize = 40;

/// Levels of arguments that are corrected; deeper ones are left to the decoder.
const MAX_LEVELS: usize = 32;

/// References and choices of a schema that are followed for one value.
const MAX_REFERENCES: usize = 8;

/// Larger doubles have gaps: more than one whole number may be meant.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// What reading arguments again finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Correction {
    /// The arguments fit the types of the schema.
    Unchanged,
    /// The corrected arguments.
    Corrected(String),
    /// The faults, in one line.
    Faulty(String),
}

/// Reads arguments again, with the schema that they do not fit.
#[cold]
pub(crate) fn reread<'f>(tool: &ToolDefinition, arguments: &'f str, arena: &'f Bump) -> Correction {
    let schema = serde_json::from_str::<Value>(tool.input_schema_text());
    let Ok(schema) = schema else { return Correction::Unchanged };
    let mut reader = Reader {
        schemas: Schemas { root: &schema },
        arena,
        out: String::with_capacity(arguments.len()),
        path: String::new(),
        faults: Vec::new(),
        has_more_faults: false,
        has_changed: false,
        is_exact: tool.is_exact(),
    };
    let whole = Lexer::from_text(arguments).raw();
    match whole {
        Ok(whole) => reader.value(whole, &schema, 0),
        // Not JSON: the decoder has reported it.
        Err(_) => return Correction::Unchanged,
    }
    if !reader.faults.is_empty() {
        let more = if reader.has_more_faults { "; and more" } else { "" };
        return Correction::Faulty(reader.faults.join("; ") + more);
    }
    if reader.has_changed { Correction::Corrected(reader.out) } else { Correction::Unchanged }
}

/// One walk through the arguments and their schema.
struct Reader<'s, 'f> {
    schemas: Schemas<'s>,
    arena: &'f Bump,
    out: String,
    /// The position of the walk: `edits[2].newText`.
    path: String,
    faults: Vec<String>,
    has_more_faults: bool,
    has_changed: bool,
    /// The tool wants no corrections.
    is_exact: bool,
}

impl<'s, 'f> Reader<'s, 'f> {
    /// Writes a value, corrected if necessary.
    fn value(&mut self, raw: Raw<'f>, schema: &'s Value, level: usize) {
        let kind = raw.kind();
        let types = self.schemas.types(schema, 0);
        if level > MAX_LEVELS {
            self.out.push_str(raw.as_str());
            return;
        }
        match kind {
            Kind::Number if types.has(Types::NUMBER) => self.number(raw, schema),
            Kind::Number if types.has(Types::INTEGER) => self.integer(raw, schema),
            Kind::String if types.has(Types::STRING) => self.string(raw, schema),
            Kind::Array if types.has(Types::ARRAY) => self.array(raw, schema, level),
            Kind::Object if types.has(Types::OBJECT) => self.object(raw, schema, level),
            Kind::Null if types.has(Types::NULL) => self.out.push_str(raw.as_str()),
            Kind::Bool if types.has(Types::BOOLEAN) => self.out.push_str(raw.as_str()),
            Kind::String => match self.one_reading(raw, types) {
                Some(meant) => {
                    self.has_changed = true;
                    self.value(meant, schema, level + 1);
                }
                None => self.wrong_type(raw, types),
            },
            _ => self.wrong_type(raw, types),
        }
    }

    /// The text of a string read as JSON, if the schema allows a value of that type here.
    fn one_reading(&self, raw: Raw<'f>, types: Types) -> Option<Raw<'f>> {
        if self.is_exact {
            return None;
        }
        let text = Lexer::from_text(raw.as_str()).string(self.arena).ok()?.trim();
        let mut lexer = Lexer::from_text(text);
        let meant = lexer.raw().ok()?;
        lexer.finish().ok()?;
        let is_wanted = match meant.kind() {
            Kind::Number => types.has(Types::NUMBER) || types.has(Types::INTEGER),
            Kind::Bool => types.has(Types::BOOLEAN),
            Kind::Array => types.has(Types::ARRAY),
            Kind::Object => types.has(Types::OBJECT),
            Kind::Null | Kind::String => false,
        };
        is_wanted.then_some(meant)
    }

    fn number(&mut self, raw: Raw<'f>, schema: &'s Value) {
        self.check_range(raw, schema);
        self.out.push_str(raw.as_str());
    }

    /// Writes a whole number, which may be spelled 2.0.
    fn integer(&mut self, raw: Raw<'f>, schema: &'s Value) {
        self.check_range(raw, schema);
        let text = raw.as_str();
        if !text.contains(['.', 'e', 'E']) {
            self.out.push_str(text);
            return;
        }
        match text.parse::<f64>() {
            Ok(number) if number.fract() == 0.0 && number.abs() <= LARGEST_EXACT && !self.is_exact => {
                self.has_changed = true;
                // Writing to a string does not fail.
                let _ = write!(self.out, "{}", number as i64);
            }
            _ => self.fault(format_args!("must be a whole number, not {}", start_of(text))),
        }
    }

    fn check_range(&mut self, raw: Raw<'f>, schema: &'s Value) {
        let Ok(number) = raw.as_str().parse::<f64>() else { return };
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        if let Some(least) = bound("minimum").filter(|least| number < *least) {
            self.fault(format_args!("must be at least {least}, not {}", start_of(raw.as_str())));
        } else if let Some(most) = bound("maximum").filter(|most| number > *most) {
            self.fault(format_args!("must be at most {most}, not {}", start_of(raw.as_str())));
        }
    }

    fn string(&mut self, raw: Raw<'f>, schema: &'s Value) {
        let choices =
            self.schemas.resolve(schema, Types::STRING, 0).and_then(|schema| schema["enum"].as_array());
        if let Some(choices) = choices
            && let Ok(text) = Lexer::from_text(raw.as_str()).string(self.arena)
            && !choices.iter().any(|choice| choice.as_str() == Some(text))
        {
            let names: Vec<String> = choices.iter().map(Value::to_string).collect();
            self.fault(format_args!("must be one of {}, not {}", names.join(", "), Shown(raw)));
        }
        self.out.push_str(raw.as_str());
    }

    fn array(&mut self, raw: Raw<'f>, schema: &'s Value, level: usize) {
        let schema = self.schemas.resolve(schema, Types::ARRAY, 0);
        let items = schema.and_then(|schema| schema.get("items")).filter(|items| !items.is_array());
        let least = schema.and_then(|schema| schema.get("minItems")).and_then(Value::as_u64).unwrap_or(0);
        let mut lexer = Lexer::from_text(raw.as_str());
        let mut count = 0;
        self.out.push('[');
        // The text is valid JSON: there is an element, or the end.
        let _ = lexer.enter_array();
        while lexer.next_element() == Ok(true) {
            let Ok(element) = lexer.raw() else { break };
            if count > 0 {
                self.out.push(',');
            }
            match items {
                Some(items) => {
                    let len = self.path.len();
                    let _ = write!(self.path, "[{count}]");
                    self.value(element, items, level + 1);
                    self.path.truncate(len);
                }
                None => self.out.push_str(element.as_str()),
            }
            count += 1;
        }
        self.out.push(']');
        if count < least {
            let items = if least == 1 { "item" } else { "items" };
            self.fault(format_args!("must have at least {least} {items}, and has {count}"));
        }
    }

    fn object(&mut self, raw: Raw<'f>, schema: &'s Value, level: usize) {
        let schema = self.schemas.resolve(schema, Types::OBJECT, 0).unwrap_or(&Value::Null);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut missing = required.clone();
        let mut lexer = Lexer::from_text(raw.as_str());
        let mut is_first = true;
        self.out.push('{');
        // The text is valid JSON: there is a member, or the end.
        let _ = lexer.enter_object();
        while let Ok(Some(key)) = lexer.next_key(self.arena) {
            let Ok(value) = lexer.raw() else { break };
            missing.retain(|name| *name != key);
            let known = schema["properties"].get(key);
            if let Some(known) = known
                && value.kind() == Kind::Null
                && !self.is_exact
                && !required.contains(&key)
                && !self.schemas.types(known, 0).has(Types::NULL)
            {
                self.has_changed = true;
                continue;
            }
            if !std::mem::take(&mut is_first) {
                self.out.push(',');
            }
            self.out.push_str(&Value::from(key).to_string());
            self.out.push(':');
            match known {
                Some(known) => self.within(key, |reader| reader.value(value, known, level + 1)),
                None => self.out.push_str(value.as_str()),
            }
        }
        self.out.push('}');
        for name in missing {
            let types =
                schema["properties"].get(name).map_or(Types::ANY, |known| self.schemas.types(known, 0));
            self.within(name, |reader| reader.fault(format_args!("is missing: it must be {types}")));
        }
    }

    fn within(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(start_of(name));
        work(self);
        self.path.truncate(len);
    }

    fn wrong_type(&mut self, raw: Raw<'f>, types: Types) {
        self.fault(format_args!("must be {types}, not {}", Shown(raw)));
    }

    fn fault(&mut self, fault: std::fmt::Arguments<'_>) {
        if self.faults.len() == MAX_FAULTS {
            self.has_more_faults = true;
            return;
        }
        let place = if self.path.is_empty() { "the arguments" } else { &self.path };
        self.faults.push(format!("{place} {fault}"));
    }
}

/// The beginning of a client's text, as a fault quotes it.
fn start_of(text: &str) -> &str {
    text.char_indices().nth(MAX_QUOTED).map_or(text, |(end, _)| &text[..end])
}

/// A value of the wrong type.
struct Shown<'f>(Raw<'f>);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.as_str();
        let start = start_of(text);
        let cut = if start.len() < text.len() { "…" } else { "" };
        match self.0.kind() {
            Kind::Null | Kind::Bool => f.write_str(text),
            Kind::Number => write!(f, "the number {start}{cut}"),
            Kind::String => write!(f, "the string {start}{cut}"),
            Kind::Array => f.write_str("an array"),
            Kind::Object => f.write_str("an object"),
        }
    }
}

/// The types that a schema allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Types(u8);

impl Types {
    const NULL: u8 = 1;
    const BOOLEAN: u8 = 2;
    const INTEGER: u8 = 4;
    const NUMBER: u8 = 8;
    const STRING: u8 = 16;
    const ARRAY: u8 = 32;
    const OBJECT: u8 = 64;
    const ANY: Self = Self(127);

    /// The names of types in schemas and in faults.
    const NAMES: [(u8, &'static str, &'static str); 7] = [
        (Self::STRING, "string", "a string"),
        (Self::NUMBER, "number", "a number"),
        (Self::INTEGER, "integer", "a whole number"),
        (Self::BOOLEAN, "boolean", "true or false"),
        (Self::ARRAY, "array", "an array"),
        (Self::OBJECT, "object", "an object"),
        (Self::NULL, "null", "null"),
    ];

    fn named(name: &Value) -> Self {
        let row = Self::NAMES.iter().find(|row| Some(row.1) == name.as_str());
        row.map_or(Self::ANY, |row| Self(row.0))
    }

    fn of_value(value: &Value) -> Self {
        Self(match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(_) => Self::NUMBER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        })
    }

    fn has(self, types: u8) -> bool {
        self.0 & types > 0
    }

    fn any_of(all: impl Iterator<Item = Self>) -> Self {
        Self(all.fold(0, |any, types| any | types.0))
    }
}

impl std::fmt::Display for Types {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::ANY {
            return f.write_str("given");
        }
        let names = Self::NAMES.iter().filter(|row| self.has(row.0));
        // A number may be whole.
        let names = names.filter(|row| row.0 != Self::INTEGER || !self.has(Self::NUMBER));
        names.enumerate().try_for_each(|(at, row)| {
            f.write_str(if at > 0 { " or " } else { "" })?;
            f.write_str(row.2)
        })
    }
}

/// A schema and those that it refers to.
#[derive(Clone, Copy)]
struct Schemas<'s> {
    root: &'s Value,
}

impl<'s> Schemas<'s> {
    /// The target of a reference within the schema.
    fn referred(self, schema: &'s Value) -> Option<&'s Value> {
        self.root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }

    fn branches(schema: &'s Value) -> Option<&'s Vec<Value>> {
        schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()
    }

    fn types(self, schema: &'s Value, level: usize) -> Types {
        if level > MAX_REFERENCES {
            return Types::ANY;
        }
        match schema.get("type") {
            Some(Value::Array(names)) => return Types::any_of(names.iter().map(Types::named)),
            Some(name) => return Types::named(name),
            None => {}
        }
        if let Some(referred) = self.referred(schema) {
            return self.types(referred, level + 1);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return Types::any_of(values.iter().map(Types::of_value));
        }
        if let Some(value) = schema.get("const") {
            return Types::of_value(value);
        }
        if let Some(branches) = Self::branches(schema) {
            return Types::any_of(branches.iter().map(|branch| self.types(branch, level + 1)));
        }
        let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
        Types(all.fold(Types::ANY.0, |types, one| types & self.types(one, level + 1).0))
    }

    /// The only branch of the schema that describes values of a type; `None` if several do.
    fn resolve(self, schema: &'s Value, wanted: u8, level: usize) -> Option<&'s Value> {
        if level > MAX_REFERENCES {
            return None;
        }
        if let Some(referred) = self.referred(schema) {
            return self.resolve(referred, wanted, level + 1);
        }
        let branches = Self::branches(schema).or_else(|| {
            let all = schema.get("allOf")?.as_array()?;
            (all.len() == 1).then_some(all)
        });
        let Some(branches) = branches else { return Some(schema) };
        let mut fitting = branches.iter().filter(|branch| self.types(branch, level + 1).has(wanted));
        let only = fitting.next()?;
        if fitting.next().is_some() {
            return None;
        }
        self.resolve(only, wanted, level + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r##"{
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "head": {"type": "number"},
            "count": {"type": "integer", "minimum": 0},
            "dryRun": {"type": "boolean"},
            "edits": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Edit"}},
            "names": {"type": "array", "items": {"type": "string"}},
            "order": {"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}]},
            "limit": {"type": ["integer", "null"]},
            "either": {"type": ["number", "string"]},
            "any": true,
            "deep": {"$ref": "#/$defs/Deep"}
        },
        "required": ["path"],
        "$defs": {
            "Edit": {
                "type": "object",
                "properties": {"oldText": {"type": "string"}, "line": {"type": "integer"}},
                "required": ["oldText"]
            },
            "Order": {"type": "string", "enum": ["name", "size"]},
            "Deep": {"type": "object", "properties": {"in": {"$ref": "#/$defs/Deep"}}}
        }
    }"##;

    fn tool(schema: &str) -> ToolDefinition {
        ToolDefinition::new("t", "A tool.").input_schema(schema)
    }

    fn read(arguments: &str) -> Correction {
        reread(&tool(SCHEMA), arguments, &Bump::new())
    }

    #[test]
    fn a_tool_may_want_its_arguments_as_they_stand() {
        let read = |arguments| reread(&tool(SCHEMA).exact_arguments(), arguments, &Bump::new());
        for (arguments, fault) in [
            (r#"{"path":"a","head":null}"#, "head must be a number, not null"),
            (r#"{"path":"a","head":"2"}"#, "head must be a number, not the string \"2\""),
            (r#"{"path":"a","count":2.0}"#, "count must be a whole number, not 2.0"),
        ] {
            assert_eq!(read(arguments), Correction::Faulty(fault.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn what_has_one_meaning_is_taken_for_it() {
        for (arguments, meant) in [
            (r#"{"path":"a","head":null}"#, r#"{"path":"a"}"#),
            (r#"{"head":null,"path":"a","x":null}"#, r#"{"path":"a","x":null}"#),
            (r#"{"path":"a","head":"2"}"#, r#"{"path":"a","head":2}"#),
            (r#"{"path":"a","head":" -2.5e1 "}"#, r#"{"path":"a","head":-2.5e1}"#),
            (r#"{"path":"a","count":2.0}"#, r#"{"path":"a","count":2}"#),
            (r#"{"path":"a","count":"2e2"}"#, r#"{"path":"a","count":200}"#),
            (r#"{"path":"a","dryRun":"true"}"#, r#"{"path":"a","dryRun":true}"#),
            (r#"{"path":"a","edits":"[{\"oldText\":\"x\"}]"}"#, r#"{"path":"a","edits":[{"oldText":"x"}]}"#),
            (
                r#"{"path":"a","edits":["{\"oldText\":\"\\\"x\",\"line\":\"3\"}"]}"#,
                r#"{"path":"a","edits":[{"oldText":"\"x","line":3}]}"#,
            ),
            (r#"{"path":"a","names":"[\"x\"]"}"#, r#"{"path":"a","names":["x"]}"#),
            (r#"{"path":"a","limit":"2"}"#, r#"{"path":"a","limit":2}"#),
            (r#"{"pa\u0074h":"a","head":"1"}"#, r#"{"path":"a","head":1}"#),
        ] {
            assert_eq!(read(arguments), Correction::Corrected(meant.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn what_has_none_is_told_all_at_once() {
        for (arguments, faults) in [
            ("{}", "path is missing: it must be a string"),
            (r#"{"path":null}"#, "path must be a string, not null"),
            (
                r#"{"path":5,"head":"two","dryRun":"yes","names":"x"}"#,
                "path must be a string, not the number 5; head must be a number, not the string \"two\"; \
                 dryRun must be true or false, not the string \"yes\"; names must be an array, not the string \"x\"",
            ),
            (r#"{"path":"a","head":true}"#, "head must be a number, not true"),
            (r#"{"path":"a","head":"null"}"#, "head must be a number, not the string \"null\""),
            (r#"{"path":"a","dryRun":1}"#, "dryRun must be true or false, not the number 1"),
            (r#"{"path":"a","count":1.5}"#, "count must be a whole number, not 1.5"),
            (r#"{"path":"a","count":-1}"#, "count must be at least 0, not -1"),
            (r#"{"path":"a","count":"-1"}"#, "count must be at least 0, not -1"),
            (r#"{"path":"a","edits":[]}"#, "edits must have at least 1 item, and has 0"),
            (
                r#"{"path":"a","edits":[{"oldText":[]},{}]}"#,
                "edits[0].oldText must be a string, not an array; edits[1].oldText is missing: it must be a string",
            ),
            (r#"{"path":"a","names":[null]}"#, "names[0] must be a string, not null"),
            (
                r#"{"path":"a","order":"age"}"#,
                "order must be one of \"name\", \"size\", not the string \"age\"",
            ),
            (r#"{"path":"a","order":1}"#, "order must be a string or null, not the number 1"),
        ] {
            assert_eq!(read(arguments), Correction::Faulty(faults.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn what_fits_stays() {
        for arguments in [
            r#"{"path":"2","either":"2","any":"[1]","limit":null,"order":null,"unknown":"3"}"#,
            r#"{"path":"a","deep":{"in":{"in":{}}}}"#,
        ] {
            assert_eq!(read(arguments), Correction::Unchanged, "{arguments}");
        }
    }

    #[test]
    fn hostile_arguments_stay_bounded() {
        let mut wrong = String::from(r#"{"path":"a","names":["#);
        wrong.push_str(&"1,".repeat(100_000));
        wrong.push_str("1]}");
        let Correction::Faulty(faults) = read(&wrong) else { panic!("taken") };
        assert!(faults.len() < 2_000 && faults.ends_with("; and more"), "{faults}");
        let long = format!(r#"{{"path":"a","head":"{}"}}"#, "é".repeat(100_000));
        let Correction::Faulty(faults) = read(&long) else { panic!("taken") };
        assert!(faults.len() < 200, "{faults}");
        // A value within a string within a string: the schema ends the recursion.
        let mut deep = String::from("{}");
        for _ in 0..12 {
            deep = format!("{{\"in\":{}}}", Value::from(deep));
        }
        assert!(matches!(read(&format!(r#"{{"path":"a","deep":{deep}}}"#)), Correction::Corrected(_)));
        for schema in ["", "[]", r##"{"$ref":"#"}"##, r##"{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}"##] {
            let _ = reread(&tool(schema), r#"{"a":[1]}"#, &Bump::new());
        }
    }
}
