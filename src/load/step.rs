//! What a load test asks for, and how often beside its other steps.

use serde_json::{Map, Value};

/// One kind of request.
///
/// [`LoadStep::call`] has an example.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadStep {
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
    pub(super) weight: u32,
    pub(super) takes_any_id: bool,
    /// How many of them one request is made of.
    pub(super) batch: usize,
}

impl LoadStep {
    /// A call of a tool. Strings in its arguments may hold placeholders: `{{number 1..100}}`, `{{text 32}}`,
    /// `{{count}}`, `{{pick a|b}}`.
    ///
    /// ```
    /// use mcpool::load::LoadStep;
    ///
    /// let arguments = serde_json::json!({"path": "notes-{{number 1..9}}.txt"});
    /// let step = LoadStep::call("read_text_file", arguments.as_object().cloned().unwrap_or_default());
    /// assert_eq!(step.name(), "read_text_file");
    /// ```
    pub fn call(tool: impl Into<String>, arguments: Map<String, Value>) -> Self {
        let mut params = Map::new();
        params.insert("name".to_owned(), tool.into().into());
        params.insert("arguments".to_owned(), Value::Object(arguments));
        Self::method("tools/call", params)
    }

    /// A request of any method.
    pub fn method(method: impl Into<String>, params: Map<String, Value>) -> Self {
        Self { method: method.into(), params, weight: 1, takes_any_id: false, batch: 1 }
    }

    /// The same step, made `weight` times as often as one of weight 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Takes an answer with whatever id, as a server of fixed bodies gives it: what such a server does is the most that
    /// machine and generator could see of any. Over HTTP only, where the connection says what an answer belongs to.
    ///
    /// ```
    /// use mcpool::load::LoadStep;
    ///
    /// let step = LoadStep::method("ping", serde_json::Map::new()).any_id();
    /// assert_eq!(step.name(), "ping");
    /// ```
    #[must_use]
    pub fn any_id(mut self) -> Self {
        self.takes_any_id = true;
        self
    }

    /// Sends so many of them at once, as one batch: an array of messages, answered by an array. Only revision 2025-03-26
    /// has batches, so that is what is spoken then. A batch counts as one request, which is right if each answer in it is.
    ///
    /// ```
    /// use mcpool::load::LoadStep;
    ///
    /// let step = LoadStep::method("ping", serde_json::Map::new()).batch(1_000);
    /// assert_eq!(step.name(), "ping");
    /// ```
    #[must_use]
    pub fn batch(mut self, messages: usize) -> Self {
        self.batch = messages;
        self
    }

    /// Whether both call the same tool.
    pub(super) fn is_for_tool_of(&self, other: &Self) -> bool {
        self.method == other.method && self.tool().is_some() && self.tool() == other.tool()
    }

    /// The tool that is called, or the method.
    pub fn name(&self) -> &str {
        self.tool().unwrap_or(&self.method)
    }

    pub(super) fn tool(&self) -> Option<&str> {
        let name = self.params.get("name").and_then(Value::as_str);
        name.filter(|_| matches!(self.method.as_str(), "tools/call" | "prompts/get"))
    }
}
