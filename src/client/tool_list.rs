//! [`ToolList`]: what a server lists as its tools, with the entries that cannot be read.

use super::error::ClientError;
use super::tool::Tool;
use serde::Deserialize;
use serde::de::Error as _;
use serde_json::value::RawValue;

/// The method.
pub(super) const METHOD: &str = "tools/list";

/// The list of tools of a server.
#[derive(Debug, Default)]
pub(crate) struct ToolList {
    /// The entries that can be read, in the order of the server.
    pub(crate) tools: Vec<Tool>,
    /// The others.
    pub(crate) unreadable: Vec<UnreadableTool>,
}

/// An entry that is no tool.
#[derive(Debug)]
pub(crate) struct UnreadableTool {
    /// Its place in the list; the first is 1.
    pub(crate) number: usize,
    /// Its name, if that is a text.
    pub(crate) name: Option<String>,
    /// What is wrong with it.
    pub(crate) why: String,
}

/// One page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolPage {
    tools: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

impl ToolList {
    /// Adds a page, and gives the cursor of the next one.
    pub(super) fn add(&mut self, page: ToolPage) -> Option<String> {
        for entry in page.tools {
            match serde_json::from_str(entry.get()) {
                Ok(tool) => self.tools.push(tool),
                Err(error) => {
                    let number = self.len() + 1;
                    self.unreadable.push(UnreadableTool::of(number, entry.get(), &error));
                }
            }
        }
        page.next_cursor
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.tools.len() + self.unreadable.len()
    }

    /// The tools, if each entry is one.
    pub(super) fn all(self) -> Result<Vec<Tool>, ClientError> {
        match self.unreadable.first() {
            None => Ok(self.tools),
            Some(entry) => {
                let source = serde_json::Error::custom(format!("{}: {}", entry.title(), entry.why));
                Err(ClientError::Malformed { method: METHOD.to_owned(), source })
            }
        }
    }
}

impl UnreadableTool {
    fn of(number: usize, json: &str, error: &serde_json::Error) -> Self {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let name = serde_json::from_str::<Named>(json).ok().map(|named| named.name);
        Self { number, name, why: error.to_string() }
    }

    /// What it is called: its name, or else its number.
    pub(crate) fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("entry {}", self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_no_tool_is_named_and_the_others_stay() {
        let page = r#"{"tools":[{"name":"a"},{"name":7},{"name":"b","description":[]},{"name":"c"},null],"nextCursor":"x"}"#;
        let mut list = ToolList::default();
        assert_eq!(list.add(serde_json::from_str(page).expect("a page")).as_deref(), Some("x"));
        let second = r#"{"tools":[{}]}"#;
        assert_eq!(list.add(serde_json::from_str(second).expect("a page")), None);
        let names: Vec<_> = list.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!((names, list.len()), (vec!["a", "c"], 6));
        let wrong: Vec<_> = list.unreadable.iter().map(UnreadableTool::title).collect();
        assert_eq!(wrong, ["entry 2", "b", "entry 5", "entry 6"]);
        assert!(list.unreadable[0].why.contains("expected a string"), "{:?}", list.unreadable[0]);
        assert!(list.unreadable[3].why.contains("missing field `name`"), "{:?}", list.unreadable[3]);
        let error = list.all().expect_err("it has entries that are no tools").to_string();
        assert!(error.contains("tools/list") && error.contains("entry 2: "), "{error}");
        assert!(ToolList::default().all().is_ok_and(|tools| tools.is_empty()));
    }
}
