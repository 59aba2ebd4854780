//! One entry set in, or removed from, the text of a JSON file; comments, order and foreign entries stay.

use super::entry::{Field, FieldValue, REACHING};
use super::fault::Fault;
use super::servers::json_options;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};

/// Puts the entry of that name under `key`. One that is there keeps its other members if it `keeps` them.
///
/// # Errors
/// When the text is no JSON object, or there is something else under the key.
pub(super) fn set(text: &str, key: &str, name: &str, fields: &[Field], keeps: bool) -> Result<String, Fault> {
    let root = parse(text)?;
    let object = root.object_value_or_create().ok_or(Fault::NoObject)?;
    let entry = || {
        let members = fields.iter().map(|field| (field.key.to_owned(), value(&field.value)));
        CstInputValue::Object(members.collect())
    };
    let Some(servers) = servers(&object, key)? else {
        object.append(key, CstInputValue::Object(vec![(name.to_owned(), entry())]));
        return Ok(root.to_string());
    };
    match only(&servers, name)? {
        None => drop(servers.append(name, entry())),
        Some(found) => match found.object_value().filter(|_| keeps) {
            Some(members) => update(&members, fields)?,
            None => found.set_value(entry()),
        },
    }
    Ok(root.to_string())
}

/// Removes the entry of that name, if it is there.
///
/// # Errors
/// As for [`set`].
pub(super) fn remove(text: &str, key: &str, name: &str) -> Result<String, Fault> {
    let root = parse(text)?;
    if let Some(object) = root.object_value()
        && let Some(servers) = servers(&object, key)?
        && let Some(found) = only(&servers, name)?
    {
        found.remove();
    }
    Ok(root.to_string())
}

fn parse(text: &str) -> Result<CstRootNode, Fault> {
    CstRootNode::parse(text, &json_options()).map_err(|error| {
        Fault::at(text, Some(error.range().start..error.range().end), &error.kind().to_string())
    })
}

fn servers(object: &CstObject, key: &str) -> Result<Option<CstObject>, Fault> {
    let Some(found) = only(object, key)? else { return Ok(None) };
    found.object_value().map(Some).ok_or_else(|| Fault::NoTable { key: key.to_owned() })
}

/// The member of that name.
fn only(object: &CstObject, name: &str) -> Result<Option<CstObjectProp>, Fault> {
    let is_named = |member: &CstObjectProp| {
        member.name().and_then(|found| found.decoded_value().ok()).is_some_and(|found| found == name)
    };
    let mut found = object.properties().into_iter().filter(is_named);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(Fault::Twice { key: name.to_owned() }),
        (found, None) => Ok(found),
    }
}

/// Changes the members that say how the server is reached.
fn update(entry: &CstObject, fields: &[Field]) -> Result<(), Fault> {
    for key in REACHING.iter().filter(|key| fields.iter().all(|field| field.key != **key)) {
        if let Some(found) = only(entry, key)? {
            found.remove();
        }
    }
    for (index, field) in fields.iter().enumerate() {
        match only(entry, field.key)? {
            None => drop(entry.insert(index, field.key, value(&field.value))),
            Some(found) if field.value.is(found.to_serde_value().as_ref()) => {}
            Some(found) => found.set_value(value(&field.value)),
        }
    }
    Ok(())
}

fn value(value: &FieldValue) -> CstInputValue {
    match value {
        FieldValue::Text(text) => CstInputValue::String(text.clone()),
        FieldValue::List(list) => {
            CstInputValue::Array(list.iter().cloned().map(CstInputValue::String).collect())
        }
        FieldValue::UnlessSet => CstInputValue::Bool(true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Reach, Shape};
    use super::*;

    fn fields() -> Vec<Field> {
        Reach::Command(vec!["m".to_owned(), "serve".to_owned()]).fields(Shape::Typed)
    }

    const ENTRY: &str = "{
      \"type\": \"stdio\",
      \"command\": \"m\",
      \"args\": [\"serve\"]
    }";

    #[test]
    fn an_entry_takes_the_style_of_its_file() {
        for (before, after) in [
            ("", "{\n  \"servers\": {\n    \"n\": ENTRY\n  }\n}\n"),
            ("{}\n", "{\n  \"servers\": {\n    \"n\": ENTRY\n  }\n}\n"),
            (
                "{\n  // first\n  \"a\": 1 // one\n}\n",
                "{\n  // first\n  \"a\": 1, // one\n  \"servers\": {\n    \"n\": ENTRY\n  }\n}\n",
            ),
            (
                "{\n  \"servers\": {\n    \"x\": {}, // theirs\n  },\n}\n",
                "{\n  \"servers\": {\n    \"x\": {}, // theirs\n    \"n\": ENTRY,\n  },\n}\n",
            ),
        ] {
            let trailing = before.contains("},\n}");
            let entry = if trailing { ENTRY.replace("]\n", "],\n") } else { ENTRY.to_owned() };
            let set = set(before, "servers", "n", &fields(), true).expect(before);
            assert_eq!(set, after.replace("ENTRY", &entry), "{before}");
        }
    }

    #[test]
    fn other_members_of_an_entry_stay_unless_it_is_replaced() {
        let before = r#"{"servers": {"n": {"url": "http://h", "env": {"A": "b"}, "args": []}}}"#;
        let read = |text: &str| {
            super::super::servers::parse(super::super::servers::Format::Json, text).expect("JSON")
        };
        let kept = read(&set(before, "servers", "n", &fields(), true).expect("set"));
        let wanted =
            serde_json::json!({"type": "stdio", "command": "m", "args": ["serve"], "env": {"A": "b"}});
        assert_eq!(kept["servers"]["n"], wanted);
        let replaced = read(&set(before, "servers", "n", &fields(), false).expect("set"));
        assert_eq!(replaced["servers"]["n"].get("env"), None);
    }

    #[test]
    fn an_entry_is_removed_and_others_stay() {
        for (before, after) in [
            ("{\"s\": {\"n\": {}}}", "{\"s\": {}}"),
            (
                "{\n  \"s\": {\n    \"a\": 1, // one\n    \"n\": {}\n  }\n}",
                "{\n  \"s\": {\n    \"a\": 1 // one\n  }\n}",
            ),
            ("{\n  \"s\": {\n    \"n\": {},\n    \"a\": 1\n  }\n}", "{\n  \"s\": {\n    \"a\": 1\n  }\n}"),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(remove(before, "s", "n").expect(before), after, "{before}");
        }
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        let twice = |key: &str| Err(Fault::Twice { key: key.to_owned() });
        for (text, want) in [
            ("[]", Err(Fault::NoObject)),
            (r#"{"s": []}"#, Err(Fault::NoTable { key: "s".to_owned() })),
            (r#"{"s": {}, "s": {}}"#, twice("s")),
            (r#"{"s": {"n": 1, "\u006e": 2}}"#, twice("n")),
        ] {
            assert_eq!(set(text, "s", "n", &fields(), true), want, "{text}");
        }
        let broken = set("{\n  \"s\": {", "s", "n", &fields(), true).expect_err("broken");
        assert!(matches!(broken, Fault::Syntax { .. }), "{broken}");
    }
}
