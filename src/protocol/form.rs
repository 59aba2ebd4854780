//! The schema of a form from a Rust type: flat, of the kinds of fields that clients can show.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Formats of texts that forms know.
const FORMATS: [&str; 4] = ["date", "date-time", "email", "uri"];

/// The schema of a form that a user fills in for a `T`, as JSON text.
///
/// # Errors
/// When `T` is no struct, or a field is of a kind that forms do not have.
pub(crate) fn form_schema<T: JsonSchema>() -> Result<String, String> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|_| schema.get("type") == Some(&json!("object"))) else {
        return Err(format!("a form is a struct with named fields, which {} is not", T::schema_name()));
    };
    let fields = properties.iter().map(|(name, field)| match plain(field) {
        Some(field) => Ok((name.clone(), Value::Object(field))),
        None => Err(format!(
            "the field {name} of a form is no text, number, truth value or choice of texts: {field}"
        )),
    });
    let fields: Map<String, Value> = fields.collect::<Result<_, _>>()?;
    let required = schema.get("required").cloned().unwrap_or_else(|| json!([]));
    Ok(json!({"type": "object", "properties": fields, "required": required}).to_string())
}

/// A field as clients take it: of one type, without formats of Rust; `None` where it is of no kind that forms have.
fn plain(schema: &Value) -> Option<Map<String, Value>> {
    let mut field = schema.as_object()?.clone();
    if let Some(inner) = optional(&mut field) {
        // What stands at the field says more than what stands at its type.
        let outer = std::mem::replace(&mut field, inner);
        field.extend(outer);
    }
    if let Some(choices) = choices(&mut field) {
        field.insert("type".to_owned(), json!("string"));
        field.insert("enum".to_owned(), choices);
    }
    if let Some(texts) = field.get_mut("enum").and_then(Value::as_array_mut) {
        // `null` is how an optional choice says that it may be left out.
        texts.retain(|text| !text.is_null());
    }
    let kind = single_type(field.get("type")?)?.to_owned();
    field.insert("type".to_owned(), json!(kind));
    if field.get("format").is_some_and(|format| !FORMATS.iter().any(|known| format == known)) {
        field.remove("format");
    }
    if field.get("default") == Some(&Value::Null) {
        field.remove("default");
    }
    let is_choice_of_many = || field.get("items").and_then(|items| items.get("enum")).is_some_and(are_texts);
    match kind.as_str() {
        "string" if field.get("enum").is_some_and(|texts| !are_texts(texts)) => None,
        "string" | "number" | "integer" | "boolean" => Some(field),
        "array" if is_choice_of_many() => Some(field),
        _ => None,
    }
}

/// The type, where there is one beside `null`.
fn single_type(kind: &Value) -> Option<&str> {
    let Value::Array(kinds) = kind else { return kind.as_str() };
    let mut others = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
    others.next().filter(|_| others.next().is_none())
}

/// What is optional where a field is `anyOf` that and `null`.
fn optional(field: &mut Map<String, Value>) -> Option<Map<String, Value>> {
    let mut kinds =
        field.get("anyOf")?.as_array()?.iter().filter(|kind| kind.get("type") != Some(&json!("null")));
    let inner = kinds.next()?.as_object()?.clone();
    if kinds.next().is_some() {
        return None;
    }
    field.remove("anyOf");
    Some(inner)
}

/// The texts of a choice, each of which has a description of its own.
fn choices(field: &mut Map<String, Value>) -> Option<Value> {
    let choices = field.get("oneOf")?.as_array()?;
    let mut texts = Vec::new();
    for choice in choices {
        match (choice.get("const"), choice.get("enum").and_then(Value::as_array)) {
            (Some(text), _) => texts.push(text.clone()),
            (None, Some(several)) => texts.extend(several.iter().cloned()),
            (None, None) => return None,
        }
    }
    field.remove("oneOf");
    Some(Value::Array(texts))
}

fn are_texts(values: &Value) -> bool {
    values.as_array().is_some_and(|values| values.iter().all(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::form_schema;
    use schemars::JsonSchema;
    use serde_json::{Value, json};

    /// How it is done.
    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code)]
    enum Way {
        /// At once.
        Fast,
        /// Later.
        Slow,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    enum Colour {
        Red,
        Blue,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code)]
    struct Form {
        /// Which branch?
        branch: String,
        force: bool,
        count: Option<u32>,
        ratio: f64,
        way: Way,
        /// Of what colour?
        colour: Option<Colour>,
        #[serde(default)]
        note: Option<String>,
    }

    #[test]
    fn a_form_has_the_fields_of_a_struct() {
        let schema: Value = serde_json::from_str(&form_schema::<Form>().expect("a form")).expect("JSON");
        assert_eq!(schema["required"], json!(["branch", "force", "ratio", "way"]));
        let fields = &schema["properties"];
        assert_eq!(fields["branch"], json!({"type": "string", "description": "Which branch?"}));
        assert_eq!(fields["force"], json!({"type": "boolean"}));
        assert_eq!(fields["count"], json!({"type": "integer", "minimum": 0}));
        assert_eq!(fields["ratio"], json!({"type": "number"}));
        assert_eq!(
            (&fields["way"]["type"], &fields["way"]["enum"]),
            (&json!("string"), &json!(["fast", "slow"]))
        );
        assert_eq!(fields["colour"]["type"], "string");
        assert_eq!(fields["colour"]["enum"], json!(["Red", "Blue"]));
        assert_eq!(fields["colour"]["description"], "Of what colour?");
        assert_eq!(fields["note"], json!({"type": "string"}));
    }

    #[test]
    fn what_no_form_can_show_is_refused_by_name() {
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct Nested {
            inner: Form,
        }
        #[derive(JsonSchema)]
        #[allow(dead_code)]
        struct List {
            items: Vec<u8>,
        }
        assert!(form_schema::<u32>().expect_err("no struct").contains("named fields"));
        assert!(form_schema::<Nested>().expect_err("nested").contains("the field inner"));
        assert!(form_schema::<List>().expect_err("a list").contains("the field items"));
    }
}
