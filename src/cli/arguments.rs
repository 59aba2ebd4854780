//! Turns `key=value` words into the arguments of a call, with the types of the tool's schema.

use super::named_file::{MAX_FILE_BYTES, read_text};
use super::nearest::did_you_mean;
use super::parameters::{Parameter, Schema, describe, parameters, show_value, takes_others};
use crate::client::Tool;
use crate::visible;
use serde_json::{Map, Value};
use std::path::Path;

/// The arguments of `tool` that `words` give, or a message for people about what is wrong.
pub(super) fn from_words(tool: &Tool, words: &[String]) -> Result<Map<String, Value>, String> {
    let known = parameters(tool);
    let mut arguments = Map::new();
    for word in words {
        let Some((name, text)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            let problem = format!("{word:?} is no argument: write KEY=VALUE");
            return Err(explain(&problem, tool));
        };
        let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
            if takes_others(tool) {
                arguments.insert(name.to_owned(), untyped(&text_of(name, text)?));
                continue;
            }
            let suggestion = did_you_mean(name, known.iter().map(|parameter| parameter.name));
            return Err(explain(&format!("{} has no argument {name:?}{suggestion}", tool.name), tool));
        };
        add(&mut arguments, parameter, &text_of(name, text)?).map_err(|problem| explain(&problem, tool))?;
    }
    let missing: Vec<_> =
        known.iter().filter(|p| p.required && !arguments.contains_key(p.name)).map(|p| p.name).collect();
    if !missing.is_empty() {
        return Err(explain(&format!("missing: {}", missing.join(", ")), tool));
    }
    Ok(arguments)
}

/// The arguments given as one JSON object, or `@file` with one.
pub(super) fn from_object(text: &str) -> Result<Map<String, Value>, String> {
    let text = text_of("--json", text)?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(r#"--json wants an object, as in --json '{"path": "."}'"#.to_owned()),
        Err(error) => Err(format!("--json is not valid JSON: {error}")),
    }
}

fn explain(problem: &str, tool: &Tool) -> String {
    format!("{}\n{}", visible::line(problem), describe(tool))
}

/// The text after the `=`: itself, or the content of `@file`.
fn text_of(name: &str, text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some(escaped) if escaped.starts_with('@') => Ok(escaped.to_owned()),
        Some(path) => read_text(Path::new(path), MAX_FILE_BYTES).map_err(|error| {
            format!("{name}: cannot read {path}: {error} (a text that begins with @ is written @@)")
        }),
    }
}

fn add(arguments: &mut Map<String, Value>, parameter: &Parameter<'_>, text: &str) -> Result<(), String> {
    let name = parameter.name;
    let Some(present) = arguments.get_mut(name) else {
        let value =
            typed(parameter.schema, text).map_err(|problem| format!("{name}={}: {problem}", shown(text)))?;
        arguments.insert(name.to_owned(), value);
        return Ok(());
    };
    // The items of a list may be given one by one.
    let (Value::Array(items), Some(schema)) = (present, parameter.schema.items()) else {
        return Err(format!("{name} is given twice, and is no list"));
    };
    items.push(typed(schema, text).map_err(|problem| format!("{name}={}: {problem}", shown(text)))?);
    Ok(())
}

/// `text` as a value that the schema allows.
fn typed(schema: Schema<'_>, text: &str) -> Result<Value, String> {
    let kinds = schema.kinds();
    let value = match serde_json::from_str::<Value>(text) {
        // Where the schema wants a string, a text in quotes or one that looks like a number stays as typed.
        Ok(value) if !value.is_string() && kinds.fit(&value) => value,
        _ if kinds.allow("string") => Value::from(text),
        _ => match schema.items() {
            Some(items) if kinds.allow("array") => Value::Array(vec![typed(items, text)?]),
            _ => return Err(format!("must be {}", schema.show())),
        },
    };
    match schema.allowed() {
        Some(allowed) if !allowed.contains(&value) => {
            let names: Vec<_> = allowed.iter().map(show_value).collect();
            let suggestion = did_you_mean(text, names.iter().map(String::as_str));
            Err(format!("must be one of {}{suggestion}", names.join(", ")))
        }
        _ => Ok(value),
    }
}

/// A value without a type in the schema: JSON if it is valid, otherwise text.
fn untyped(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// The beginning of a value, for messages.
fn shown(text: &str) -> String {
    super::render::one_line(text, 40)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool() -> Tool {
        let schema = json!({
            "type": "object", "required": ["path"],
            "properties": {
                "path": {"type": "string"},
                "head": {"type": "number"},
                "depth": {"type": "integer"},
                "dryRun": {"type": "boolean"},
                "edits": {"type": "array", "items": {"type": "object"}},
                "paths": {"type": "array", "items": {"type": "string"}},
                "sortBy": {"type": "string", "enum": ["name", "size"]},
                "options": {"type": "object"},
                "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "label": {"type": ["string", "number"]}
            }
        });
        serde_json::from_str(&json!({"name": "t", "inputSchema": schema}).to_string()).expect("a tool")
    }

    fn words(words: &[&str]) -> Result<Value, String> {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        from_words(&tool(), &words).map(Value::Object)
    }

    #[test]
    fn values_get_the_type_that_the_schema_names() {
        let cases = [
            ("head=10", json!({"head": 10})),
            ("head=1.5", json!({"head": 1.5})),
            ("depth=3", json!({"depth": 3})),
            ("dryRun=true", json!({"dryRun": true})),
            ("sortBy=size", json!({"sortBy": "size"})),
            ("limit=null", json!({"limit": null})),
            ("label=7", json!({"label": 7})),
            ("label=seven", json!({"label": "seven"})),
            (r#"edits=[{"oldText":"a"}]"#, json!({"edits": [{"oldText": "a"}]})),
            (r#"edits={"oldText":"a"}"#, json!({"edits": [{"oldText": "a"}]})),
            (r#"options={"a":1}"#, json!({"options": {"a": 1}})),
            ("paths=one", json!({"paths": ["one"]})),
            ("paths=12", json!({"paths": ["12"]})),
            (r#"paths=["a","b"]"#, json!({"paths": ["a", "b"]})),
        ];
        for (word, want) in cases {
            let mut want = want;
            want["path"] = json!("p");
            assert_eq!(words(&["path=p", word]), Ok(want), "{word}");
        }
        assert_eq!(words(&["path=p", "paths=a", "paths=b"]), Ok(json!({"path": "p", "paths": ["a", "b"]})));
    }

    #[test]
    fn a_text_is_taken_as_it_is() {
        for text in ["", "10", "true", "null", "{}", "[1]", "a=b", "\"quoted\"", " spaced ", "@@at"] {
            let want = text.strip_prefix("@").unwrap_or(text);
            assert_eq!(words(&[&format!("path={text}")]), Ok(json!({"path": want})), "{text:?}");
        }
    }

    #[test]
    fn a_value_may_come_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("edits.json");
        std::fs::write(&path, r#"[{"oldText":"a"}]"#).expect("written");
        let word = format!("edits=@{}", path.display());
        assert_eq!(words(&["path=p", &word]), Ok(json!({"path": "p", "edits": [{"oldText": "a"}]})));
        assert_eq!(
            from_object(&format!("@{}", folder.path().join("none").display())).expect_err("refused"),
            format!(
                "--json: cannot read {}: No such file or directory (os error 2) (a text that begins with @ is written @@)",
                folder.path().join("none").display()
            )
        );
    }

    #[test]
    fn mistakes_are_explained_with_the_arguments_that_there_are() {
        let cases: [(&[&str], &str); 9] = [
            (&[], "missing: path\nArguments of t:\n  path=string"),
            (&["path"], "\"path\" is no argument: write KEY=VALUE\nArguments of t:"),
            (&["=x"], "\"=x\" is no argument"),
            (&["pth=x"], "t has no argument \"pth\"; did you mean \"path\"?\nArguments of t:"),
            (&["path=p", "head=ten"], "head=ten: must be number\n"),
            (&["path=p", "depth=1.5"], "depth=1.5: must be integer\n"),
            (&["path=p", "dryRun=yes"], "dryRun=yes: must be boolean\n"),
            (&["path=p", "sortBy=sise"], "sortBy=sise: must be one of name, size; did you mean \"size\"?\n"),
            (&["path=p", "path=q"], "path is given twice, and is no list\n"),
        ];
        for (given, want) in cases {
            let message = words(given).expect_err(want);
            assert!(message.starts_with(want), "{message}");
        }
    }

    #[test]
    fn one_object_is_sent_as_it_is() {
        assert_eq!(from_object(r#"{"pth": [1]}"#).map(Value::Object), Ok(json!({"pth": [1]})));
        assert!(from_object("[1]").expect_err("refused").contains("wants an object"));
        assert!(from_object("{").expect_err("refused").contains("not valid JSON"));
    }
}
