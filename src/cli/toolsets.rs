//! Which toolsets are served: their names, which of them this build has, and which take directories.

use super::nearest::did_you_mean;

/// A family of tools that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToolsetName {
    Filesystem,
    Git,
    Fetch,
    Memory,
    Time,
    Thinking,
    Everything,
}

/// One toolset, as people name it.
struct Listed {
    id: ToolsetName,
    /// Its name in settings, which is that of its cargo feature.
    name: &'static str,
    is_in_build: bool,
    /// Whether it works in the directories of the command line.
    takes_directories: bool,
}

/// Writes the table: a cargo feature can only be asked for by a literal.
macro_rules! toolsets {
    ($($id:ident $name:literal, takes_directories: $takes:literal;)+) => {
        /// Every toolset, in the order in which lists show their tools.
        const TOOLSETS: &[Listed] = &[
            $(Listed {
                id: ToolsetName::$id,
                name: $name,
                is_in_build: cfg!(feature = $name),
                takes_directories: $takes,
            },)+
        ];
    };
}

toolsets! {
    Filesystem "filesystem", takes_directories: true;
    Git "git", takes_directories: true;
    Fetch "fetch", takes_directories: false;
    Memory "memory", takes_directories: false;
    Time "time", takes_directories: false;
    Thinking "thinking", takes_directories: false;
    Everything "everything", takes_directories: false;
}

/// Stands for all toolsets but the one that only exercises clients.
const ALL: &str = "all";

/// Why the toolsets cannot be served as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ToolsetError {
    /// No toolset has that name.
    #[error("tools: there is no toolset {name:?}{suggestion}; there are {}, and all (all of them but everything)", names().join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// A name that is similar.
        suggestion: String,
    },
    /// The program was built without it.
    #[error("tools: {name} is not in this build: feature {name}; there are {}", names().join(", "))]
    NotInBuild {
        /// The toolset and its feature.
        name: &'static str,
    },
    /// Directories were given that no toolset works in.
    #[error(
        "{directories} are directories for the filesystem tools, which are not enabled: write --tools filesystem,{enabled}, or leave the directories out"
    )]
    Directories {
        /// The directories.
        directories: String,
        /// The toolsets that are enabled.
        enabled: String,
    },
}

/// The names of the toolsets of this build.
pub(super) fn names() -> Vec<&'static str> {
    TOOLSETS.iter().filter(|toolset| toolset.is_in_build).map(|toolset| toolset.name).collect()
}

impl ToolsetName {
    /// As people name it.
    pub(super) fn name(self) -> &'static str {
        TOOLSETS[self as usize].name
    }

    /// The toolset of that name, if this build has it.
    ///
    /// # Errors
    /// When there is none, or not in this build.
    pub(super) fn parse(name: &str) -> Result<Self, ToolsetError> {
        match TOOLSETS.iter().find(|toolset| toolset.name == name) {
            Some(Listed { id, is_in_build: true, .. }) => Ok(*id),
            Some(Listed { name, .. }) => Err(ToolsetError::NotInBuild { name }),
            None => {
                let suggestion = did_you_mean(name, names().into_iter().chain([ALL]));
                Err(ToolsetError::Unknown { name: name.to_owned(), suggestion })
            }
        }
    }
}

/// The toolsets that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Enabled([bool; TOOLSETS.len()]);

impl Enabled {
    /// The toolsets of those names; without any, the filesystem tools.
    ///
    /// # Errors
    /// When one is not there, or not in this build.
    pub(super) fn parse(names: &[String]) -> Result<Self, ToolsetError> {
        let mut enabled = [false; TOOLSETS.len()];
        for name in names {
            if name == ALL {
                for (is_on, toolset) in enabled.iter_mut().zip(TOOLSETS) {
                    *is_on |= toolset.is_in_build && toolset.id != ToolsetName::Everything;
                }
            } else {
                enabled[ToolsetName::parse(name)? as usize] = true;
            }
        }
        if names.is_empty() {
            enabled[ToolsetName::Filesystem as usize] = true;
        }
        Ok(Self(enabled))
    }

    /// `make`s the toolset if it is served.
    pub(super) fn then<T>(self, toolset: ToolsetName, make: impl FnOnce() -> T) -> Option<T> {
        self.0[toolset as usize].then(make)
    }

    /// Their names.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        self.listed().map(|toolset| toolset.name)
    }

    /// Whether a toolset works in the directories of the command line.
    pub(super) fn takes_directories(self) -> bool {
        self.listed().any(|toolset| toolset.takes_directories)
    }

    /// Refuses directories that no toolset works in.
    ///
    /// # Errors
    /// When there are some.
    pub(super) fn check_directories(self, directories: &[std::path::PathBuf]) -> Result<(), ToolsetError> {
        if directories.is_empty() || self.takes_directories() {
            return Ok(());
        }
        let shown: Vec<_> = directories.iter().map(|path| path.display().to_string()).collect();
        let enabled: Vec<_> = self.listed().map(|toolset| toolset.name).collect();
        Err(ToolsetError::Directories { directories: shown.join(", "), enabled: enabled.join(",") })
    }

    fn listed(self) -> impl Iterator<Item = &'static Listed> {
        TOOLSETS.iter().zip(self.0).filter(|(_, is_on)| *is_on).map(|(toolset, _)| toolset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(names: &[&str]) -> Result<Vec<&'static str>, ToolsetError> {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        Enabled::parse(&names).map(|enabled| enabled.listed().map(|toolset| toolset.name).collect())
    }

    #[test]
    fn the_table_is_in_the_order_of_the_names() {
        for (index, toolset) in TOOLSETS.iter().enumerate() {
            assert_eq!(toolset.id as usize, index, "{}", toolset.name);
        }
    }

    #[test]
    fn toolsets_are_enabled_by_name_and_all_leaves_the_exerciser_out() {
        assert_eq!(enabled(&[]), Ok(vec!["filesystem"]));
        assert_eq!(enabled(&["time"]), Ok(vec!["time"]));
        assert_eq!(enabled(&["time", "filesystem", "time"]), Ok(vec!["filesystem", "time"]));
        let all = enabled(&["all"]).expect("all");
        let want: Vec<_> = names().into_iter().filter(|name| *name != "everything").collect();
        assert_eq!(all, want);
        assert!(all.len() > 1, "{all:?}");
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_those_that_are() {
        let message = enabled(&["tiem"]).expect_err("refused").to_string();
        assert!(
            message.starts_with(
                "tools: there is no toolset \"tiem\"; did you mean \"time\"?; there are filesystem, "
            ),
            "{message}"
        );
        let message = ToolsetError::NotInBuild { name: "git" }.to_string();
        assert!(
            message.starts_with("tools: git is not in this build: feature git; there are filesystem, "),
            "{message}"
        );
    }

    #[test]
    fn directories_are_refused_where_nothing_works_in_them() {
        let parse = |name: &str| Enabled::parse(&[name.to_owned()]).expect("enabled");
        let directories = ["/a".into(), "/b".into()];
        assert_eq!(parse("filesystem").check_directories(&directories), Ok(()));
        assert_eq!(parse("time").check_directories(&[]), Ok(()));
        let message = parse("time").check_directories(&directories).expect_err("refused").to_string();
        assert_eq!(
            message,
            "/a, /b are directories for the filesystem tools, which are not enabled: write --tools \
             filesystem,time, or leave the directories out"
        );
    }
}
