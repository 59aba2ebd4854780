//! Each rule finds what it is about and nothing else, and what is printed fits a terminal.

use super::*;
use crate::client::{Tool, UnreadableTool};
use crate::visible::{self, HOSTILE};
use serde_json::{Value, json};

fn tool(name: &str, schema: &Value) -> Tool {
    let tool = json!({"name": name, "description": "Does something.", "inputSchema": schema});
    serde_json::from_str(&tool.to_string()).expect("a tool")
}

fn with(property: &Value) -> Tool {
    tool("t", &json!({"type": "object", "properties": {"p": property}}))
}

fn list(tools: &[Tool]) -> ToolList {
    ToolList { tools: tools.to_vec(), unreadable: Vec::new() }
}

fn rules(tools: &[Tool], server: &str) -> Vec<&'static str> {
    Lint::of(&list(tools), server).findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn what_every_client_takes_has_no_findings() {
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["path"],
        "properties": {
            "path": {"type": "string", "description": "Where.", "minLength": 1},
            "order": {"type": "string", "enum": ["asc", "desc"]},
            "when": {"type": "string", "format": "date-time"},
            "count": {"type": "integer", "minimum": 0, "maximum": 9, "format": "int32"},
            "either": {"anyOf": [{"type": "string"}, {"type": "number"}]},
            "edits": {"type": "array", "items": {"type": "object", "properties": {"old": {"type": "string"}}}},
        },
    });
    let good = [tool("read_text-file", &schema), tool("none", &json!({"type": "object", "properties": {}}))];
    assert_eq!(rules(&good, "files"), Vec::<&str>::new());
}

/// Rules about the list as a whole.
const OF_LISTS: [&str; 4] =
    ["more-than-40-tools", "more-than-128-tools", "duplicate-name", "unreadable-entry"];

#[test]
fn each_rule_finds_what_it_is_about() {
    let root = |schema: Value| tool("t", &schema);
    let named = |name: &str| tool(name, &json!({"type": "object", "properties": {}}));
    let mut deep = json!({"type": "string"});
    for _ in 0..6 {
        deep = json!({"type": "object", "properties": {"p": deep}});
    }
    let mut silent = named("t");
    silent.description = Some(" ".to_owned());
    let mut talkative = named("t");
    talkative.description = Some("x".repeat(1_025));
    let cases: Vec<(&str, Tool)> = vec![
        (
            "root-combinator",
            root(json!({"type": "object", "properties": {}, "oneOf": [{"required": ["a"]}]})),
        ),
        ("root-type", root(json!({"properties": {"p": {"type": "string"}}}))),
        ("root-type", root(Value::Null)),
        ("root-without-properties", root(json!({"type": "object"}))),
        ("array-without-items", with(&json!({"type": "array"}))),
        ("array-without-items", with(&json!({"type": "object", "properties": {"q": {"type": "array"}}}))),
        ("untyped", with(&json!({"description": "Any."}))),
        ("untyped", with(&json!({"type": "array", "items": {}}))),
        ("enum-without-type", with(&json!({"enum": ["a", "b"]}))),
        ("enum-of-numbers", with(&json!({"type": "integer", "enum": [1, 2]}))),
        ("enum-of-nothing", with(&json!({"type": "string", "enum": ["a", ""]}))),
        ("type-list", with(&json!({"type": ["string", "null"]}))),
        ("const", with(&json!({"type": "string", "const": "a"}))),
        ("boolean-schema", with(&json!(true))),
        ("string-format", with(&json!({"type": "string", "format": "uri"}))),
        ("number-format", with(&json!({"type": "integer", "format": "uint32"}))),
        ("reference-unresolved", with(&json!({"$ref": "#/$defs/missing"}))),
        ("reference-unresolved", with(&json!({"$ref": "https://example.com/schema.json"}))),
        ("reference", with(&json!({"$ref": "#"}))),
        ("schema-keyword", root(json!({"$schema": "x", "type": "object", "properties": {}}))),
        ("nested-combinator", with(&json!({"allOf": [{"type": "string"}]}))),
        ("nesting", root(deep)),
        ("argument-name", root(json!({"type": "object", "properties": {"filter[id]": {"type": "string"}}}))),
        ("tool-name", named("files.read")),
        ("tool-name", named("")),
        ("tool-name-start", named("21st_magic")),
        ("long-name", named(&"n".repeat(65))),
        ("long-name-claude-code", named(&"n".repeat(56))),
        ("long-name-cursor", named(&"n".repeat(58))),
        ("no-description", silent),
        ("long-description", talkative),
    ];
    for (rule, tool) in &cases {
        let found = rules(std::slice::from_ref(tool), "s1");
        assert!(found.contains(rule), "{rule}: {found:?} in {tool:?}");
    }
    let many: Vec<Tool> = (0..129).map(|n| named(&format!("t{n}"))).collect();
    assert_eq!(rules(&many, "s"), ["more-than-40-tools", "more-than-128-tools"]);
    assert_eq!(rules(&many[..41], "s"), ["more-than-40-tools"]);
    assert_eq!(rules(&many[..40], "s"), Vec::<&str>::new());
    // Each row of the table has a case.
    for rule in RULES.iter().map(|rule| rule.name).filter(|name| !OF_LISTS.contains(name)) {
        assert!(cases.iter().any(|(named, _)| *named == rule), "{rule}");
    }
}

#[test]
fn entries_that_cannot_be_read_and_names_that_come_twice_are_named_and_bounded() {
    let unreadable = |number| UnreadableTool { number, name: None, why: "invalid type".to_owned() };
    let many = 50_000;
    let entries: Vec<Tool> = (0..2 * many)
        .map(|n| tool(&format!("t{}", n % many), &json!({"type": "object", "properties": {}})))
        .collect();
    let tools = ToolList { tools: entries, unreadable: (1..=many).map(unreadable).collect() };
    let lint = Lint::of(&tools, "s");
    let found = |rule: &str| lint.findings.iter().find(|finding| finding.rule == rule).expect("found");
    let (twice, wrong) = (found("duplicate-name"), found("unreadable-entry"));
    assert_eq!(
        (twice.tools.len(), wrong.tools.len(), lint.tools),
        (many, many, 3 * many),
        "--json has them all"
    );
    assert_eq!(
        (twice.tools[0].show(), wrong.tools[1].show()),
        ("t0 (2 times)".into(), "entry 2 (invalid type)".into())
    );
    let mut out = Vec::new();
    lint.write(80, &mut out).expect("written");
    let text = String::from_utf8(out).expect("text");
    assert!(text.lines().count() < 100, "{} lines", text.lines().count());
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words.matches("and 49,976 more (--json has them all)").count(), 2, "{text}");
    assert!(words.contains("Cursor refuses 50,000 tools"), "{text}");
}

#[test]
fn names_are_counted_with_what_the_client_puts_before_them() {
    let tool = |length: usize| [tool(&"n".repeat(length), &json!({"type": "object", "properties": {}}))];
    // mcp__server__ has 13 characters.
    assert_eq!(rules(&tool(51), "server"), Vec::<&str>::new());
    assert_eq!(rules(&tool(52), "server"), ["long-name-claude-code"]);
    assert_eq!(rules(&tool(53), "server"), ["long-name-claude-code"]);
    assert_eq!(rules(&tool(54), "server"), ["long-name-claude-code", "long-name-cursor"]);
}

#[test]
fn every_row_says_who_refuses_and_where_that_was_seen() {
    let mut names = std::collections::BTreeSet::new();
    for rule in RULES {
        assert!(names.insert(rule.name), "{} twice", rule.name);
        assert!(rule.problem.ends_with('.') && rule.remedy.ends_with('.'), "{}", rule.name);
        assert!(!rule.refused_by.is_empty(), "{}", rule.name);
        for Refusal { client, source } in rule.refused_by {
            let path = source
                .strip_prefix("https://github.com/")
                .or_else(|| source.strip_prefix("https://community.openai.com/"));
            assert!(
                path.is_some_and(|path| path.matches('/').count() >= 2) && !client.is_empty(),
                "{source}"
            );
        }
    }
}

#[test]
fn what_is_printed_fits_the_terminal_and_steers_it_nowhere() {
    let hostile = HOSTILE.concat() + &"x".repeat(300);
    let tools: Vec<Tool> = (0..60)
        .map(|n| {
            let properties =
                json!({hostile.clone(): {"type": ["string"]}, "b": true, "c": {"type": "array"}});
            tool(&format!("{hostile}{n}"), &json!({"properties": properties, "anyOf": []}))
        })
        .collect();
    let lint = Lint::of(&list(&tools), &hostile);
    assert!(lint.is_refused());
    for width in [60, 80] {
        let mut out = Vec::new();
        lint.write(width, &mut out).expect("written");
        write_rules(width, &mut out).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(visible::is_harmless(&text), "{text:?}");
        let wide = text.lines().find(|line| {
            let is_address = line.trim_start().starts_with("https://");
            let is_one_word = !line.trim().contains(' ');
            terminal::columns(line) > width && !is_address && !is_one_word
        });
        assert_eq!(wide, None);
    }
    let mut out = Vec::new();
    Lint::of(&list(&[]), "empty").write(80, &mut out).expect("written");
    let want = format!("No issues: 0 tools of empty were checked against {} rules.\n", RULES.len());
    assert_eq!(String::from_utf8(out).expect("text"), want);
}
