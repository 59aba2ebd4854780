//! Finds the arguments that clients repeat in headers: `x-mcp-header` in a tool's input schema (SEP-2243).

use serde_json::Value;
use thiserror::Error;

/// The annotation in a property's schema.
const KEY: &str = "x-mcp-header";

/// An argument that is repeated in the header `Mcp-Param-{header}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirroredParam {
    pub(crate) header: Box<str>,
    /// Names of the properties that lead to it.
    pub(crate) path: Box<[Box<str>]>,
}

/// Why an annotation cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum MirrorFault {
    #[error("{place}: x-mcp-header must be a name of letters, digits and -._ and the like")]
    Name { place: String },
    #[error("{place}: two properties are repeated in the header {header}")]
    Duplicate { place: String, header: String },
    #[error("{place}: only strings, integers and booleans can be repeated in a header")]
    Type { place: String },
    #[error("{place}: x-mcp-header works only on properties of objects, all the way from the root")]
    Unreachable { place: String },
}

/// The arguments that a schema says are repeated in headers.
pub(crate) fn mirrored(schema: &Value) -> Result<Vec<MirroredParam>, MirrorFault> {
    let mut found = Vec::new();
    walk(schema, &mut Vec::new(), true, &mut found)?;
    Ok(found)
}

fn walk(
    schema: &Value,
    path: &mut Vec<Box<str>>,
    is_reachable: bool,
    found: &mut Vec<MirroredParam>,
) -> Result<(), MirrorFault> {
    let Value::Object(members) = schema else {
        if let Value::Array(items) = schema {
            items.iter().try_for_each(|item| walk(item, path, false, found))?;
        }
        return Ok(());
    };
    if let Some(annotation) = members.get(KEY) {
        let place = path.join(".");
        // An annotation on the root names no property.
        if !is_reachable || path.is_empty() {
            return Err(MirrorFault::Unreachable { place });
        }
        let header = annotation.as_str().filter(|name| is_token(name));
        let header = header.ok_or_else(|| MirrorFault::Name { place: place.clone() })?;
        if !matches!(members.get("type").and_then(Value::as_str), Some("string" | "integer" | "boolean")) {
            return Err(MirrorFault::Type { place });
        }
        if found.iter().any(|other| other.header.eq_ignore_ascii_case(header)) {
            return Err(MirrorFault::Duplicate { place, header: header.to_owned() });
        }
        found.push(MirroredParam { header: header.into(), path: path.clone().into() });
    }
    for (key, value) in members {
        match value {
            Value::Object(properties) if key == "properties" => {
                for (name, property) in properties {
                    path.push(name.as_str().into());
                    walk(property, path, is_reachable, found)?;
                    path.pop();
                }
            }
            // Names of definitions and values of these are not schemas' own.
            _ if matches!(key.as_str(), "const" | "enum" | "default" | "examples") => {}
            _ => walk(value, path, false, found)?,
        }
    }
    Ok(())
}

/// Whether a name may be part of a header's name (RFC 9110, 5.6.2).
fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn annotations_are_found_where_they_may_be() {
        let schema = json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"id": {"type": "integer", "x-mcp-header": "Id"}}},
            "plain": {"type": "string", "default": {"x-mcp-header": 1}},
        }});
        let found = mirrored(&schema).expect("valid");
        let names: Vec<_> = found.iter().map(|param| (&*param.header, param.path.join("."))).collect();
        assert_eq!(names, [("Id", "deep.id".to_owned()), ("Region", "region".to_owned())]);
    }

    #[test]
    fn other_annotations_are_refused() {
        let of = |property: Value| json!({"type": "object", "properties": {"p": property}});
        let rows = [
            of(json!({"type": "string", "x-mcp-header": ""})),
            of(json!({"type": "string", "x-mcp-header": "a b"})),
            of(json!({"type": "string", "x-mcp-header": "a\r\nb"})),
            of(json!({"type": "string", "x-mcp-header": 1})),
            of(json!({"type": "number", "x-mcp-header": "N"})),
            of(json!({"type": "object", "x-mcp-header": "O"})),
            of(json!({"x-mcp-header": "U"})),
            of(json!({"type": "array", "items": {"type": "string", "x-mcp-header": "I"}})),
            of(json!({"oneOf": [{"type": "string", "x-mcp-header": "I"}]})),
            json!({"type": "object", "x-mcp-header": "Root"}),
            json!({"type": "object", "if": {"properties": {"p": {"type": "string", "x-mcp-header": "I"}}}}),
            json!({"type": "object", "properties": {
                "a": {"type": "string", "x-mcp-header": "Same"}, "b": {"type": "string", "x-mcp-header": "same"}}}),
        ];
        for schema in rows {
            assert!(mirrored(&schema).is_err(), "{schema}");
        }
    }
}
