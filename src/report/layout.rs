//! Formats sections of figures: as columns of plain text, and as Markdown tables.
//!
//! Knows nothing of memory; escapes names from outside. Invariants: no plain line is wider than asked for; no name adds
//! a line, a cell, a link or markup, or steers a terminal.

use crate::visible;
use std::io::{self, Write};
use unicode_width::UnicodeWidthChar;

/// Longest name that is shown, in characters.
const MAX_NAME_CHARS: usize = 120;
/// Least width of the first column, as long as other columns can be dropped.
const MIN_NAME_WIDTH: usize = 16;
/// Blanks before the rows and notes of a section.
const INDENT: usize = 2;

/// A headline, and sections below it.
pub(super) struct Page {
    pub(super) headline: Sentence,
    pub(super) sections: Vec<Section>,
}

/// A title, a table and remarks; the table and the remarks may be missing.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) columns: Vec<Column>,
    /// As many cells each as there are columns.
    pub(super) rows: Vec<Vec<Cell>>,
    pub(super) notes: Vec<Sentence>,
}

/// Text and names in their order.
pub(super) type Sentence = Vec<Cell>;

/// A piece of text, ours or another's; both are made harmless.
pub(super) enum Cell {
    /// Words, figures.
    Text(String),
    /// A name, which may come from outside.
    Name(String),
}

/// The alignment of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// One column.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) align: Align,
    /// Columns with the highest rank are dropped first where there is no room; those of rank 0 stay.
    pub(super) rank: u8,
    /// Left out of Markdown: the column is decoration.
    pub(super) is_plain_only: bool,
}

impl Column {
    /// The first column: words, cut where there is no room.
    pub(super) fn name(title: &'static str) -> Self {
        Self { title, align: Align::Left, rank: 0, is_plain_only: false }
    }

    pub(super) fn figure(title: &'static str, rank: u8) -> Self {
        Self { title, align: Align::Right, rank, is_plain_only: false }
    }
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn name(name: &str) -> Self {
        Self::Name(name.to_owned())
    }

    /// On one line, without what could do harm there.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Text(text) => visible::line(text),
            Self::Name(name) if name.is_empty() => "-".to_owned(),
            Self::Name(name) => cut(&visible::line(name), MAX_NAME_CHARS),
        }
    }

    fn markdown(&self) -> String {
        let plain = self.plain();
        match self {
            Self::Text(_) => escape_words(&plain),
            // A code span holds anything but the end of itself and of its cell.
            Self::Name(_) if !plain.contains(['`', '|', '\\']) => format!("`{plain}`"),
            Self::Name(_) => escape_all(&plain),
        }
    }
}

impl Section {
    /// `None` for a section without rows and notes.
    pub(super) fn unless_empty(self) -> Option<Self> {
        (!self.rows.is_empty() || !self.notes.is_empty()).then_some(self)
    }

    fn write_plain(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        for line in wrap(&visible::line(&self.title), width, 0) {
            writeln!(out, "{line}")?;
        }
        if !self.rows.is_empty() {
            self.write_plain_table(width, out)?;
        }
        for note in &self.notes {
            for line in wrap(&note.iter().map(Cell::plain).collect::<String>(), width, INDENT) {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }

    fn write_plain_table(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        let titles = self.columns.iter().map(|column| column.title.to_owned()).collect();
        let mut lines: Vec<Vec<String>> = vec![titles];
        lines.extend(self.rows.iter().map(|row| row.iter().map(Cell::plain).collect()));
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|at| lines.iter().map(|line| columns(&line[at])).max().unwrap_or_default())
            .collect();
        let fit = Fit::find(&self.columns, &widths, width);
        widths[0] = fit.name_width;
        for line in &lines {
            let mut shown = " ".repeat(INDENT);
            for (place, &at) in fit.shown.iter().enumerate() {
                if place > 0 {
                    shown.push_str(&" ".repeat(fit.gap));
                }
                let text = cut(&line[at], widths[at]);
                let fill = " ".repeat(widths[at] - columns(&text));
                let (before, after) = match self.columns[at].align {
                    Align::Left => ("", fill.as_str()),
                    Align::Right => (fill.as_str(), ""),
                };
                shown.extend([before, &text, after]);
            }
            writeln!(out, "{}", cut(shown.trim_end(), width))?;
        }
        Ok(())
    }

    fn write_markdown(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\n## {}", escape_words(&visible::line(&self.title)))?;
        if !self.rows.is_empty() {
            let shown: Vec<_> =
                (0..self.columns.len()).filter(|at| !self.columns[*at].is_plain_only).collect();
            let titles: Vec<_> = shown.iter().map(|at| self.columns[*at].title).collect();
            let rule = shown.iter().map(|at| match self.columns[*at].align {
                Align::Left => "---",
                Align::Right => "---:",
            });
            writeln!(out, "\n| {} |\n| {} |", titles.join(" | "), rule.collect::<Vec<_>>().join(" | "))?;
            for row in &self.rows {
                let cells: Vec<_> = shown.iter().map(|at| row[*at].markdown()).collect();
                writeln!(out, "| {} |", cells.join(" | "))?;
            }
        }
        if !self.notes.is_empty() {
            writeln!(out)?;
        }
        for note in &self.notes {
            writeln!(out, "- {}", note.iter().map(Cell::markdown).collect::<String>())?;
        }
        Ok(())
    }
}

impl Page {
    /// Writes lines of at most `width` columns.
    pub(super) fn write_plain(&self, width: usize, out: &mut impl Write) -> io::Result<()> {
        for line in wrap(&self.headline.iter().map(Cell::plain).collect::<String>(), width, 0) {
            writeln!(out, "{line}")?;
        }
        for section in &self.sections {
            writeln!(out)?;
            section.write_plain(width, out)?;
        }
        Ok(())
    }

    /// Writes a document of its own.
    pub(super) fn write_markdown(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "# Memory report\n")?;
        writeln!(out, "{}", self.headline.iter().map(Cell::markdown).collect::<String>())?;
        self.sections.iter().try_for_each(|section| section.write_markdown(out))
    }
}

/// The columns that have room.
struct Fit {
    shown: Vec<usize>,
    gap: usize,
    name_width: usize,
}

impl Fit {
    /// Narrows the gaps first, then the names, and then drops columns.
    fn find(all: &[Column], widths: &[usize], width: usize) -> Self {
        let mut shown: Vec<usize> = (0..all.len()).collect();
        loop {
            let figures: usize = shown[1..].iter().map(|at| widths[*at]).sum();
            let room = |gap: usize| width.saturating_sub(INDENT + figures + gap * (shown.len() - 1));
            let gap = if room(2) >= widths[0] { 2 } else { 1 };
            let name_width = widths[0].min(room(gap));
            let rank = shown.iter().map(|at| all[*at].rank).max().unwrap_or_default();
            if name_width >= widths[0].min(MIN_NAME_WIDTH) || rank == 0 {
                return Self { shown, gap, name_width };
            }
            shown.retain(|at| all[*at].rank < rank);
        }
    }
}

/// The most columns that a terminal needs for `text`. A terminal that combines characters needs fewer.
fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

fn char_columns(char: char) -> usize {
    char.width().unwrap_or_default()
}

/// The beginning of `text` that fits into `width` columns, with dots in place of the rest.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let dots = "..".len().min(width);
    let mut room = width - dots;
    let kept: String = text
        .chars()
        .take_while(|char| {
            let fits = char_columns(*char) <= room;
            room = room.saturating_sub(char_columns(*char));
            fits
        })
        .collect();
    kept + &".".repeat(dots)
}

/// The words of `text` in lines of at most `width` columns, each after `indent` blanks, later ones after two more.
pub(super) fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = " ".repeat(indent);
    let mut is_fresh = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !is_fresh && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(if indent == 0 { 0 } else { indent + 2 })));
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(word);
        is_fresh = false;
    }
    lines.push(line);
    lines.iter().map(|line| cut(line, width)).collect()
}

/// Our words, and reasons that may quote others: what Markdown would read as markup or link becomes an entity.
fn escape_words(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let after = chars.peek().copied().unwrap_or(' ');
        let is_markup = match char {
            '&' | '<' | '|' | '\\' | '`' | '*' | '[' | ']' | '~' | '@' | '$' => true,
            // Inside of a word it is a letter.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            // `http://` and `www.` become links by themselves.
            ':' => after == '/',
            '.' => before.eq_ignore_ascii_case(&'w'),
            _ => false,
        };
        push_escaped(&mut escaped, char, is_markup);
        before = char;
    }
    escaped
}

/// Every sign as an entity: for names that fit into no code span.
fn escape_all(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        push_escaped(&mut escaped, char, char.is_ascii_punctuation());
    }
    escaped
}

fn push_escaped(escaped: &mut String, char: char, is_markup: bool) {
    if is_markup {
        escaped.extend(["&#", &u32::from(char).to_string(), ";"]);
    } else {
        escaped.push(char);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so_and_is_never_too_wide() {
        for (text, width, want) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "a.."),
            ("abcd", 1, "."),
            ("abcd", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日.."),
        ] {
            assert_eq!(cut(text, width), want, "{text} {width}");
        }
    }

    #[test]
    fn sentences_break_between_words() {
        assert_eq!(wrap("one two three", 9, 0), ["one two", "three"]);
        assert_eq!(wrap("one two three", 9, 2), ["  one two", "    three"]);
        assert_eq!(wrap("abcdefghijkl", 8, 0), ["abcdef.."]);
        assert_eq!(wrap("", 8, 0), [""]);
    }
}
