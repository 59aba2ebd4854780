//! The definition of a tool: its name, schemas and hints.

use super::capability::{Capability, ClientCapabilities};
use super::era::Era;
use super::schema;
use memchr::memchr2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A tool as `tools/list` shows it.
///
/// ```
/// use mcpool::{ToolAnnotations, ToolDefinition};
/// use schemars::JsonSchema;
///
/// #[derive(JsonSchema)]
/// struct Add {
///     a: f64,
///     b: f64,
/// }
///
/// let add = ToolDefinition::new("add", "Adds two numbers.")
///     .arguments::<Add>()
///     .annotations(ToolAnnotations::read_only());
/// assert_eq!(add.name(), "add");
/// assert!(serde_json::to_string(&add).unwrap().contains(r#""readOnlyHint":true"#));
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct ToolDefinition {
    name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    description: Cow<'static, str>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<ToolAnnotations>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<Box<RawValue>>,
    /// The schema was given as text, so no type enforces it.
    #[serde(skip)]
    checks_arguments: bool,
    #[serde(skip)]
    checks_output: bool,
    /// Arguments are not converted.
    #[serde(skip)]
    is_exact: bool,
    /// Answers repeat nothing of their content.
    #[serde(skip)]
    is_text_once: bool,
    /// What a client declares that sees the tool.
    #[serde(skip)]
    needs: ClientCapabilities,
    /// No tool is there, or it is gone.
    #[serde(skip)]
    is_vacant: bool,
}

impl ToolDefinition {
    /// A tool without arguments.
    ///
    /// Clients expect 1 to 128 characters of `[A-Za-z0-9_.-]` in `name`.
    pub fn new(name: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            title: None,
            description: description.into(),
            input_schema: raw_json(
                &serde_json::json!({"type": "object", "properties": {}, "additionalProperties": false}),
            ),
            annotations: None,
            execution: None,
            output_schema: None,
            checks_arguments: false,
            checks_output: false,
            is_exact: false,
            is_text_once: false,
            needs: ClientCapabilities::default(),
            is_vacant: false,
        }
    }

    /// The number of a tool that is not there yet.
    pub(crate) fn vacant() -> Self {
        Self::new("", "").left()
    }

    /// A tool that is gone.
    pub(crate) fn left(self) -> Self {
        Self { is_vacant: true, ..self }
    }

    /// Whether no tool is there.
    pub(crate) fn is_vacant(&self) -> bool {
        self.is_vacant
    }

    /// Takes the schema of the arguments from their type, in the words that all clients know: nothing is referred to that
    /// can stand in its place, numbers have no format, and what may be left out is not null.
    #[must_use]
    pub fn arguments<A: JsonSchema>(mut self) -> Self {
        self.input_schema = raw_json(&schema::of_arguments::<A>());
        self
    }

    /// Takes the schema of the structured answer from its type.
    #[must_use]
    pub fn output<O: JsonSchema>(mut self) -> Self {
        self.output_schema = Some(raw_json(&schema::of_output::<O>()));
        self
    }

    /// Takes the schema of the arguments as JSON text: an object schema of draft 2020-12, or of the dialect that
    /// it names. Text that is no JSON object is refused when the server is built.
    #[must_use]
    pub fn input_schema(mut self, json: &str) -> Self {
        self.input_schema = raw_text(json);
        self.checks_arguments = true;
        self
    }

    /// Takes the schema of the structured answer as JSON text, as for [`ToolDefinition::input_schema`].
    #[must_use]
    pub fn output_schema(mut self, json: &str) -> Self {
        self.output_schema = Some(raw_text(json));
        self.checks_output = true;
        self
    }

    /// Takes the schema of the structured answer away, for a tool that gives none.
    #[must_use]
    pub fn without_output(mut self) -> Self {
        self.output_schema = None;
        self
    }

    /// Says whether clients of revision 2025-11-25 may have calls of the tool go on as tasks, on a server with
    /// [tasks](crate::ServerBuilder::tasks). Such a call is answered with its task at once and served in the background; the
    /// client asks how far it is, what it came to, and what it asks for. In the modern era the tool itself decides
    /// (`RequestContext::prefer_task`).
    ///
    /// ```
    /// use mcpool::{TaskSupport, ToolDefinition};
    ///
    /// let build = ToolDefinition::new("build", "Builds all of it.").task_support(TaskSupport::Optional);
    /// assert!(serde_json::to_string(&build).unwrap().contains(r#""taskSupport":"optional""#));
    /// ```
    #[must_use]
    pub fn task_support(mut self, support: TaskSupport) -> Self {
        self.execution = Some(raw_json(&serde_json::json!({"taskSupport": support})));
        self
    }

    /// Whether calls may go on as tasks in revision 2025-11-25.
    pub(crate) fn supports_tasks(&self) -> TaskSupport {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Execution {
            task_support: TaskSupport,
        }
        let execution = self.execution.as_ref().map(|execution| serde_json::from_str(execution.get()));
        let Execution { task_support } = execution.transpose().ok().flatten().unwrap_or_default();
        task_support
    }

    /// Lists the tool only for clients that declare all of `capabilities`: in their handshake, or in the `_meta` of the
    /// request for the list. For a tool that asks its client for something, and is of no use to one that cannot be asked.
    ///
    /// This says what a client sees, not what it may do: a call of a tool that it does not see is served like any other. So
    /// the tool asks with `RequestContext::require` as well, or with `RequestContext::ask`, which does.
    ///
    /// A server without such a tool has one list for all clients, written once. One with such a tool writes the list for
    /// each client, and tells modern ones to share it with nobody.
    ///
    /// ```
    /// use mcpool::{Capability, ToolDefinition};
    ///
    /// let summarise = ToolDefinition::new("summarise", "Has your own model sum up a page.");
    /// let summarise = summarise.shown_if(&[Capability::Sampling]);
    /// ```
    #[must_use]
    pub fn shown_if(mut self, capabilities: &[Capability]) -> Self {
        self.needs = capabilities.iter().copied().collect();
        self
    }

    /// What a client declares that sees the tool.
    pub(crate) fn needs(&self) -> ClientCapabilities {
        self.needs
    }

    /// Has answers carry their text or data in `content` alone. There is no schema of structured answers then, as clients
    /// would miss what that promises.
    pub(crate) fn text_once(self) -> Self {
        Self { is_text_once: true, ..self.without_output() }
    }

    /// Whether answers carry their text or data in `content` alone.
    pub(crate) fn is_text_once(&self) -> bool {
        self.is_text_once
    }

    /// Refuses arguments that do not fit their schema exactly. By default arguments with one possible meaning are
    /// converted: `null` for an optional argument is none, `"2"` for a number is 2, `2.0` for a whole number is 2, `"true"` is
    /// true, and a list or an object may come as the text of its JSON; never where a string is wanted.
    #[must_use]
    pub fn exact_arguments(mut self) -> Self {
        self.is_exact = true;
        self
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The same tool under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Hints on what a call does.
    #[must_use]
    pub fn annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.annotations = Some(annotations);
        self
    }

    /// The definitions in a JSON array, as `tools/list` of another server shows them.
    ///
    /// # Errors
    /// When the text is not such an array.
    pub fn parse_list(json: &str) -> Result<Vec<Self>, serde_json::Error> {
        // Schemas are kept as they are written, and what is written out must be one line.
        serde_json::from_str(&compact(json))
    }

    /// The definition as clients of `era` expect it: the modern era has tasks as an extension and no `execution`.
    pub(crate) fn in_era(&self, era: Era) -> Self {
        let mut definition = self.clone();
        if era == Era::Modern {
            definition.execution = None;
        }
        definition
    }

    /// The schema of the arguments, as JSON text.
    pub(crate) fn input_schema_text(&self) -> &str {
        self.input_schema.get()
    }

    /// Whether the tool says that it changes nothing.
    #[cfg(feature = "cli")]
    pub(crate) fn is_read_only(&self) -> bool {
        self.annotations.as_ref().and_then(|hints| hints.read_only_hint) == Some(true)
    }

    /// Whether arguments are used without conversion.
    pub(crate) fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// The schema that arguments have to be validated against, as no type enforces it.
    #[cfg(feature = "validation")]
    pub(crate) fn unenforced_input(&self) -> Option<&str> {
        self.checks_arguments.then(|| self.input_schema.get())
    }

    /// The schema that answers have to be validated against, as no type enforces it.
    #[cfg(feature = "validation")]
    pub(crate) fn unenforced_output(&self) -> Option<&str> {
        self.output_schema.as_ref().filter(|_| self.checks_output).map(|schema| schema.get())
    }

    /// The name that calls use.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Whether a call of a tool may go on as a task, in revision 2025-11-25.
///
/// ```
/// use mcpool::{TaskSupport, ToolDefinition};
///
/// let build = ToolDefinition::new("build", "Builds all of it.").task_support(TaskSupport::Required);
/// # assert_eq!(build.name(), "build");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskSupport {
    /// Never. A call that asks for it is refused.
    #[default]
    Forbidden,
    /// When the client asks for it.
    Optional,
    /// Always. A call that does not ask for it is refused.
    Required,
}

/// JSON text as it stands, on one line; `null` where it is none, which is refused later.
fn raw_text(json: &str) -> Box<RawValue> {
    RawValue::from_string(compact(json)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// JSON text without the white space between its tokens.
fn compact(json: &str) -> String {
    let mut compacted = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(quote) = rest.find('"') {
        let end = quote + string_bytes(&rest[quote..]);
        compacted.extend(rest[..quote].split_ascii_whitespace());
        compacted.push_str(&rest[quote..end]);
        rest = &rest[end..];
    }
    compacted.extend(rest.split_ascii_whitespace());
    compacted
}

/// The bytes of the string that some JSON text begins with, with its quotes; all of the text if it does not end.
fn string_bytes(json: &str) -> usize {
    let bytes = json.as_bytes();
    let mut searched = 1;
    while let Some(found) = bytes.get(searched..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        let at = searched + found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        // The backslash, and what it escapes.
        searched = at + 2;
    }
    json.len()
}

fn raw_json(value: &serde_json::Value) -> Box<RawValue> {
    // invariant: a `Value` always serialises: its keys are strings and its numbers finite.
    serde_json::value::to_raw_value(value).expect("a JSON value serialises")
}

/// Hints on what a tool does; what is not set is not sent, and the client assumes the default.
///
/// ```
/// use mcpool::{ToolAnnotations, ToolDefinition};
///
/// let delete = ToolAnnotations {
///     destructive_hint: Some(true),
///     idempotent_hint: Some(true),
///     ..ToolAnnotations::default()
/// };
/// let tool = ToolDefinition::new("delete_note", "Deletes a note for good.").annotations(delete);
/// # assert_eq!(tool.name(), "delete_note");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "the specification's own shape")]
pub struct ToolAnnotations {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// It changes nothing. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_hint: Option<bool>,
    /// It may destroy what is there. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive_hint: Option<bool>,
    /// A second call with the same arguments changes nothing more. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent_hint: Option<bool>,
    /// It reaches beyond this machine. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world_hint: Option<bool>,
}

impl ToolAnnotations {
    /// Reads only.
    pub fn read_only() -> Self {
        Self { read_only_hint: Some(true), ..Self::default() }
    }

    /// Reads only, and nothing beyond this machine.
    pub fn local_read_only() -> Self {
        Self { open_world_hint: Some(false), ..Self::read_only() }
    }
}

#[cfg(test)]
mod tests {
    use super::{ToolDefinition, compact};

    #[test]
    fn white_space_goes_but_not_in_strings() {
        assert_eq!(compact(r#" "\\" , "a \" b" "c "#), r#""\\","a \" b""c "#);
        assert_eq!(compact(r#"" \"#), r#"" \"#);
        assert_eq!(compact(" {\n \"a b\" : [ 1 ,\t\"c \\\" d\" ] }\r\n"), r#"{"a b":[1,"c \" d"]}"#);
    }

    #[test]
    fn the_support_of_tasks_is_read_as_it_is_written() {
        use super::TaskSupport::{Forbidden, Optional, Required};
        assert_eq!(ToolDefinition::new("t", "d").supports_tasks(), Forbidden);
        for support in [Forbidden, Optional, Required] {
            let tool = ToolDefinition::new("t", "d").task_support(support);
            let json = serde_json::to_string(&[tool]).expect("JSON");
            let read = ToolDefinition::parse_list(&json).expect("a list");
            assert_eq!(read[0].supports_tasks(), support, "{json}");
        }
    }

    #[test]
    fn a_definition_is_one_line() {
        let text =
            "[{\"name\": \"t\", \"description\": \"a b\",\n \"inputSchema\": {\n  \"type\": \"object\" } }]";
        let tools = ToolDefinition::parse_list(text).expect("a list");
        let json = serde_json::to_string(&tools).expect("JSON");
        assert_eq!(json, r#"[{"name":"t","description":"a b","inputSchema":{"type":"object"}}]"#);
    }
}
