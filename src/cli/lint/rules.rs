//! What clients and the models behind them refuse of a list of tools, each with where that was seen.
//!
//! [`RULES`] is the table. A row names who refuses and a public thread in which that happened, so that a reader can see
//! whether it still holds.

use super::schema::{COMBINATORS, Kind, Node, nodes};
use crate::client::{Tool, ToolList};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Who refuses, and where that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    pub(super) client: &'static str,
    pub(super) source: &'static str,
}

/// What happens to a tool that a rule finds something in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// It works in most versions and settings of these clients, or with a warning.
    Hint,
    /// The client cannot use it, and often none of the tools beside it.
    Refused,
}

/// A tool by what it is called, and the places where something is wrong with it.
pub(super) type Wrong = (String, Vec<String>);

/// What is looked at.
#[derive(Clone, Copy)]
pub(super) enum Check {
    /// Each tool, with the name of its server: the places where something is wrong.
    Tool(fn(&Tool, &str) -> Vec<String>),
    /// The entries of the list beside each other: those that are wrong, and how.
    Entries(fn(&ToolList) -> Vec<Wrong>),
    /// The list as a whole: what is wrong with it.
    List(fn(&ToolList) -> Option<String>),
}

/// One row.
pub(super) struct Rule {
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// What is wrong, in one sentence.
    pub(super) problem: &'static str,
    /// What to do about it.
    pub(super) remedy: &'static str,
    pub(super) refused_by: &'static [Refusal],
    pub(super) check: Check,
}

const ANTHROPIC: &str = "Anthropic API (Claude Code, Claude Desktop)";
const CLAUDE_CODE: &str = "Claude Code";
const OPENAI: &str = "OpenAI API (Codex, Copilot)";
const OPENAI_STRICT: &str = "OpenAI API, strict mode";
const GEMINI: &str = "Gemini API";
const VS_CODE: &str = "VS Code";
const CURSOR: &str = "Cursor";

const fn refusal(client: &'static str, source: &'static str) -> Refusal {
    Refusal { client, source }
}

/// The longest name of a tool with `mcp__`, the server and `__` before it.
const MAX_CLAUDE_NAME: usize = 64;
/// The longest names of a server and a tool together.
const MAX_CURSOR_NAMES: usize = 59;
/// The longest name of a function, or of an argument.
const MAX_NAME: usize = 64;
/// Most tools that are given to the model.
const MAX_CURSOR_TOOLS: usize = 40;
const MAX_OPENAI_TOOLS: usize = 128;
/// The longest description of a function, in characters.
const MAX_DESCRIPTION: usize = 1_024;
/// Deepest nesting of objects and lists.
const MAX_LEVELS: usize = 5;
/// Formats of strings that the API knows.
const STRING_FORMATS: [&str; 2] = ["enum", "date-time"];
/// Formats of JSON Schema; it has none for numbers.
const NUMBER_FORMATS: [&str; 4] = ["int32", "int64", "float", "double"];

/// Every rule.
pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "root-combinator",
        severity: Severity::Refused,
        problem: "The schema of the arguments has anyOf, oneOf or allOf at its root.",
        remedy: "List all arguments under \"properties\" and check in the tool which of them go together.",
        refused_by: &[
            refusal(ANTHROPIC, "https://github.com/anthropics/claude-code/issues/5973"),
            refusal(OPENAI, "https://github.com/nspady/google-calendar-mcp/issues/39"),
        ],
        check: Check::Tool(root_combinator),
    },
    Rule {
        name: "root-type",
        severity: Severity::Refused,
        problem: "The schema of the arguments is not of the type object.",
        remedy: "Write \"type\": \"object\" at its root; the protocol asks for it.",
        refused_by: &[refusal(OPENAI, "https://github.com/chatanywhere/GPT_API_free/issues/403")],
        check: Check::Tool(root_type),
    },
    Rule {
        name: "root-without-properties",
        severity: Severity::Refused,
        problem: "The schema of the arguments does not list any, not even none.",
        remedy: "Write \"properties\": {} for a tool without arguments.",
        refused_by: &[refusal(OPENAI, "https://github.com/openai/openai-agents-python/issues/449")],
        check: Check::Tool(root_without_properties),
    },
    Rule {
        name: "array-without-items",
        severity: Severity::Refused,
        problem: "A list does not say what it holds.",
        remedy: "Add \"items\" with the type of an item.",
        refused_by: &[
            refusal(OPENAI, "https://github.com/mark3labs/mcphost/issues/35"),
            refusal(VS_CODE, "https://github.com/microsoft/vscode/issues/246119"),
            refusal(GEMINI, "https://github.com/cline/cline/issues/7339"),
        ],
        check: Check::Tool(|tool, _| places(tool, |node| node.has_type("array") && !node.has("items"))),
    },
    Rule {
        name: "untyped",
        severity: Severity::Refused,
        problem: "An argument does not say of which type it is.",
        remedy: "Add \"type\"; for one of several types, anyOf with a type in each.",
        refused_by: &[
            refusal(OPENAI, "https://github.com/1jehuang/jcode/issues/713"),
            refusal(GEMINI, "https://github.com/danny-avila/LibreChat/issues/6971"),
        ],
        check: Check::Tool(|tool, _| places(tool, is_untyped)),
    },
    Rule {
        name: "enum-without-type",
        severity: Severity::Refused,
        problem: "A list of allowed values stands without a type.",
        remedy: "Add \"type\": \"string\" beside \"enum\".",
        refused_by: &[refusal(GEMINI, "https://github.com/google-gemini/gemini-cli/issues/4400")],
        check: Check::Tool(|tool, _| places(tool, |node| node.has("enum") && !node.has("type"))),
    },
    Rule {
        name: "enum-of-numbers",
        severity: Severity::Refused,
        problem: "A list of allowed values has others than texts.",
        remedy: "List texts, or give the range with \"minimum\" and \"maximum\" and name the values in the description.",
        refused_by: &[refusal(GEMINI, "https://github.com/google-gemini/gemini-cli/issues/4127")],
        check: Check::Tool(|tool, _| places(tool, |node| allows(node, |value| !value.is_string()))),
    },
    Rule {
        name: "enum-of-nothing",
        severity: Severity::Refused,
        problem: "A list of allowed values has an empty text.",
        remedy: "Leave the empty text out, and the argument out of \"required\".",
        refused_by: &[refusal(GEMINI, "https://github.com/sbroenne/mcp-server-excel/issues/607")],
        check: Check::Tool(|tool, _| places(tool, |node| allows(node, |value| value == ""))),
    },
    Rule {
        name: "type-list",
        severity: Severity::Refused,
        problem: "A type is a list of types.",
        remedy: "Give one type; what may be missing is left out of \"required\" instead of being null.",
        refused_by: &[refusal(GEMINI, "https://github.com/nanbingxyz/5ire/issues/218")],
        check: Check::Tool(|tool, _| places(tool, |node| node.value["type"].is_array())),
    },
    Rule {
        name: "const",
        severity: Severity::Refused,
        problem: "A value is fixed with \"const\".",
        remedy: "Write \"enum\" with the one value.",
        refused_by: &[refusal(GEMINI, "https://github.com/taylorwilsdon/google_workspace_mcp/issues/1099")],
        check: Check::Tool(|tool, _| places(tool, |node| node.has("const"))),
    },
    Rule {
        name: "boolean-schema",
        severity: Severity::Refused,
        problem: "The schema of an argument is true or false, and no object.",
        remedy: "Write the type that it has.",
        refused_by: &[
            refusal(VS_CODE, "https://github.com/microsoft/vscode-copilot-release/issues/7636"),
            refusal(GEMINI, "https://github.com/github/copilot-cli/issues/4623"),
        ],
        check: Check::Tool(|tool, _| places(tool, |node| node.value.is_boolean())),
    },
    Rule {
        name: "string-format",
        severity: Severity::Refused,
        problem: "A text has a format other than date-time.",
        remedy: "Say it in the description, or with \"pattern\".",
        refused_by: &[refusal(GEMINI, "https://github.com/google-gemini/gemini-cli/issues/2237")],
        check: Check::Tool(|tool, _| places(tool, |node| has_format(node, "string", &STRING_FORMATS))),
    },
    Rule {
        name: "number-format",
        severity: Severity::Hint,
        problem: "A number has a format that JSON Schema does not know, as uint32.",
        remedy: "Leave it out: \"minimum\" and \"maximum\" say more.",
        refused_by: &[refusal(
            "OpenCode and others with Ajv, which warn",
            "https://github.com/anomalyco/opencode/issues/31002",
        )],
        check: Check::Tool(|tool, _| places(tool, has_number_format)),
    },
    Rule {
        name: "reference-unresolved",
        severity: Severity::Refused,
        problem: "A $ref leads to nothing within the schema.",
        remedy: "Put what it refers to under \"$defs\" of the same schema, or in its place.",
        refused_by: &[refusal(
            "Gemini CLI, and whoever reads the schema",
            "https://github.com/google-gemini/gemini-cli/issues/13326",
        )],
        check: Check::Tool(|tool, _| places(tool, |node| leads(tool, node) == Some(false))),
    },
    Rule {
        name: "reference",
        severity: Severity::Refused,
        problem: "A part of the schema is referred to with $ref.",
        remedy: "Write it in its place; only what contains itself needs a reference.",
        refused_by: &[refusal(GEMINI, "https://github.com/anomalyco/opencode/issues/12295")],
        check: Check::Tool(|tool, _| places(tool, |node| leads(tool, node) == Some(true))),
    },
    Rule {
        name: "schema-keyword",
        severity: Severity::Hint,
        problem: "The schema names its dialect with $schema.",
        remedy: "Leave it out: without it, 2020-12 is meant.",
        refused_by: &[refusal(
            "Gemini API, behind clients that pass schemas on as they are",
            "https://github.com/router-for-me/CLIProxyAPI/issues/97",
        )],
        check: Check::Tool(|tool, _| places(tool, |node| node.has("$schema"))),
    },
    Rule {
        name: "nested-combinator",
        severity: Severity::Hint,
        problem: "An argument is described with allOf or oneOf.",
        remedy: "Write anyOf, or one schema that has all of it.",
        refused_by: &[refusal(OPENAI_STRICT, "https://github.com/makenotion/notion-mcp-server/issues/102")],
        check: Check::Tool(|tool, _| {
            places(tool, |node| node.kind != Kind::Root && (node.has("allOf") || node.has("oneOf")))
        }),
    },
    Rule {
        name: "nesting",
        severity: Severity::Hint,
        problem: "Arguments are nested more than five levels deep.",
        remedy: "Give the inner parts names of their own at the root.",
        refused_by: &[refusal(
            OPENAI_STRICT,
            "https://community.openai.com/t/measuring-maximum-depth-and-object-properties-in-structured-outputs/918388",
        )],
        check: Check::Tool(|tool, _| places(tool, |node| node.depth == MAX_LEVELS + 1)),
    },
    Rule {
        name: "argument-name",
        severity: Severity::Refused,
        problem: "The name of an argument has other characters than letters, digits, _, . and -, or more than 64.",
        remedy: "Rename the argument.",
        refused_by: &[refusal(ANTHROPIC, "https://github.com/beautyfree/appstore-connect-mcp/issues/2")],
        check: Check::Tool(argument_names),
    },
    Rule {
        name: "tool-name",
        severity: Severity::Refused,
        problem: "The name of a tool has other characters than letters, digits, _ and -.",
        remedy: "Rename the tool: the protocol also allows dots, these clients do not.",
        refused_by: &[
            refusal(OPENAI, "https://github.com/openai/codex/issues/8174"),
            refusal(ANTHROPIC, "https://github.com/inngest/agent-kit/pull/108"),
        ],
        check: Check::Tool(|tool, _| named(tool, !is_word(&tool.name, "_-"))),
    },
    Rule {
        name: "tool-name-start",
        severity: Severity::Refused,
        problem: "The name of a tool does not begin with a letter or _.",
        remedy: "Rename the tool.",
        refused_by: &[refusal(GEMINI, "https://github.com/SuperClaude-Org/SuperGemini_Framework/issues/12")],
        check: Check::Tool(|tool, _| {
            named(tool, !tool.name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_'))
        }),
    },
    Rule {
        name: "long-name-claude-code",
        severity: Severity::Refused,
        problem: "The name of a tool has more than 64 characters with mcp__, the server and __ before it.",
        remedy: "Shorten the name of the tool, or give the server a shorter one in the client (--name says which).",
        refused_by: &[refusal(CLAUDE_CODE, "https://github.com/anthropics/claude-code/issues/2412")],
        check: Check::Tool(|tool, server| {
            long_name("mcp__".len() + server.chars().count() + "__".len(), tool, MAX_CLAUDE_NAME)
        }),
    },
    Rule {
        name: "long-name-cursor",
        severity: Severity::Refused,
        problem: "The names of the server and a tool have 60 characters or more together.",
        remedy: "Shorten the name of the tool, or give the server a shorter one in the client (--name says which).",
        refused_by: &[refusal(CURSOR, "https://github.com/idosal/git-mcp/issues/31")],
        check: Check::Tool(|tool, server| long_name(server.chars().count(), tool, MAX_CURSOR_NAMES)),
    },
    Rule {
        name: "long-name",
        severity: Severity::Refused,
        problem: "The name of a tool has more than 64 characters.",
        remedy: "Shorten the name of the tool.",
        refused_by: &[refusal(OPENAI, "https://github.com/microsoft/foundry-dev-tools/issues/201")],
        check: Check::Tool(|tool, _| long_name(0, tool, MAX_NAME)),
    },
    Rule {
        name: "no-description",
        severity: Severity::Hint,
        problem: "A tool has no description.",
        remedy: "Say what it does: a model has nothing else to choose it by.",
        refused_by: &[refusal(VS_CODE, "https://github.com/microsoft/vscode/issues/243919")],
        check: Check::Tool(|tool, _| {
            named(tool, tool.description.as_deref().is_none_or(|text| text.trim().is_empty()))
        }),
    },
    Rule {
        name: "long-description",
        severity: Severity::Hint,
        problem: "The description of a tool has more than 1,024 characters.",
        remedy: "Shorten it: it is sent with each request of a model.",
        refused_by: &[refusal(
            "older endpoints of the OpenAI API",
            "https://github.com/janwilmake/openapi-mcp-server/issues/23",
        )],
        check: Check::Tool(|tool, _| {
            let length = tool.description.as_deref().unwrap_or_default().chars().count();
            if length > MAX_DESCRIPTION { vec![format!("{length} characters")] } else { Vec::new() }
        }),
    },
    Rule {
        name: "unreadable-entry",
        severity: Severity::Refused,
        problem: "The entry of a tool cannot be read: a member is missing or of another type.",
        remedy: "Give each entry a name that is a text, and a text, object or boolean where the protocol asks for one.",
        refused_by: &[
            refusal(CURSOR, "https://github.com/MervinPraison/PraisonAI/issues/3111"),
            refusal(CLAUDE_CODE, "https://github.com/rezi-io/rezi-mcp/issues/4"),
        ],
        check: Check::Entries(|list| {
            list.unreadable.iter().map(|entry| (entry.title(), vec![entry.why.clone()])).collect()
        }),
    },
    Rule {
        name: "duplicate-name",
        severity: Severity::Refused,
        problem: "Several tools have the same name.",
        remedy: "Give each tool a name of its own.",
        refused_by: &[refusal(ANTHROPIC, "https://github.com/cloudwego/eino/issues/632")],
        check: Check::Entries(duplicates),
    },
    Rule {
        name: "more-than-40-tools",
        severity: Severity::Refused,
        problem: "There are more tools than are given to the model: the rest is left out.",
        remedy: "Offer fewer tools, or let the user switch groups of them off; all servers of a client share the 40.",
        refused_by: &[refusal(CURSOR, "https://github.com/bun913/mcp-testrail/issues/6")],
        check: Check::List(|list| too_many(list, MAX_CURSOR_TOOLS)),
    },
    Rule {
        name: "more-than-128-tools",
        severity: Severity::Refused,
        problem: "There are more tools than a request may have.",
        remedy: "Offer fewer tools; all servers of a client share the 128.",
        refused_by: &[refusal(OPENAI, "https://github.com/zed-industries/zed/issues/32946")],
        check: Check::List(|list| too_many(list, MAX_OPENAI_TOOLS)),
    },
];

/// The parts of the schema of the arguments that `is_wrong` finds.
fn places(tool: &Tool, is_wrong: impl Fn(&Node<'_>) -> bool) -> Vec<String> {
    nodes(&tool.input_schema).into_iter().filter(|node| is_wrong(node)).map(shown).collect()
}

fn shown(node: Node<'_>) -> String {
    if node.path.is_empty() { "the schema itself".to_owned() } else { node.path }
}

fn named(tool: &Tool, is_wrong: bool) -> Vec<String> {
    if is_wrong { vec![tool.name.clone()] } else { Vec::new() }
}

fn root_combinator(tool: &Tool, _: &str) -> Vec<String> {
    let has = |keyword: &&str| tool.input_schema.get(*keyword).is_some();
    COMBINATORS.iter().filter(|keyword| has(keyword)).map(|keyword| (*keyword).to_owned()).collect()
}

fn root_type(tool: &Tool, _: &str) -> Vec<String> {
    if tool.input_schema["type"] == "object" { Vec::new() } else { vec!["the schema itself".to_owned()] }
}

fn root_without_properties(tool: &Tool, _: &str) -> Vec<String> {
    let is_bare = tool.input_schema["type"] == "object" && !tool.input_schema["properties"].is_object();
    if is_bare { vec!["the schema itself".to_owned()] } else { Vec::new() }
}

fn is_untyped(node: &Node<'_>) -> bool {
    let is_value = matches!(node.kind, Kind::Property | Kind::Items);
    let says = ["type", "$ref", "enum", "const"].iter().any(|keyword| node.has(keyword));
    is_value && node.value.is_object() && !says && !node.has_combinator()
}

fn allows(node: &Node<'_>, is_wrong: impl Fn(&Value) -> bool) -> bool {
    node.value["enum"].as_array().is_some_and(|values| values.iter().any(is_wrong))
}

fn has_format(node: &Node<'_>, kind: &str, known: &[&str]) -> bool {
    let format = node.value["format"].as_str();
    node.has_type(kind) && format.is_some_and(|format| !known.contains(&format))
}

fn has_number_format(node: &Node<'_>) -> bool {
    ["integer", "number"].iter().any(|kind| has_format(node, kind, &NUMBER_FORMATS))
}

/// Whether the reference of a part leads somewhere; `None` without one.
fn leads(tool: &Tool, node: &Node<'_>) -> Option<bool> {
    let target = node.value["$ref"].as_str()?;
    let local = target.strip_prefix('#');
    Some(local.is_some_and(|pointer| tool.input_schema.pointer(pointer).is_some()))
}

fn argument_names(tool: &Tool, _: &str) -> Vec<String> {
    let names = tool.input_schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
    let is_wrong = |name: &&String| !is_word(name, "_.-") || name.len() > MAX_NAME;
    names.filter(is_wrong).cloned().collect()
}

/// Whether a text has letters, digits and these signs only, and at least one of them.
fn is_word(text: &str, signs: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || signs.contains(char);
    !text.is_empty() && text.chars().all(is_allowed)
}

/// How long a name is with so many characters before it, if that is too long.
fn long_name(before: usize, tool: &Tool, most: usize) -> Vec<String> {
    let length = before + tool.name.chars().count();
    if length > most { vec![format!("{length} of {most} characters")] } else { Vec::new() }
}

fn too_many(list: &ToolList, most: usize) -> Option<String> {
    (list.len() > most).then(|| format!("{} tools", list.len()))
}

/// Names that come more than once, and how often.
fn duplicates(list: &ToolList) -> Vec<Wrong> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for tool in &list.tools {
        *counts.entry(&tool.name).or_default() += 1;
    }
    let several = counts.into_iter().filter(|(_, count)| *count > 1);
    several.map(|(name, count)| (name.to_owned(), vec![format!("{count} times")])).collect()
}
