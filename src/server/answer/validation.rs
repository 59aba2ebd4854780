//! Validation of arguments and structured answers by the schemas that no Rust type enforces.
//!
//! A schema derived from a type needs no validation, because decoding enforces it. A schema given as text is compiled
//! once, when the server is built, and validates every call. Bounds: the schema's length (`max_schema_bytes`), nothing
//! is fetched from a network or a file, and patterns run in linear time.

use crate::limits::Limits;
use crate::protocol::ToolDefinition;
use crate::server::answer::catalog::CatalogError;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use std::fmt::Write as _;

/// Faults that an answer names; further ones mostly follow from these.
const NAMED_FAULTS: usize = 3;

/// The compiled schemas of all tools, by index.
#[derive(Debug, Default)]
pub(crate) struct Validators {
    tools: Box<[ToolValidators]>,
}

#[derive(Debug, Default)]
struct ToolValidators {
    arguments: Option<Box<Validator>>,
    output: Option<Box<Validator>>,
}

impl Validators {
    /// Compiles the schemas that were given as text.
    ///
    /// # Errors
    /// When a schema is not valid, is too long, or refers to something outside of it.
    pub(crate) fn new(tools: &[ToolDefinition], limits: &Limits) -> Result<Self, CatalogError> {
        let of_tool = |tool: &ToolDefinition| {
            let compile = |schema: Option<&str>| {
                let refuse = |fault| CatalogError::Schema { name: tool.name().to_owned(), fault };
                schema.map(|schema| compile(schema, limits).map_err(refuse)).transpose()
            };
            Ok(ToolValidators {
                arguments: compile(tool.unenforced_input())?,
                output: compile(tool.unenforced_output())?,
            })
        };
        Ok(Self { tools: tools.iter().map(of_tool).collect::<Result<_, CatalogError>>()? })
    }

    /// Whether the arguments of a tool are validated.
    pub(crate) fn has_arguments(&self, tool: usize) -> bool {
        self.tools.get(tool).is_some_and(|tool| tool.arguments.is_some())
    }

    /// Checks the arguments of a tool, given as JSON text.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub(crate) fn check_arguments(&self, tool: usize, json: &str) -> Result<(), String> {
        check(self.tools.get(tool).and_then(|tool| tool.arguments.as_deref()), json)
    }

    /// Checks the structured answer of a tool, given as JSON text.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn check_output(&self, tool: usize, json: &str) -> Result<(), String> {
        check(self.tools.get(tool).and_then(|tool| tool.output.as_deref()), json)
    }
}

fn compile(schema: &str, limits: &Limits) -> Result<Box<Validator>, String> {
    let limit = limits.max_schema_bytes;
    if schema.len() > limit {
        return Err(format!("it has {} bytes, {limit} are allowed (setting max_schema_bytes)", schema.len()));
    }
    let schema: Value = serde_json::from_str(schema).map_err(|error| error.to_string())?;
    jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map(Box::new)
        .map_err(|error| error.to_string())
}

fn check(validator: Option<&Validator>, json: &str) -> Result<(), String> {
    let Some(validator) = validator else { return Ok(()) };
    let value: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if validator.is_valid(&value) {
        return Ok(());
    }
    Err(explain(validator, &value))
}

#[cold]
fn explain(validator: &Validator, value: &Value) -> String {
    let mut text = String::new();
    for fault in validator.iter_errors(value).take(NAMED_FAULTS) {
        let separator = if text.is_empty() { "" } else { "; " };
        let place = fault.instance_path().to_string();
        let place = place.trim_start_matches('/').replace('/', ".");
        let at = if place.is_empty() { String::new() } else { format!(" at {place}") };
        let _ = write!(text, "{separator}{fault}{at}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(schema: &str) -> ToolDefinition {
        ToolDefinition::new("t", "A tool.").input_schema(schema)
    }

    fn validators(schema: &str) -> Result<Validators, CatalogError> {
        Validators::new(&[tool(schema)], &Limits::default())
    }

    #[test]
    fn schemas_given_as_text_are_held() {
        let validators = validators(
            r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"],"additionalProperties":false}"#,
        )
        .expect("a schema");
        assert_eq!(validators.check_arguments(0, r#"{"n":1}"#), Ok(()));
        for (arguments, want) in [
            (r#"{"n":0}"#, "0 is less than the minimum of 1 at n"),
            ("{}", r#""n" is a required property"#),
            (r#"{"n":1,"m":2}"#, "'m' was unexpected"),
            (r#"{"n":"1"}"#, r#"is not of type "integer" at n"#),
        ] {
            let explained = validators.check_arguments(0, arguments).expect_err(arguments);
            assert!(explained.contains(want), "{explained}");
        }
        assert_eq!(validators.check_arguments(7, "{}"), Ok(()), "no such tool");
    }

    #[test]
    fn schemas_from_types_are_not_held_twice() {
        #[derive(schemars::JsonSchema)]
        #[allow(dead_code, reason = "only its schema is of use")]
        struct Typed {
            n: u8,
        }
        let tool = ToolDefinition::new("t", "A tool.").arguments::<Typed>();
        let validators = Validators::new(&[tool], &Limits::default()).expect("nothing to compile");
        assert_eq!(validators.check_arguments(0, "{}"), Ok(()));
    }

    #[test]
    fn schemas_that_cannot_be_held_are_refused() {
        for schema in [
            r#"{"type":"objekt"}"#,
            r#"{"type":"object","properties":{"a":{"$ref":"https://example.com/a.json"}}}"#,
            r#"{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}"#,
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/missing"}}}"##,
            r#"{"type":"object","properties":{"a":{"pattern":"(?=x)"}}}"#,
            "[1]",
        ] {
            assert!(validators(schema).is_err(), "{schema}");
        }
        let long = format!(r#"{{"type":"object","description":"{}"}}"#, "x".repeat(1 << 20));
        let error = validators(&long).expect_err("too long").to_string();
        assert!(error.contains("max_schema_bytes"), "{error}");
    }

    #[test]
    fn other_dialects_are_honoured() {
        let draft4 = r#"{"$schema":"http://json-schema.org/draft-04/schema#","type":"object","properties":{"n":{"type":"number","minimum":1,"exclusiveMinimum":true}}}"#;
        let validators = validators(draft4).expect("draft 4");
        assert!(validators.check_arguments(0, r#"{"n":1}"#).is_err());
        assert!(validators.check_arguments(0, r#"{"n":2}"#).is_ok());
    }

    #[test]
    fn patterns_cannot_take_for_ever() {
        let validators =
            validators(r#"{"type":"object","properties":{"a":{"type":"string","pattern":"^(a+)+$"}}}"#)
                .expect("a schema");
        let hostile = format!(r#"{{"a":"{}!"}}"#, "a".repeat(50_000));
        assert!(validators.check_arguments(0, &hostile).is_err());
    }
}
