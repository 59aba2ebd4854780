//! The arguments of each tool. Clients see the schemas in `definitions.json`; a test compares the two.
//!
//! The server reads arguments that do not fit a second time, and converts those with only one meaning, such as `"3"`.

use serde::{Deserialize, Deserializer};

/// How many lines around a change a diff shows, unless the client says so.
const CONTEXT_LINES: i64 = 3;

/// How many commits a log shows, unless the client says so.
const MAX_COUNT: i64 = 10;

/// `git_status`, `git_reset`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct OnlyRepository<'a> {
    pub(crate) repo_path: &'a str,
}

/// `git_diff_unstaged`, `git_diff_staged`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct DiffOfIndex<'a> {
    pub(crate) repo_path: &'a str,
    #[serde(default = "context_lines")]
    pub(crate) context_lines: i64,
}

/// `git_diff`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Diff<'a> {
    pub(crate) repo_path: &'a str,
    pub(crate) target: &'a str,
    #[serde(default = "context_lines")]
    pub(crate) context_lines: i64,
}

/// `git_commit`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Commit<'a> {
    pub(crate) repo_path: &'a str,
    pub(crate) message: &'a str,
}

/// `git_add`.
#[derive(Debug, Deserialize)]
pub(crate) struct Add<'a> {
    pub(crate) repo_path: &'a str,
    #[serde(borrow, deserialize_with = "at_least_one")]
    pub(crate) files: Vec<&'a str>,
}

/// `git_log`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Log<'a> {
    pub(crate) repo_path: &'a str,
    #[serde(default = "max_count")]
    pub(crate) max_count: i64,
    #[serde(default)]
    pub(crate) start_timestamp: Option<&'a str>,
    #[serde(default)]
    pub(crate) end_timestamp: Option<&'a str>,
}

/// `git_create_branch`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct CreateBranch<'a> {
    pub(crate) repo_path: &'a str,
    pub(crate) branch_name: &'a str,
    #[serde(default)]
    pub(crate) base_branch: Option<&'a str>,
}

/// `git_checkout`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Checkout<'a> {
    pub(crate) repo_path: &'a str,
    pub(crate) branch_name: &'a str,
}

/// `git_show`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Show<'a> {
    pub(crate) repo_path: &'a str,
    pub(crate) revision: &'a str,
}

/// `git_branch`.
#[expect(clippy::struct_field_names, reason = "the names are the reference's")]
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Branch<'a> {
    pub(crate) repo_path: &'a str,
    pub(crate) branch_type: &'a str,
    #[serde(default)]
    pub(crate) contains: Option<&'a str>,
    #[serde(default)]
    pub(crate) not_contains: Option<&'a str>,
}

/// What the arguments of all tools have.
pub(crate) trait OfRepository {
    fn repo_path(&self) -> &str;
}

macro_rules! of_repository {
    ($($arguments:ident)*) => {
        $(impl OfRepository for $arguments<'_> {
            fn repo_path(&self) -> &str {
                self.repo_path
            }
        })*
    };
}

of_repository! { OnlyRepository DiffOfIndex Diff Commit Add Log CreateBranch Checkout Show Branch }

fn context_lines() -> i64 {
    CONTEXT_LINES
}

fn max_count() -> i64 {
    MAX_COUNT
}

fn at_least_one<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'a str>, D::Error> {
    let files = Vec::<&'a str>::deserialize(deserializer)?;
    if files.is_empty() {
        return Err(serde::de::Error::custom("files must have at least 1 item, and has 0"));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn accepts(tool: &str, arguments: &Value) -> bool {
        fn reads<'a, A: Deserialize<'a>>(text: &'a str) -> bool {
            serde_json::from_str::<A>(text).is_ok()
        }
        let text = arguments.to_string();
        match tool {
            "git_status" | "git_reset" => reads::<OnlyRepository<'_>>(&text),
            "git_diff_unstaged" | "git_diff_staged" => reads::<DiffOfIndex<'_>>(&text),
            "git_diff" => reads::<Diff<'_>>(&text),
            "git_commit" => reads::<Commit<'_>>(&text),
            "git_add" => reads::<Add<'_>>(&text),
            "git_log" => reads::<Log<'_>>(&text),
            "git_create_branch" => reads::<CreateBranch<'_>>(&text),
            "git_checkout" => reads::<Checkout<'_>>(&text),
            "git_show" => reads::<Show<'_>>(&text),
            "git_branch" => reads::<Branch<'_>>(&text),
            unknown => panic!("no arguments for {unknown}"),
        }
    }

    /// A value that satisfies the schema of a property, by its type.
    fn sample(schema: &Value) -> Value {
        match schema["type"].as_str() {
            Some("integer") => json!(7),
            Some("array") => json!(["text"]),
            _ => json!("text"),
        }
    }

    fn fits(schema: &Value, value: &Value) -> bool {
        match schema["type"].as_str() {
            Some("integer") => value.is_i64(),
            Some("array") => value.as_array().is_some_and(|items| items.iter().any(Value::is_string)),
            Some("string") => value.is_string(),
            _ => value.is_string() || value.is_null(),
        }
    }

    #[test]
    fn arguments_are_what_the_schemas_say() {
        let definitions: Vec<Value> = serde_json::from_str(super::super::DEFINITIONS).expect("JSON");
        for definition in &definitions {
            let tool = definition["name"].as_str().expect("a name");
            let properties = definition["inputSchema"]["properties"].as_object().expect("properties");
            let required = definition["inputSchema"]["required"].as_array().expect("a list");
            let full: Value =
                properties.iter().map(|(name, schema)| (name.clone(), sample(schema))).collect();
            assert!(accepts(tool, &full), "{tool} refuses {full}");
            for (name, schema) in properties {
                let mut without = full.clone();
                without.as_object_mut().expect("an object").remove(name);
                let is_required = required.iter().any(|required| required == name.as_str());
                assert_eq!(accepts(tool, &without), !is_required, "{tool} without {name}");
                for wrong in [
                    json!("x"),
                    json!(1),
                    json!(1.5),
                    json!(true),
                    json!(null),
                    json!([]),
                    json!([1]),
                    json!({}),
                ] {
                    let mut with = full.clone();
                    with[name] = wrong.clone();
                    assert_eq!(accepts(tool, &with), fits(schema, &wrong), "{tool}: {with}");
                }
            }
            let mut more = full.clone();
            more["unknown"] = json!([{}]);
            assert!(accepts(tool, &more), "{tool} refuses unknown members");
        }
    }

    #[test]
    fn what_is_left_out_has_the_default_of_the_schema() {
        let definitions: Vec<Value> = serde_json::from_str(super::super::DEFINITIONS).expect("JSON");
        let default = |tool: &str, name: &str| {
            let definition =
                definitions.iter().find(|definition| definition["name"] == tool).expect("a tool");
            definition["inputSchema"]["properties"][name]["default"].clone()
        };
        let diff: Diff<'_> = serde_json::from_str(r#"{"repo_path":"r","target":"t"}"#).expect("read");
        assert_eq!(default("git_diff", "context_lines"), diff.context_lines);
        let log: Log<'_> = serde_json::from_str(r#"{"repo_path":"r"}"#).expect("read");
        assert_eq!(default("git_log", "max_count"), log.max_count);
    }
}
