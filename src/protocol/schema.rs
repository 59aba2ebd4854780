//! Schemas of Rust types as clients and the models behind them take them.
//!
//! They are valid JSON Schema of 2020-12, which is what a schema without `$schema` is taken for, and keep to what all
//! that read them know: no references but to what contains itself, no formats of numbers, choices as `enum`. `mcpool lint`
//! has the clients that refuse what is left out here. Invariant: the same values are valid as by the type's own schema,
//! but for null in the place of an argument that may be left out.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Formats that JSON Schema defines; `schemars` adds those of Rust's numbers.
const FORMATS: [&str; 19] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
];

/// The schema of the arguments of a tool.
pub(super) fn of_arguments<T: JsonSchema>() -> Value {
    let mut schema = of_output::<T>();
    each(&mut schema, &without_null);
    let is_object = schema["type"] == "object";
    if let Some(root) = schema.as_object_mut().filter(|_| is_object) {
        // A list of none is one, and some clients want to see it.
        root.entry("properties").or_insert_with(|| json!({}));
    }
    schema
}

/// The schema of the structured answer of a tool.
pub(super) fn of_output<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    each(&mut schema, &without_foreign_format);
    each(&mut schema, &with_plain_choices);
    schema
}

/// Changes every schema in a schema, the inner ones first.
fn each(schema: &mut Value, change: &impl Fn(&mut Map<String, Value>)) {
    let Some(own) = schema.as_object_mut() else { return };
    for (keyword, value) in own.iter_mut() {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "dependentSchemas", Value::Object(named)) => {
                for schema in named.values_mut() {
                    each(schema, change);
                }
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(several)) => {
                for schema in several {
                    each(schema, change);
                }
            }
            (
                "items"
                | "additionalProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames",
                schema,
            ) => each(schema, change),
            _ => {}
        }
    }
    change(own);
}

fn without_foreign_format(schema: &mut Map<String, Value>) {
    let is_foreign =
        schema.get("format").and_then(Value::as_str).is_some_and(|format| !FORMATS.contains(&format));
    if is_foreign {
        schema.remove("format");
    }
}

/// Writes a fixed text as an `enum` of one, and several of them as one `enum`, with what was said of each.
fn with_plain_choices(schema: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = schema.get("const") {
        let text = text.clone();
        schema.remove("const");
        schema.entry("type").or_insert_with(|| json!("string"));
        schema.insert("enum".to_owned(), json!([text]));
    }
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array).and_then(|all| plain_texts(all)) else {
        return;
    };
    let told: Vec<String> = choices
        .iter()
        .filter_map(|(text, description)| description.map(|description| format!("{text}: {description}")))
        .collect();
    let values: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
    let values = json!(values);
    let own = schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let description = own.into_iter().chain(told).collect::<Vec<_>>().join("\n");
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), values);
    if !description.is_empty() {
        schema.insert("description".to_owned(), json!(description));
    }
}

/// The texts that alternatives allow, each with its description; `None` if one of them allows anything else.
fn plain_texts(alternatives: &[Value]) -> Option<Vec<(&str, Option<&str>)>> {
    let mut texts = Vec::new();
    for alternative in alternatives {
        let known = ["type", "enum", "description", "title"];
        let is_plain = alternative.as_object()?.keys().all(|keyword| known.contains(&keyword.as_str()));
        let allowed = alternative["enum"].as_array().filter(|_| is_plain)?;
        let description = alternative["description"].as_str();
        // What is said of several is said of none of them alone.
        let description = description.filter(|_| allowed.len() == 1);
        for text in allowed {
            texts.push((text.as_str()?, description));
        }
    }
    (!texts.is_empty()).then_some(texts)
}

/// Takes null from the types of what may be left out.
fn without_null(schema: &mut Map<String, Value>) {
    let required: Vec<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties {
        if let Some(property) = property.as_object_mut().filter(|_| !required.contains(name)) {
            drop_null(property);
        }
    }
}

fn drop_null(property: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".to_owned(), only);
        }
        if let Some(Value::Array(values)) = property.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        if property.get("default").is_some_and(Value::is_null) {
            property.remove("default");
        }
    }
    let Some(Value::Array(alternatives)) = property.get_mut("anyOf") else { return };
    alternatives.retain(|alternative| *alternative != json!({"type": "null"}));
    if property.get("default").is_some_and(Value::is_null) {
        property.remove("default");
    }
    let Some(Value::Array(alternatives)) = property.get("anyOf") else { return };
    let [Value::Object(only)] = alternatives.as_slice() else { return };
    let only = only.clone();
    property.remove("anyOf");
    for (keyword, value) in only {
        property.entry(keyword).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(dead_code, reason = "types whose schemas are looked at")]

    use super::*;

    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        /// From small to large.
        Asc,
        Desc,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Plain {
        One,
        Two,
    }

    #[derive(JsonSchema)]
    struct Edit {
        /// What is there.
        old: String,
        count: u8,
    }

    #[derive(JsonSchema)]
    struct Arguments {
        count: u32,
        share: f64,
        most: Option<usize>,
        /// How to sort.
        order: Option<Order>,
        plain: Plain,
        edits: Vec<Edit>,
        one: Option<Edit>,
    }

    #[derive(JsonSchema)]
    struct Tree {
        name: String,
        children: Vec<Tree>,
    }

    #[derive(JsonSchema)]
    struct Nothing {}

    fn text_of(schema: &Value) -> String {
        schema.to_string()
    }

    #[test]
    fn arguments_are_plain() {
        let schema = of_arguments::<Arguments>();
        let text = text_of(&schema);
        for absent in ["$schema", "$ref", "$defs", "uint", "double", "null", "oneOf", "anyOf", "const"] {
            assert!(!text.contains(absent), "{absent}: {text}");
        }
        let property = |name: &str| schema["properties"][name].clone();
        assert_eq!(property("count"), json!({"type": "integer", "minimum": 0}));
        assert_eq!(property("most"), json!({"type": "integer", "minimum": 0}));
        let want = json!({
            "type": "string",
            "enum": ["asc", "desc"],
            "description": "How to sort.\nasc: From small to large.",
        });
        let mut order = property("order");
        sort_choices(&mut order);
        assert_eq!(order["enum"], want["enum"], "{order}");
        assert_eq!(order["type"], "string");
        assert_eq!(property("plain"), json!({"type": "string", "enum": ["one", "two"]}));
        assert_eq!(property("edits")["items"]["properties"]["old"]["description"], "What is there.");
        assert_eq!(property("one")["type"], "object");
        let required = schema["required"].as_array().expect("a list");
        assert!(!required.contains(&json!("most")) && required.contains(&json!("count")), "{required:?}");
    }

    /// The order of alternatives is the generator's.
    fn sort_choices(schema: &mut Value) {
        if let Some(values) = schema["enum"].as_array_mut() {
            values.sort_by_key(Value::to_string);
        }
    }

    #[test]
    fn what_contains_itself_is_referred_to_and_nothing_is_an_empty_list() {
        let tree = of_arguments::<Tree>();
        let target = text_of(&tree);
        assert!(target.contains("$ref"), "{target}");
        assert!(jsonschema::validator_for(&tree).is_ok_and(|schema| {
            schema.is_valid(&json!({"name": "a", "children": [{"name": "b", "children": []}]}))
                && !schema.is_valid(&json!({"name": "a", "children": [{"name": 7, "children": []}]}))
        }));
        assert_eq!(of_arguments::<Nothing>()["properties"], json!({}));
    }

    #[test]
    fn answers_may_still_be_null_where_the_type_says_so() {
        let schema = of_output::<Arguments>();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let answer = |most: Value, order: Value| json!({"count": 1, "share": 0.5, "most": most, "order": order, "plain": "one", "edits": [], "one": null});
        assert!(validator.is_valid(&answer(Value::Null, Value::Null)), "{schema}");
        assert!(validator.is_valid(&answer(json!(3), json!("asc"))), "{schema}");
        assert!(!validator.is_valid(&answer(json!(-3), json!("asc"))), "{schema}");
        assert!(!validator.is_valid(&answer(json!(3), json!("up"))), "{schema}");
    }
}
