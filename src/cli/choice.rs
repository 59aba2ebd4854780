//! Which tools of the enabled toolsets are offered, and under which names: `--only`, `--except`, `--prefix` and
//! `--read-only`.

use super::config::Settings;
use super::nearest::did_you_mean;
use super::toolsets::{ToolsetError, ToolsetName};
use crate::protocol::ToolDefinition;
use crate::server::Toolset;
use crate::tools::Selection;

/// Longer names are refused by several clients.
const MAX_NAME_BYTES: usize = 64;

/// Why the tools cannot be offered as asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChoiceError {
    /// A prefix for a toolset that is not there.
    #[error("prefix: {0}")]
    Toolset(#[from] ToolsetError),
    /// A prefix that is no part of a name.
    #[error("prefix {text:?}: write A-Z a-z 0-9 _ - only, as in --prefix work_ or --prefix time=clock_")]
    Prefix {
        /// The prefix.
        text: String,
    },
    /// A name that becomes too long.
    #[error(
        "prefix {prefix:?} makes {name:?} longer than {MAX_NAME_BYTES} characters, which clients refuse: choose a shorter one"
    )]
    TooLong {
        /// The prefix.
        prefix: String,
        /// The tool.
        name: String,
    },
    /// No enabled toolset has that tool.
    #[error("{setting}: no enabled toolset has a tool {name:?}{suggestion}; there are {}", tools.join(", "))]
    Unknown {
        /// The setting that names it.
        setting: &'static str,
        /// The name.
        name: String,
        /// A name that is similar.
        suggestion: String,
        /// The tools that there are.
        tools: Vec<String>,
    },
}

/// What the settings say about single tools.
pub(super) struct Choice<'s> {
    only: &'s [String],
    except: &'s [String],
    read_only: bool,
    text_once: bool,
    /// Prefixes, and the toolset that each is for; the others stand before all names.
    prefixes: Vec<(Option<ToolsetName>, &'s str)>,
    /// All tools so far, by their own names. Filled only where single tools are named.
    seen: Vec<String>,
    /// What is offered, by toolset, where somebody wants to know.
    listed: Option<Vec<(&'static str, Vec<ToolDefinition>)>>,
}

impl<'s> Choice<'s> {
    /// Reads the settings.
    ///
    /// # Errors
    /// When a prefix is none.
    pub(super) fn new(settings: &'s Settings) -> Result<Self, ChoiceError> {
        let Settings { only, except, read_only, prefix, text_once, .. } = settings;
        let prefixes = prefix.iter().map(|text| read_prefix(text)).collect::<Result<_, _>>()?;
        Ok(Self {
            only,
            except,
            read_only: *read_only,
            text_once: *text_once,
            prefixes,
            seen: Vec::new(),
            listed: None,
        })
    }

    /// Also lists what is offered, for [`Choice::finish`].
    pub(super) fn listing(mut self) -> Self {
        self.listed = Some(Vec::new());
        self
    }

    /// The tools of `toolset` that are offered.
    ///
    /// # Errors
    /// When a name becomes too long.
    pub(super) fn apply<T: Toolset>(
        &mut self,
        name: ToolsetName,
        toolset: Option<T>,
    ) -> Result<Selection<Option<T>>, ChoiceError> {
        let is_enabled = toolset.is_some();
        let offered = self.select(name, toolset)?.text_once(self.text_once);
        if let Some(listed) = self.listed.as_mut().filter(|_| is_enabled) {
            listed.push((name.name(), offered.definitions()));
        }
        Ok(offered)
    }

    fn select<T: Toolset>(
        &mut self,
        name: ToolsetName,
        toolset: Option<T>,
    ) -> Result<Selection<Option<T>>, ChoiceError> {
        let prefix = self.prefix(name);
        let names_tools = !(self.only.is_empty() && self.except.is_empty());
        if toolset.is_none() || !(self.read_only || names_tools) && prefix.is_empty() {
            return Ok(Selection::new(toolset));
        }
        let tools = toolset.definitions();
        let too_long = |tool: &&ToolDefinition| prefix.len() + tool.name().len() > MAX_NAME_BYTES;
        if let Some(tool) = tools.iter().find(too_long).filter(|_| !prefix.is_empty()) {
            return Err(ChoiceError::TooLong { prefix, name: tool.name().to_owned() });
        }
        self.seen.extend(tools.iter().map(|tool| tool.name().to_owned()));
        // A tool is named as the toolset names it, or as clients see it.
        let is_named = |names: &[String], tool: &str| {
            names.iter().any(|name| name == tool || name.strip_prefix(&*prefix) == Some(tool))
        };
        let selection = Selection::new(toolset).retain(|tool| {
            (!self.read_only || tool.is_read_only())
                && (self.only.is_empty() || is_named(self.only, tool.name()))
                && !is_named(self.except, tool.name())
        });
        if !prefix.is_empty() {
            self.seen.extend(tools.iter().map(|tool| format!("{prefix}{}", tool.name())));
        }
        Ok(selection.prefix(prefix))
    }

    /// The prefix for the tools of a toolset: what is given for all, and then what is given for it.
    fn prefix(&self, toolset: ToolsetName) -> String {
        let of = |wanted: Option<ToolsetName>| {
            self.prefixes.iter().rfind(|(of, _)| *of == wanted).map_or("", |(_, prefix)| *prefix)
        };
        [of(None), of(Some(toolset))].concat()
    }

    /// Refuses names that no enabled toolset has. Gives what was listed.
    ///
    /// # Errors
    /// Names the first of them.
    pub(super) fn finish(self) -> Result<Vec<(&'static str, Vec<ToolDefinition>)>, ChoiceError> {
        for (setting, names) in [("only", self.only), ("except", self.except)] {
            if let Some(name) = names.iter().find(|name| !self.seen.contains(name)) {
                let suggestion = did_you_mean(name, self.seen.iter().map(String::as_str));
                return Err(ChoiceError::Unknown {
                    setting,
                    name: name.clone(),
                    suggestion,
                    tools: self.seen,
                });
            }
        }
        Ok(self.listed.unwrap_or_default())
    }
}

/// Reads `PREFIX` or `TOOLSET=PREFIX`.
fn read_prefix(text: &str) -> Result<(Option<ToolsetName>, &str), ChoiceError> {
    let (toolset, prefix) = match text.split_once('=') {
        Some((toolset, prefix)) => (Some(ToolsetName::parse(toolset)?), prefix),
        None => (None, text),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if prefix.is_empty() || !prefix.bytes().all(is_plain) {
        return Err(ChoiceError::Prefix { text: text.to_owned() });
    }
    Ok((toolset, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ToolAnnotations;
    use crate::server::{Finished, ToolRequest};

    struct Named(&'static [&'static str]);

    impl Toolset for Named {
        fn definitions(&self) -> Vec<ToolDefinition> {
            let read_only = |name: &str| ToolAnnotations {
                read_only_hint: Some(name.starts_with("get")),
                ..ToolAnnotations::default()
            };
            let tool =
                |name: &&'static str| ToolDefinition::new(*name, "A tool.").annotations(read_only(name));
            self.0.iter().map(tool).collect()
        }

        fn call<'f>(
            &'f self,
            _: usize,
            request: ToolRequest<'f>,
        ) -> impl Future<Output = Finished> + Send + 'f {
            std::future::ready(request.refuse_unknown())
        }
    }

    fn settings(only: &[&str], except: &[&str], prefix: &[&str]) -> Settings {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Settings { only: owned(only), except: owned(except), prefix: owned(prefix), ..Settings::default() }
    }

    fn offered(settings: &Settings) -> Result<Vec<String>, String> {
        let text = |error: ChoiceError| error.to_string();
        let mut choice = Choice::new(settings).map_err(text)?;
        let time = choice.apply(ToolsetName::Time, Some(Named(&["get_time", "set_time"]))).map_err(text)?;
        let git = choice.apply(ToolsetName::Thinking, Some(Named(&["get_log", "think"]))).map_err(text)?;
        let none = choice.apply(ToolsetName::Filesystem, None::<Named>).map_err(text)?;
        choice.finish().map_err(text)?;
        let all = [time.definitions(), git.definitions(), none.definitions()].concat();
        Ok(all.iter().map(|tool| tool.name().to_owned()).collect())
    }

    #[test]
    fn single_tools_are_chosen_and_named() {
        for (settings, want) in [
            (settings(&[], &[], &[]), "get_time set_time get_log think"),
            (settings(&["think", "get_time"], &[], &[]), "get_time think"),
            (settings(&[], &["think"], &[]), "get_time set_time get_log"),
            (settings(&["think", "get_log"], &["think"], &[]), "get_log"),
            (settings(&[], &[], &["x-"]), "x-get_time x-set_time x-get_log x-think"),
            (settings(&[], &[], &["time=t_"]), "t_get_time t_set_time get_log think"),
            (settings(&["t_get_time"], &[], &["time=t_"]), "t_get_time"),
            (settings(&["get_time"], &[], &["time=t_", "x_"]), "x_t_get_time"),
            (Settings { read_only: true, ..settings(&[], &[], &[]) }, "get_time get_log"),
        ] {
            let offered = offered(&settings).expect("offered").join(" ");
            assert_eq!(offered, want, "{:?} {:?} {:?}", settings.only, settings.except, settings.prefix);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_remedy() {
        let long = "x".repeat(60);
        for (settings, want) in [
            (
                settings(&["get_tme"], &[], &[]),
                "only: no enabled toolset has a tool \"get_tme\"; did you mean \"get_time\"?",
            ),
            (
                settings(&[], &["zzz"], &[]),
                "except: no enabled toolset has a tool \"zzz\"; there are get_time, set_time",
            ),
            (settings(&[], &[], &["a b"]), "prefix \"a b\": write A-Z"),
            (settings(&[], &[], &["time="]), "prefix \"time=\": write A-Z"),
            (
                settings(&[], &[], &["tmie=x"]),
                "prefix: tools: there is no toolset \"tmie\"; did you mean \"time\"?",
            ),
            (settings(&[], &[], &[&long]), "prefix \"xxxx"),
        ] {
            let message = offered(&settings).expect_err(want);
            assert!(message.starts_with(want), "{message}");
        }
    }

    #[test]
    fn what_is_not_asked_for_holds_no_heap() {
        let settings = Settings::default();
        let mut choice = Choice::new(&settings).expect("a choice");
        let none = choice.apply(ToolsetName::Time, None::<Named>).expect("nothing");
        let all = choice.apply(ToolsetName::Time, Some(Named(&["a"]))).expect("all");
        assert_eq!((none.state_bytes(), all.state_bytes()), (0, 0));
    }
}
