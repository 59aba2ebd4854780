//! One entry set in, or removed from, the text of a JSON file; comments, order and foreign entries stay.

use super::entry::{Field, FieldValue, is_of_other_way};
use super::fault::Fault;
use super::servers::json_options;
use jsonc_parser::cst::{CstInputValue, CstObject, CstObjectProp, CstRootNode};
use jsonc_parser::errors::ParseError;
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ast, parse_to_ast};
use std::ops::Range;

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

/// Removes the entry of that name, if it is there. The library would take a comment behind the entry for a part of it, as
/// one behind the member before is where the brace is on its line; so only the entry and its comma are cut out.
///
/// # Errors
/// As for [`set`].
pub(super) fn remove(text: &str, key: &str, name: &str) -> Result<String, Fault> {
    let Some(Cut { entry, comma, brace }) = cut(text, key, name)? else { return Ok(text.to_owned()) };
    let (before, behind) = (&text[..entry.start], &text[entry.end..]);
    let mut rest = match comma {
        Some(comma) if comma < entry.start => {
            let before = [&text[..comma], &text[comma + 1..entry.start]].concat();
            join(&before, behind, Space::Behind)
        }
        Some(comma) => {
            let behind = [&text[entry.end..comma], &text[comma + 1..]].concat();
            join(before, &behind, Space::Before)
        }
        None => join(before, behind, Space::Before),
    };
    let inside = &rest[brace + 1..];
    let space = inside.len() - inside.trim_start().len();
    if inside.trim_start().starts_with('}') {
        rest.replace_range(brace + 1..brace + 1 + space, "");
    }
    Ok(rest)
}

/// Refuses a text in which the table of servers, or the entry in it, is there twice.
///
/// # Errors
/// As for [`set`].
pub(super) fn check(text: &str, key: &str, name: &str) -> Result<(), Fault> {
    cut(text, key, name).map(drop)
}

/// What is cut out of a text.
struct Cut {
    entry: Range<usize>,
    /// The comma behind the entry, or else the one before it.
    comma: Option<usize>,
    /// Where the table of servers begins.
    brace: usize,
}

fn cut(text: &str, key: &str, name: &str) -> Result<Option<Cut>, Fault> {
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: true };
    let parsed = parse_to_ast(text, &collect, &json_options()).map_err(|error| fault(text, &error))?;
    let Some(ast::Value::Object(object)) = &parsed.value else { return Ok(None) };
    let Some(at) = position(object, key)? else { return Ok(None) };
    let ast::Value::Object(servers) = &object.properties[at].value else {
        return Err(Fault::NoTable { key: key.to_owned() });
    };
    let Some(at) = position(servers, name)? else { return Ok(None) };
    let members = &servers.properties;
    let entry = members[at].range.start..members[at].range.end;
    let next = members.get(at + 1).map_or(servers.range.end, |next| next.range.start);
    let tokens = parsed.tokens.unwrap_or_default();
    let comma_in = |range: Range<usize>| {
        let mut commas = tokens.iter().filter(|found| found.token == Token::Comma);
        commas.find(|comma| range.contains(&comma.range.start)).map(|comma| comma.range.start)
    };
    let before = at.checked_sub(1).and_then(|before| comma_in(members[before].range.end..entry.start));
    Ok(Some(Cut { comma: comma_in(entry.end..next).or(before), brace: servers.range.start, entry }))
}

/// Which member has that name.
fn position(object: &ast::Object<'_>, name: &str) -> Result<Option<usize>, Fault> {
    let mut found = object.properties.iter().enumerate().filter(|(_, member)| member.name.as_str() == name);
    match (found.next(), found.next()) {
        (_, Some(_)) => Err(Fault::Twice { key: name.to_owned() }),
        (found, None) => Ok(found.map(|(at, _)| at)),
    }
}

/// Which space between two members stays when one that stood between them goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Space {
    Before,
    Behind,
}

/// Two texts between which something was cut out; a line that had nothing else goes.
fn join(before: &str, behind: &str, space: Space) -> String {
    const BLANK: [char; 2] = [' ', '\t'];
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let is_own_line = before[line..].trim_matches(BLANK).is_empty() && line > 0;
    let rest = behind.trim_start_matches(BLANK);
    if is_own_line {
        if let Some(next) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')) {
            return [&before[..line], next].concat();
        }
        return [before, rest].concat();
    }
    if space == Space::Behind {
        [before.trim_end_matches(BLANK), behind].concat()
    } else {
        [before, rest].concat()
    }
}

fn parse(text: &str) -> Result<CstRootNode, Fault> {
    CstRootNode::parse(text, &json_options()).map_err(|error| fault(text, &error))
}

fn fault(text: &str, error: &ParseError) -> Fault {
    Fault::at(text, Some(error.range().start..error.range().end), &error.kind().to_string())
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
    for member in entry.properties() {
        let name = member.name().and_then(|name| name.decoded_value().ok());
        if name.is_some_and(|name| is_of_other_way(&name, fields)) {
            member.remove();
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
            (r#"{"s": {"n": {}}}"#, r#"{"s": {}}"#),
            (r#"{"s": { "n": {} }}"#, r#"{"s": {}}"#),
            (r#"{"s": {"n": {}, "a": 1}}"#, r#"{"s": {"a": 1}}"#),
            (r#"{"s": {"a": 1, "n": {}}}"#, r#"{"s": {"a": 1}}"#),
            (r#"{"s": {"a": 1, "n": {} }}"#, r#"{"s": {"a": 1 }}"#),
            (r#"{"s": {"a": 1, "n": {}, "b": 2}}"#, r#"{"s": {"a": 1, "b": 2}}"#),
            ("{\"s\": {\n  \"a\": 1,\n  \"n\": {} /* c */}}", "{\"s\": {\n  \"a\": 1\n  /* c */}}"),
            ("{\"s\": {\n  \"n\": {} // c\n}}", "{\"s\": {\n  // c\n}}"),
            ("{\"s\": {\n  \"n\": {}\n}}", "{\"s\": {}}"),
            ("{\"s\": {\r\n\t\"a\": 1,\r\n\t\"n\": {},\r\n}}", "{\"s\": {\r\n\t\"a\": 1,\r\n}}"),
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
