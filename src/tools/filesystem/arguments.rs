//! The arguments of each tool. Clients see the schemas in `definitions.json`; a test compares the two.
//!
//! Nothing is lenient here: an optional argument, too, must have the type of the schema. The server reads arguments
//! that do not fit a second time, and converts those with only one meaning.

use crate::wire::{EscapedText, Strings};
use serde::{Deserialize, Deserializer};

/// `read_file`, `read_text_file`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct ReadTextFile<'a> {
    pub(crate) path: &'a str,
    #[serde(default, deserialize_with = "present")]
    pub(crate) head: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) tail: Option<f64>,
    /// The number of the first line, from 1 on.
    #[serde(default, deserialize_with = "present")]
    pub(crate) offset: Option<f64>,
    /// The most lines.
    #[serde(default, deserialize_with = "present")]
    pub(crate) limit: Option<f64>,
}

/// `read_media_file`, `create_directory`, `list_directory`, `get_file_info`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Path<'a> {
    pub(crate) path: &'a str,
}

/// `read_multiple_files`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct ReadMultipleFiles<'a> {
    #[serde(borrow, deserialize_with = "at_least_one")]
    pub(crate) paths: Strings<'a>,
}

/// `write_file`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct WriteFile<'a> {
    pub(crate) path: &'a str,
    /// As it came: it is unescaped on its way into the file.
    #[serde(borrow)]
    pub(crate) content: EscapedText<'a>,
}

/// `edit_file`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EditFile<'a> {
    pub(crate) path: &'a str,
    #[serde(borrow)]
    pub(crate) edits: Vec<Edit<'a>>,
    #[serde(default)]
    pub(crate) dry_run: bool,
    /// The value for edits without their own.
    #[serde(default)]
    pub(crate) replace_all: bool,
}

/// One replacement of `edit_file`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Edit<'a> {
    pub(crate) old_text: &'a str,
    pub(crate) new_text: &'a str,
    /// Whether all places are replaced; if not, there must be exactly one.
    #[serde(default, deserialize_with = "present")]
    pub(crate) replace_all: Option<bool>,
}

/// `list_directory_with_sizes`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListWithSizes<'a> {
    pub(crate) path: &'a str,
    #[serde(default)]
    pub(crate) sort_by: SortBy,
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SortBy {
    #[default]
    Name,
    Size,
}

/// `directory_tree`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryTree<'a> {
    pub(crate) path: &'a str,
    #[serde(default, borrow)]
    pub(crate) exclude_patterns: Strings<'a>,
}

/// `move_file`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct MoveFile<'a> {
    pub(crate) source: &'a str,
    pub(crate) destination: &'a str,
}

/// `search_files`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SearchFiles<'a> {
    pub(crate) path: &'a str,
    pub(crate) pattern: &'a str,
    #[serde(default, borrow)]
    pub(crate) exclude_patterns: Strings<'a>,
}

/// `search_content`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SearchContent<'a> {
    pub(crate) path: &'a str,
    pub(crate) pattern: &'a str,
    /// Whether the pattern is a plain text.
    #[serde(default)]
    pub(crate) literal: bool,
    #[serde(default)]
    pub(crate) ignore_case: bool,
    #[serde(default, borrow)]
    pub(crate) include_patterns: Strings<'a>,
    #[serde(default, borrow)]
    pub(crate) exclude_patterns: Strings<'a>,
    /// Whether files are searched that ignore files name.
    #[serde(default)]
    pub(crate) include_ignored: bool,
    #[serde(default, deserialize_with = "present")]
    pub(crate) context_before: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) context_after: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) max_matches: Option<f64>,
    /// Matching lines before the first that is shown.
    #[serde(default, deserialize_with = "present")]
    pub(crate) offset: Option<f64>,
}

/// `list_allowed_directories`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Nothing {}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn at_least_one<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Strings<'a>, D::Error> {
    let paths = Strings::deserialize(deserializer)?;
    if paths.is_empty() {
        return Err(serde::de::Error::custom("paths must have at least 1 item, and has 0"));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Lexer;
    use bumpalo::Bump;
    use serde_json::{Value, json};

    fn accepts(tool: &str, arguments: &Value) -> bool {
        fn fits<'f, T: Deserialize<'f>>(text: &'f str, arena: &'f Bump) -> bool {
            Lexer::from_text(text).decode::<T>(arena).is_ok()
        }
        let (text, arena) = (arguments.to_string(), Bump::new());
        match tool {
            "read_file" | "read_text_file" => fits::<ReadTextFile<'_>>(&text, &arena),
            "read_media_file" | "create_directory" | "list_directory" | "get_file_info" => {
                fits::<Path<'_>>(&text, &arena)
            }
            "read_multiple_files" => fits::<ReadMultipleFiles<'_>>(&text, &arena),
            "write_file" => fits::<WriteFile<'_>>(&text, &arena),
            "edit_file" => fits::<EditFile<'_>>(&text, &arena),
            "list_directory_with_sizes" => fits::<ListWithSizes<'_>>(&text, &arena),
            "directory_tree" => fits::<DirectoryTree<'_>>(&text, &arena),
            "move_file" => fits::<MoveFile<'_>>(&text, &arena),
            "search_files" => fits::<SearchFiles<'_>>(&text, &arena),
            "search_content" => fits::<SearchContent<'_>>(&text, &arena),
            "list_allowed_directories" => fits::<Nothing>(&text, &arena),
            unknown => panic!("no arguments for {unknown}"),
        }
    }

    /// A value that satisfies a schema.
    fn sample(schema: &Value) -> Value {
        if let Some(first) = schema["enum"].get(0) {
            return first.clone();
        }
        match schema["type"].as_str() {
            Some("string") => json!("text"),
            Some("number") => json!(1.5),
            Some("boolean") => json!(true),
            Some("array") => json!([sample(&schema["items"])]),
            Some("object") => {
                let properties = schema["properties"].as_object().into_iter().flatten();
                properties.map(|(name, schema)| (name.clone(), sample(schema))).collect()
            }
            other => panic!("no sample of {other:?}"),
        }
    }

    #[test]
    fn arguments_are_what_the_schemas_say() {
        let read = |text| serde_json::from_str::<Vec<Value>>(text).expect("definitions are JSON");
        let texts =
            [super::super::DEFINITIONS, super::super::OWN_DEFINITIONS, super::super::ADDED_DEFINITIONS];
        for definition in &texts.map(read).concat() {
            let tool = definition["name"].as_str().expect("a name");
            let schema = &definition["inputSchema"];
            let full = sample(schema);
            assert!(accepts(tool, &full), "{tool} refuses {full}");
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut least = full.clone();
            for (name, property) in schema["properties"].as_object().expect("properties") {
                let mut without = full.clone();
                without.as_object_mut().expect("an object").remove(name);
                assert_eq!(
                    accepts(tool, &without),
                    !required.contains(&name.as_str()),
                    "{tool} without {name}"
                );
                for wrong in
                    [json!("x"), json!(1), json!(true), json!(null), json!([]), json!([1]), json!({})]
                {
                    let fits = wrong["type"] == property["type"]
                        || matches!(
                            (property["type"].as_str(), &wrong),
                            (Some("number"), Value::Number(_)) | (Some("boolean"), Value::Bool(_))
                        )
                        || (property["type"] == "string"
                            && wrong.is_string()
                            && property.get("enum").is_none())
                        || (property["type"] == "array"
                            && wrong == json!([])
                            && property.get("minItems").is_none());
                    let mut with = full.clone();
                    with[name] = wrong;
                    assert_eq!(accepts(tool, &with), fits, "{tool}: {with}");
                }
                if !required.contains(&name.as_str()) {
                    least.as_object_mut().expect("an object").remove(name);
                }
            }
            assert!(accepts(tool, &least), "{tool} refuses {least}");
            let mut more = full.clone();
            more["unknown"] = json!([{}]);
            assert!(accepts(tool, &more), "{tool} refuses unknown members");
        }
    }
}
