//! Indents new lines where the lines that they replace were given with other blanks than the file has.
//!
//! A block is indented as a whole: one rule that fits all pairs of old lines (as given, as found) is applied to each
//! new line. Where no rule fits, nothing is guessed.

use super::line_match::{indentation, trim};

/// Spaces that may stand for one level, as in editors.
const UNITS: std::ops::RangeInclusive<usize> = 2..=8;

/// Lines and bytes on each side of a block that show how its file is indented.
const LINES_AROUND: usize = 256;
const BYTES_AROUND: usize = 16 * 1024;

/// A character for indentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Space,
    Tab,
}

/// An indentation of one kind of character, or an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Indent {
    kind: Option<Kind>,
    width: usize,
}

impl Indent {
    /// `None` where several characters are mixed.
    fn of(blanks: &str) -> Option<Self> {
        let kind = match blanks.bytes().next() {
            None => return Some(Self { kind: None, width: 0 }),
            Some(b' ') => Kind::Space,
            Some(b'\t') => Kind::Tab,
            Some(_) => return None,
        };
        let first = blanks.as_bytes()[0];
        blanks.bytes().all(|byte| byte == first).then_some(Self { kind: Some(kind), width: blanks.len() })
    }
}

/// Indents `new` to replace `found`, which equals `old` except for blanks; `None` if no rule fits. `before` and
/// `behind` are the text around it.
pub(crate) fn shifted(old: &str, found: &str, new: &str, before: &str, behind: &str) -> Option<String> {
    let all: Vec<(&str, &str)> = old.split('\n').zip(found.split('\n')).collect();
    let pairs: Vec<(&str, &str)> = all
        .iter()
        .filter(|(old, _)| !trim(old).is_empty())
        .map(|(old, found)| (indentation(old), indentation(found)))
        .collect();
    if pairs.iter().all(|(old, found)| old == found) {
        return Some(new.to_owned());
    }
    let lines: Vec<&str> = new.split('\n').collect();
    let around = Around { before, behind };
    let blanks = shift_all(&pairs, &lines, &around)
        .or_else(|| shift_all_but_first(&pairs, &lines, &around))
        .or_else(|| line_by_line(&all, &lines))?;
    let mut out = String::with_capacity(new.len() + new.len() / 4);
    for (at, (line, blanks)) in lines.iter().zip(blanks).enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if !trim(line).is_empty() {
            out.push_str(&blanks);
            out.push_str(&line[indentation(line).len()..]);
        }
    }
    Some(out)
}

/// One rule for all lines.
fn shift_all(pairs: &[(&str, &str)], lines: &[&str], around: &Around<'_>) -> Option<Vec<String>> {
    let wanted: Vec<&str> =
        lines.iter().map(|line| if trim(line).is_empty() { "" } else { indentation(line) }).collect();
    let columns: Option<Vec<(Indent, Indent)>> =
        pairs.iter().map(|(old, found)| Some((Indent::of(old)?, Indent::of(found)?))).collect();
    let new: Option<Vec<Indent>> = wanted.iter().map(|blanks| Indent::of(blanks)).collect();
    if let (Some(columns), Some(new)) = (columns, new) {
        let is_blank: Vec<bool> = lines.iter().map(|line| trim(line).is_empty()).collect();
        return by_columns(&columns, &new, &is_blank, around);
    }
    by_prefix(pairs, &wanted, lines)
}

/// The first line is often copied without its indentation: it keeps that of the file, and the rule comes from the
/// others.
fn shift_all_but_first(pairs: &[(&str, &str)], lines: &[&str], around: &Around<'_>) -> Option<Vec<String>> {
    let ((old, found), others) = pairs.split_first()?;
    let (first, lines) = lines.split_first()?;
    if !old.is_empty() || others.is_empty() || trim(first).is_empty() || !indentation(first).is_empty() {
        return None;
    }
    let mut blanks = shift_all(others, lines, around)?;
    blanks.insert(0, (*found).to_owned());
    Some(blanks)
}

/// As many lines as before, each indented as the one that it replaces was given: it gets the indentation of that one.
fn line_by_line(pairs: &[(&str, &str)], lines: &[&str]) -> Option<Vec<String>> {
    if pairs.len() != lines.len() {
        return None;
    }
    let each = pairs.iter().zip(lines).map(|((old, found), new)| {
        // A single line that replaces a single one may have no indentation at all.
        let is_bare = lines.len() == 1 && indentation(new).is_empty();
        let is_alike = (is_bare || indentation(old) == indentation(new)) && !trim(old).is_empty();
        (is_alike || trim(new).is_empty()).then(|| indentation(found).to_owned())
    });
    each.collect()
}

/// A rule for indentations of one kind of character: a linear function through all pairs of widths.
fn by_columns(
    pairs: &[(Indent, Indent)],
    new: &[Indent],
    is_blank: &[bool],
    around: &Around<'_>,
) -> Option<Vec<String>> {
    let written = one_kind(pairs.iter().map(|pair| pair.0).chain(new.iter().copied())).ok()?;
    let found = one_kind(pairs.iter().map(|pair| pair.1)).ok()?;
    let kind = found.or_else(|| around.kind()).or(written).unwrap_or(Kind::Space);
    let base = pairs.first()?;
    let base = (base.0.width.cast_signed(), base.1.width.cast_signed());
    let deltas = pairs
        .iter()
        .map(|(old, found)| (old.width.cast_signed() - base.0, found.width.cast_signed() - base.1));
    let deltas: Vec<(isize, isize)> = deltas.collect();
    let wanted = || {
        let visible = new.iter().zip(is_blank).filter(|(_, is_blank)| !**is_blank);
        visible.map(|(indent, _)| indent.width.cast_signed() - base.0)
    };
    let (rise, run) = match deltas.iter().find(|delta| delta.0 != 0) {
        Some((run, rise)) => (*rise, *run),
        None if written.is_none() || written == Some(kind) || wanted().all(|delta| delta == 0) => (1, 1),
        None => unit_slope(base, wanted(), written, around)?,
    };
    let is_rising = rise.signum() == run.signum();
    if !is_rising || !deltas.iter().all(|delta| delta.1 * run == delta.0 * rise) {
        return None;
    }
    let place = |indent: &Indent| {
        let delta = (indent.width.cast_signed() - base.0) * rise;
        let width = (delta % run == 0).then(|| base.1 + delta / run)?;
        let character = if kind == Kind::Tab { "\t" } else { " " };
        Some(character.repeat(usize::try_from(width).ok()?))
    };
    let each = new.iter().zip(is_blank);
    each.map(|(indent, is_blank)| if *is_blank { Some(String::new()) } else { place(indent) }).collect()
}

/// The ratio of spaces on one side to tabs on the other, where all old lines have the same depth.
fn unit_slope(
    (old, found): (isize, isize),
    wanted: impl Iterator<Item = isize>,
    written: Option<Kind>,
    around: &Around<'_>,
) -> Option<(isize, isize)> {
    let is_unit = |unit: isize| usize::try_from(unit).is_ok_and(|unit| UNITS.contains(&unit));
    let ratio = |spaces: isize, tabs: isize| {
        (tabs > 0 && spaces % tabs == 0).then(|| spaces / tabs).filter(|unit| is_unit(*unit))
    };
    if written == Some(Kind::Space) {
        let step = || wanted.map(isize::abs).filter(|delta| *delta > 0).min().filter(|unit| is_unit(*unit));
        return ratio(old, found).or_else(step).map(|unit| (1, unit));
    }
    ratio(found, old).or_else(|| around.unit()).map(|unit| (unit, 1))
}

/// The kind of all indentations that are not empty; `Err` if there are two kinds.
fn one_kind(indents: impl Iterator<Item = Indent>) -> Result<Option<Kind>, ()> {
    let mut kinds = indents.filter_map(|indent| indent.kind);
    let Some(first) = kinds.next() else { return Ok(None) };
    if kinds.all(|kind| kind == first) { Ok(Some(first)) } else { Err(()) }
}

/// A rule for mixed indentations: the common beginning of the given lines is exchanged for that of the found lines.
fn by_prefix(pairs: &[(&str, &str)], wanted: &[&str], lines: &[&str]) -> Option<Vec<String>> {
    let written = common_prefix(pairs.iter().map(|pair| pair.0));
    let found = common_prefix(pairs.iter().map(|pair| pair.1));
    if !pairs.iter().all(|pair| pair.0[written.len()..] == pair.1[found.len()..]) {
        return None;
    }
    let is_known = |rest: &str| pairs.iter().any(|pair| &pair.1[found.len()..] == rest);
    let each = wanted.iter().zip(lines).map(|(blanks, line)| {
        if trim(line).is_empty() {
            return Some(String::new());
        }
        if let Some(rest) = blanks.strip_prefix(written) {
            let moved = format!("{found}{rest}");
            return (is_known(rest) || Indent::of(&moved).is_some()).then_some(moved);
        }
        // A line that is indented less loses the same part in the file.
        let missing = written.strip_prefix(blanks)?;
        found.strip_suffix(missing).map(str::to_owned)
    });
    each.collect()
}

fn common_prefix<'t>(texts: impl Iterator<Item = &'t str>) -> &'t str {
    texts
        .reduce(|common, text| {
            let same = common.char_indices().zip(text.chars()).take_while(|((_, a), b)| a == b);
            let end = same.last().map_or(0, |((at, character), _)| at + character.len_utf8());
            &common[..end]
        })
        .unwrap_or_default()
}

/// The text around a block, which shows how its file is indented.
struct Around<'t> {
    before: &'t str,
    behind: &'t str,
}

impl Around<'_> {
    fn indents(&self) -> impl Iterator<Item = Indent> {
        let from = self.before.ceil_char_boundary(self.before.len().saturating_sub(BYTES_AROUND));
        let to = self.behind.floor_char_boundary(BYTES_AROUND);
        let before = self.before[from..].rsplit('\n').take(LINES_AROUND);
        let behind = self.behind[..to].split('\n').take(LINES_AROUND);
        let visible = before.chain(behind).filter(|line| !trim(line).is_empty());
        visible.filter_map(|line| Indent::of(indentation(line)))
    }

    /// The kind of indentation of the nearest line before the block, or after it.
    fn kind(&self) -> Option<Kind> {
        self.indents().find_map(|indent| indent.kind)
    }

    /// The spaces of one level: the smallest indentation around.
    fn unit(&self) -> Option<isize> {
        let spaces = self.indents().filter(|indent| indent.kind == Some(Kind::Space));
        let widths = spaces.map(|indent| indent.width).filter(|width| UNITS.contains(width));
        widths.min().map(usize::cast_signed)
    }
}
