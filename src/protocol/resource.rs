//! The definitions of resources and of templates of resources.

use serde::Serialize;
use std::borrow::Cow;

/// A resource as `resources/list` shows it.
///
/// ```
/// use mcpool::resources::Resource;
///
/// let log = Resource::new("file:///var/log/app.log", "app.log").mime_type("text/plain").size(4_096);
/// assert_eq!(log.uri(), "file:///var/log/app.log");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    uri: Cow<'static, str>,
    name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl Resource {
    /// A resource of that URI; `name` is for programs.
    pub fn new(uri: impl Into<Cow<'static, str>>, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            uri: uri.into(),
            name: name.into(),
            title: None,
            description: None,
            mime_type: None,
            size: None,
        }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// What it holds.
    #[must_use]
    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// The type of its contents.
    #[must_use]
    pub fn mime_type(mut self, mime_type: impl Into<Cow<'static, str>>) -> Self {
        self.mime_type = Some(mime_type.into());
        self
    }

    /// Its size in bytes, before any encoding.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The URI by which it is read.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

/// A family of resources as `resources/templates/list` shows it.
///
/// ```
/// use mcpool::resources::ResourceTemplate;
///
/// let files = ResourceTemplate::new("notes://{folder}/{name}", "notes");
/// assert_eq!(files.variables("notes://work/plan"), Some(vec![("folder", "work"), ("name", "plan")]));
/// assert_eq!(files.variables("notes://work"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceTemplate {
    uri_template: Cow<'static, str>,
    name: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'static, str>>,
}

impl ResourceTemplate {
    /// A template in the form of RFC 6570.
    pub fn new(uri_template: impl Into<Cow<'static, str>>, name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            uri_template: uri_template.into(),
            name: name.into(),
            title: None,
            description: None,
            mime_type: None,
        }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// What its resources hold.
    #[must_use]
    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// The type of their contents, where all have the same.
    #[must_use]
    pub fn mime_type(mut self, mime_type: impl Into<Cow<'static, str>>) -> Self {
        self.mime_type = Some(mime_type.into());
        self
    }

    /// The variables of a URI that the template may have made; `None` for any other URI.
    ///
    /// Knows variables of level 1 (`{name}`), whose values hold no `/`; a template with others matches
    /// nothing. Values are as they stand in the URI, percent signs included.
    pub fn variables<'a>(&'a self, uri: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut variables = Vec::new();
        let (mut template, mut rest): (&str, &str) = (&self.uri_template, uri);
        while let Some(open) = template.find('{') {
            rest = rest.strip_prefix(&template[..open])?;
            let (name, behind) = template[open + 1..].split_once('}')?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return None;
            }
            let stop = &behind[..behind.find('{').unwrap_or(behind.len())];
            let value_end = rest.find('/').unwrap_or(rest.len());
            let value_end = if stop.is_empty() {
                value_end
            } else {
                rest[..].find(stop).filter(|end| *end <= value_end)?
            };
            if value_end == 0 {
                return None;
            }
            variables.push((name, &rest[..value_end]));
            rest = &rest[value_end..];
            template = behind;
        }
        (rest == template).then_some(variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_what_they_made() {
        type Variables = &'static [(&'static str, &'static str)];
        let rows: [(&str, &str, Option<Variables>); 8] = [
            ("test://template/{id}/data", "test://template/7/data", Some(&[("id", "7")])),
            ("test://template/{id}/data", "test://template/7/other", None),
            ("test://template/{id}/data", "test://template//data", None),
            ("test://template/{id}/data", "test://template/a/b/data", None),
            ("x://{a}-{b}", "x://1-2", Some(&[("a", "1"), ("b", "2")])),
            ("x://{a}", "x://1/2", None),
            ("x://fixed", "x://fixed", Some(&[])),
            ("x://{+path}", "x://a", None),
        ];
        for (template, uri, want) in rows {
            let template = ResourceTemplate::new(template, "t");
            assert_eq!(template.variables(uri), want.map(<[_]>::to_vec), "{uri}");
        }
    }
}
