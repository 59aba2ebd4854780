//! The settings in force: flags override the environment, which overrides the file, which overrides the defaults.
//!
//! Knows where each value came from, not what it means (`limits` and `setting` do). Invariant: the settings that it
//! gives were validated together.

mod environment;
mod position;
mod setting;
mod template;

pub(super) use environment::misspelt;
pub(crate) use setting::Settings;
pub(super) use setting::{Group, Setting, Shape};
pub(super) use template::write as write_template;

use super::nearest::did_you_mean;
use super::terminal;
use crate::limits::{LimitOption, Limits, LimitsError, Unit};
use crate::watched_file;
use environment::FILE_VARIABLE;
use position::{FilePosition, Part};
use setting::SettingConflict;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// No source set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A line of the configuration file, in messages.
    Line(FilePosition),
    /// An environment variable.
    Environment(String),
    /// The command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Line(position) => write!(f, "{position}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {} ({named_by}): {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Who asked for it.
        named_by: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that is no setting.
    #[error("{origin}: unknown key {key:?}{suggestion}")]
    UnknownKey {
        /// The file.
        origin: Origin,
        /// The key.
        key: String,
        /// A known key that is similar.
        suggestion: String,
    },
    /// A value of the wrong kind.
    #[error("{origin}: {name} must be {expected}")]
    Kind {
        /// The source of the value.
        origin: Origin,
        /// The setting.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A value that the setting refuses.
    #[error("{origin}: {source}")]
    Value {
        /// The source of the value.
        origin: Origin,
        /// Why it is refused.
        source: LimitsError,
    },
    /// Limits that contradict each other.
    #[error("{0} (`mcpool config` shows where each value comes from)")]
    Contradiction(LimitsError),
    /// Settings that do not go together.
    #[error("{0}")]
    Conflict(#[from] SettingConflict),
}

impl ConfigError {
    /// The same about an entry of a file, with its line and column.
    fn at(mut self, file: &ConfigFile, table: Option<&str>, key: &str) -> Self {
        let (origin, part) = match &mut self {
            Self::UnknownKey { origin, .. } => (origin, Part::Key),
            Self::Kind { origin, .. } | Self::Value { origin, .. } => (origin, Part::Value),
            _ => return self,
        };
        if let Some((line, column)) = position::find(&file.text, table, key, part) {
            *origin = Origin::Line(FilePosition { path: file.path.clone(), line, column });
        }
        self
    }
}

/// The settings in force, and where each comes from.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) limits: Limits,
    pub(super) settings: Settings,
    /// In the order of [`LimitOption::ALL`].
    limit_origins: Vec<Origin>,
    /// In the order of [`Setting::ALL`].
    setting_origins: Vec<Origin>,
    file: Option<PathBuf>,
}

/// The values of the command line, by the name of the setting.
pub(super) trait Flags {
    /// The text for a limit.
    fn limit(&self, option: &LimitOption) -> Option<String>;
    /// The texts for another setting.
    fn setting(&self, setting: &Setting) -> Option<Vec<OsString>>;
    /// The configuration file.
    fn config(&self) -> Option<PathBuf>;
}

impl Config {
    /// Resolves every setting. `variable` reads the environment.
    ///
    /// # Errors
    /// When a source cannot be read, a value is refused, or two settings contradict each other.
    pub(super) fn resolve(
        flags: &impl Flags,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let config = Self::collect(flags, variable)?;
        config.limits.validate().map_err(ConfigError::Contradiction)?;
        config.settings.validate()?;
        Ok(config)
    }

    /// Takes every setting from its strongest source, without validating them together.
    fn collect(flags: &impl Flags, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut config = Self {
            limits: Limits::default(),
            settings: Settings::default(),
            limit_origins: vec![Origin::Default; LimitOption::ALL.len()],
            setting_origins: vec![Origin::Default; Setting::ALL.len()],
            file: None,
        };
        if let Some(file) = ConfigFile::find(flags.config(), &variable)? {
            config.apply_file(&file)?;
            config.file = Some(file.path);
        }
        for (index, option) in LimitOption::ALL.iter().enumerate() {
            let name = option.environment();
            if let Some(value) = variable(&name) {
                config.set(index, &value.to_string_lossy(), Origin::Environment(name))?;
            }
            if let Some(text) = flags.limit(option) {
                config.set(index, &text, Origin::Flag(format!("--{}", option.flag())))?;
            }
        }
        for (index, setting) in Setting::ALL.iter().enumerate() {
            if let Some((name, value)) =
                setting.reference_variable().and_then(|name| variable(&name).map(|value| (name, value)))
            {
                let stored = setting.store_reference(&mut config.settings, value);
                config.note(index, stored, Origin::Environment(name))?;
            }
            let name = setting.environment();
            if let Some(value) = variable(&name) {
                let stored = setting.store_texts(&mut config.settings, &[value]);
                config.note(index, stored, Origin::Environment(name))?;
            }
            if let Some(texts) = flags.setting(setting) {
                let stored = setting.store_texts(&mut config.settings, &texts);
                config.note(index, stored, Origin::Flag(format!("--{}", setting.flag())))?;
            }
        }
        Ok(config)
    }

    fn apply_file(&mut self, file: &ConfigFile) -> Result<(), ConfigError> {
        for (key, value) in &file.table {
            let table = Setting::ALL.iter().filter_map(Setting::table).find(|table| table == key);
            match (table, value) {
                (Some(table), toml::Value::Table(entries)) => {
                    for (key, value) in entries {
                        self.apply_entry(file, Some(table), key, value)?;
                    }
                }
                _ => self.apply_entry(file, None, key, value)?,
            }
        }
        Ok(())
    }

    /// Takes one value of the file, from a table or from above all tables.
    fn apply_entry(
        &mut self,
        file: &ConfigFile,
        table: Option<&str>,
        key: &str,
        value: &toml::Value,
    ) -> Result<(), ConfigError> {
        let stored = self.store_entry(file, table, key, value);
        stored.map_err(|error| error.at(file, table, key))
    }

    fn store_entry(
        &mut self,
        file: &ConfigFile,
        table: Option<&str>,
        key: &str,
        value: &toml::Value,
    ) -> Result<(), ConfigError> {
        let origin = Origin::File(file.path.clone());
        let is_meant = |setting: &Setting| setting.name == key && setting.table() == table;
        if let Some(index) = Setting::ALL.iter().position(is_meant) {
            let stored = Setting::ALL[index].store_toml(&mut self.settings, value);
            return self.note(index, stored, origin);
        }
        let limits = if table.is_none() { LimitOption::ALL } else { &[] };
        let Some(index) = limits.iter().position(|option| option.name == key) else {
            return Err(unknown_key(file, table, key));
        };
        let text = match value {
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::String(text) => text.clone(),
            _ => {
                let option = &LimitOption::ALL[index];
                let expected = match option.unit {
                    Unit::Bytes => "a size such as \"10MiB\", or a number of bytes",
                    Unit::Count => "a whole number",
                    Unit::Millis => "a whole number of milliseconds",
                    Unit::Percent => "a whole number of percent",
                    Unit::Switch => "0 or 1",
                };
                return Err(ConfigError::Kind { origin, name: option.name, expected });
            }
        };
        self.set(index, &text, origin)
    }

    fn set(&mut self, index: usize, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let option = &LimitOption::ALL[index];
        match option.parse(text).and_then(|value| option.store(&mut self.limits, value)) {
            Ok(()) => {
                self.limit_origins[index] = origin;
                Ok(())
            }
            Err(source) => Err(ConfigError::Value { origin, source }),
        }
    }

    fn note(&mut self, index: usize, stored: Option<()>, origin: Origin) -> Result<(), ConfigError> {
        if stored.is_none() {
            let setting = &Setting::ALL[index];
            return Err(ConfigError::Kind { origin, name: setting.name, expected: setting.expected() });
        }
        self.setting_origins[index] = origin;
        Ok(())
    }

    /// Writes the settings as a configuration file of the same meaning, each with its origin. What may be a secret is a
    /// comment.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "# Settings in force. Flags override the environment, the file and the defaults.")?;
        match &self.file {
            Some(path) => writeln!(out, "# File: {}", path.display())?,
            None => writeln!(out, "# File: none")?,
        }
        for (option, origin) in LimitOption::ALL.iter().zip(&self.limit_origins) {
            let value = option.load(&self.limits);
            let text = option.unit.to_toml(value);
            let line = format!("{} = {text}", option.name);
            // A value that is derived from other settings is written as a comment, so that it stays derived.
            match (option.default, origin) {
                (None, Origin::Default) => {
                    write_remark(out, &format!("# {line}"), &format!("derived: {}", option.origin))?;
                }
                _ => writeln!(out, "{line:<REMARK$} # {origin}")?,
            }
        }
        // What stands after the header of a table belongs to it.
        let mut settings: Vec<_> = Setting::ALL.iter().zip(&self.setting_origins).collect();
        settings.sort_by_key(|(setting, _)| setting.table());
        let mut table = None;
        for (setting, origin) in settings {
            if setting.table() != table {
                table = setting.table();
                writeln!(out, "\n[{}]", table.unwrap_or_default())?;
            }
            if let Some(text) = setting.show_in_part(&self.settings) {
                let why = format!("{origin}; the rest may be a secret");
                write_remark(out, &format!("# {} = {text}", setting.name), &why)?;
                continue;
            }
            if let Some(text) = setting.show(&self.settings) {
                let line = format!("{} = {text}", setting.name);
                writeln!(out, "{line:<REMARK$} # {origin}")?;
            } else {
                let why = format!("{origin}: {}", setting.unset);
                write_remark(out, &format!("# {}", setting.name), &why)?;
            }
        }
        Ok(())
    }
}

/// Columns of the settings in force.
const WIDTH: usize = 80;
/// Where the remark about a setting begins, and the least that it has.
const REMARK: usize = 40;
const MIN_REMARK: usize = 24;

/// A setting, and a remark about it, which goes on below itself.
fn write_remark(out: &mut impl Write, setting: &str, remark: &str) -> io::Result<()> {
    let setting = format!("{setting:<REMARK$}");
    let room = WIDTH.saturating_sub(terminal::columns(&setting) + " # ".len()).max(MIN_REMARK);
    for (at, line) in terminal::wrap(remark, room).iter().enumerate() {
        writeln!(out, "{} # {line}", if at == 0 { setting.clone() } else { " ".repeat(REMARK) })?;
    }
    Ok(())
}

/// The error for a key that is no setting of that table, with the key or the table that may have been meant.
fn unknown_key(file: &ConfigFile, table: Option<&str>, key: &str) -> ConfigError {
    let settings = || Setting::ALL.iter();
    let limit = LimitOption::ALL.iter().any(|option| option.name == key).then_some(None);
    let known = settings().find(|setting| setting.name == key).map(Setting::table);
    let suggestion = match known.or(limit.filter(|_| table.is_some())) {
        Some(Some(table)) => format!("; it stands in the table [{table}]"),
        Some(None) => "; it stands above all tables".to_owned(),
        None => {
            let limits = LimitOption::ALL.iter().filter(|_| table.is_none()).map(|option| option.name);
            let settings = settings().filter(|setting| setting.table() == table).map(|setting| setting.name);
            let tables = Setting::ALL.iter().filter(|_| table.is_none()).filter_map(Setting::table);
            did_you_mean(key, limits.chain(settings).chain(tables))
        }
    };
    let key = table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}"));
    ConfigError::UnknownKey { origin: Origin::File(file.path.clone()), key, suggestion }
}

/// The file that settings are read from where none is named, whether it is there or not.
fn usual_file(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| Path::new(&home).join(".config"));
    // The XDG specification says to ignore relative paths.
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    Some(folder.or_else(home)?.join("mcpool").join("mcpool.toml"))
}

/// The file that a new configuration is written to: the one that the flag or the environment names, or the usual one.
pub(super) fn new_file(
    flag: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    flag.or_else(|| variable(FILE_VARIABLE).map(PathBuf::from)).or_else(|| usual_file(&variable))
}

/// A configuration file that was found and parsed.
struct ConfigFile {
    path: PathBuf,
    text: String,
    table: toml::Table,
}

impl ConfigFile {
    /// Finds the file that the flag names, or the environment, or the one at the default location if it exists.
    fn find(
        flag: Option<PathBuf>,
        variable: &impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, ConfigError> {
        if let Some(path) = flag {
            return Self::read(path, "named by --config").map(Some);
        }
        if let Some(path) = variable(FILE_VARIABLE) {
            return Self::read(path.into(), "named by MCPOOL_CONFIG").map(Some);
        }
        let Some(path) = usual_file(variable) else { return Ok(None) };
        match Self::read(path, "the default location") {
            Err(ConfigError::Unreadable { source, .. })
                if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            // The file was not named: a server of another user or in a sandbox may not be allowed to read it.
            Err(error @ ConfigError::Unreadable { .. }) => {
                tracing::warn!("{error}; the server starts without it");
                Ok(None)
            }
            found => found.map(Some),
        }
    }

    fn read(path: PathBuf, named_by: &'static str) -> Result<Self, ConfigError> {
        match watched_file::read_text(&path, watched_file::MAX_BYTES) {
            Ok(text) => match text.parse() {
                Ok(table) => Ok(Self { path, text, table }),
                Err(source) => Err(ConfigError::Syntax { path, source: Box::new(source) }),
            },
            Err(source) => Err(ConfigError::Unreadable { path, named_by, source }),
        }
    }
}

#[cfg(test)]
mod tests;
