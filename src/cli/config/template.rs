//! A configuration file to begin with: every setting, what it is for, its default, all of it in comments.

use super::setting::{Group, Setting, Settings};
use crate::cli::missing;
use crate::cli::terminal::wrap;
use crate::limits::{LimitOption, Limits, Unit};
use std::fmt::{self, Write};

/// Columns of the longest line, unless a single word is longer.
const WIDTH: usize = 80;

/// Writes the file. Where it is read, nothing is other than without it.
pub(in crate::cli) fn write(out: &mut impl Write) -> fmt::Result {
    comment(
        out,
        "Settings of mcpool. A line takes effect without the mark before it; `mcpool config` shows what is in force and \
         where each value comes from. Flags override the environment (MCPOOL_MAX_BATCH=10), which overrides this file. \
         Sizes are written \"10MiB\", \"64KiB\" or as plain bytes.",
    )?;
    let mut groups: Vec<&str> = Vec::new();
    for option in LimitOption::ALL {
        if !groups.contains(&option.group) {
            groups.push(option.group);
        }
    }
    // What stands behind the header of a table belongs to it.
    for group in [Group::Tools, Group::Listening, Group::Watching, Group::Admission] {
        heading(out, group.heading())?;
        for setting in Setting::ALL.iter().filter(|setting| setting.group == group) {
            entry(out, setting)?;
        }
    }
    for group in groups {
        heading(out, group)?;
        for option in LimitOption::ALL.iter().filter(|option| option.group == group) {
            limit(out, option)?;
        }
    }
    let mut table = None;
    let mut settings: Vec<_> = Setting::ALL.iter().filter(|setting| setting.table().is_some()).collect();
    settings.sort_by_key(|setting| setting.table());
    for setting in settings {
        if setting.table() != table {
            table = setting.table();
            heading(out, &format!("Toolset {}", table.unwrap_or_default()))?;
            writeln!(out, "\n[{}]", table.unwrap_or_default())?;
        }
        entry(out, setting)?;
    }
    Ok(())
}

fn heading(out: &mut impl Write, text: &str) -> fmt::Result {
    writeln!(out, "\n\n## {text}")
}

fn entry(out: &mut impl Write, setting: &Setting) -> fmt::Result {
    writeln!(out)?;
    comment(out, setting.help)?;
    if !setting.unset.is_empty() {
        comment(out, &format!("Without it: {}.", setting.unset))?;
    }
    if let Some(remark) = missing::remark(setting.name) {
        comment(out, &remark)?;
    }
    let value = setting.show(&Settings::default()).unwrap_or_else(|| setting.example());
    writeln!(out, "#{} = {value}", setting.name)
}

fn limit(out: &mut impl Write, option: &LimitOption) -> fmt::Result {
    writeln!(out)?;
    comment(out, option.help)?;
    let (min, max) = (option.unit.show(option.min), option.unit.show(option.max));
    let value = option.load(&Limits::default());
    let why = match option.default {
        Some(default) => format!("Why {}: {}.", option.unit.show(default), option.origin),
        None => format!("Derived: {}.", option.origin),
    };
    let range = if option.unit == Unit::Switch { String::new() } else { format!("From {min} to {max}. ") };
    comment(out, &format!("{range}{why}"))?;
    writeln!(out, "#{} = {}", option.name, option.unit.to_toml(value))
}

/// Writes a text in lines of [`WIDTH`] columns.
fn comment(out: &mut impl Write, text: &str) -> fmt::Result {
    wrap(text, WIDTH - "# ".len()).iter().try_for_each(|line| writeln!(out, "# {line}"))
}
