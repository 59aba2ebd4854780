//! The table of what each request costs: how it stands in `TABLE.md`, and whether a measurement is worse.
//!
//! The Markdown that people read is also what tests parse, so that there is one owner of each figure. It must not
//! know how the figures are measured.

use crate::profile::Figure;
use std::fmt::Write as _;

/// The columns, in their order.
pub const COLUMNS: [&str; 6] =
    ["stdio, modern", "stdio, legacy", "unix, modern", "unix, legacy", "HTTP, modern", "HTTP, legacy"];

/// What one kind of request costs over one transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Measured.
    Figures(Figures),
    /// There is no such request there, and why.
    Missing(String),
}

impl Cell {
    /// Of each figure the middle one of several measurements; what is missing is so in all of them.
    ///
    /// # Panics
    /// When there is none.
    pub fn middle(cells: &[Self]) -> Self {
        let figures: Vec<Figures> = cells
            .iter()
            .filter_map(|cell| if let Self::Figures(figures) = cell { Some(*figures) } else { None })
            .collect();
        let Some(mut middle) = figures.first().copied() else { return cells[0].clone() };
        for aspect in &ASPECTS {
            let mut values: Vec<u64> = figures.iter().map(|figures| (aspect.of)(*figures)).collect();
            values.sort_unstable();
            (aspect.set)(&mut middle, values[values.len() / 2]);
        }
        Self::Figures(middle)
    }

    /// The figure of a profile that explains the first of what is worse than `stated`.
    pub fn worst(&self, stated: &Self) -> Option<Figure> {
        let (Self::Figures(measured), Self::Figures(stated)) = (self, stated) else { return None };
        let is_worse = |aspect: &&Aspect| (aspect.of)(*measured) > (aspect.of)(*stated);
        ASPECTS.iter().find(is_worse).map(|aspect| aspect.explained_by)
    }

    /// What of this is worse than `stated`, and by how much.
    pub fn worse_than(&self, stated: &Self) -> Vec<String> {
        let (measured, stated) = match (self, stated) {
            (Self::Figures(measured), Self::Figures(stated)) => (*measured, *stated),
            (Self::Missing(measured), Self::Missing(stated)) if measured == stated => return Vec::new(),
            (Self::Figures(_), Self::Missing(reason)) => {
                return vec![format!("measured, yet the table has none: {reason}")];
            }
            (Self::Missing(reason), _) => {
                return vec![format!("not measured, as {reason}; the table says otherwise")];
            }
        };
        let more = ASPECTS.iter().filter(|aspect| (aspect.of)(measured) > (aspect.of)(stated));
        more.map(|aspect| {
            let (now, known) = ((aspect.of)(measured), (aspect.of)(stated));
            let (unit, by) = (aspect.unit, aspect.write(now - known));
            format!("{} {unit}, the table says {}: {by} too many", aspect.write(now), aspect.write(known))
        })
        .collect()
    }
}

/// The figures of a cell, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Hundredths of a block.
    pub allocations: u64,
    /// Bytes.
    pub retained: u64,
    /// KiB.
    pub peak: u64,
}

/// A kind of request, with a cell for each of [`COLUMNS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is asked.
    pub name: String,
    /// What it costs.
    pub cells: Vec<Cell>,
}

/// All rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// In the order in which they are measured.
    pub rows: Vec<Row>,
}

/// One of the figures: its heading, what it is in a sentence's middle, and how it is written and read.
struct Aspect {
    heading: &'static str,
    unit: &'static str,
    /// By which figure of a profile it is explained.
    explained_by: Figure,
    of: fn(Figures) -> u64,
    set: fn(&mut Figures, u64),
    /// Places behind the point.
    places: usize,
}

const ASPECTS: [Aspect; 3] = [
    Aspect {
        heading: "Allocations for each request",
        unit: "allocations",
        explained_by: Figure::Allocated,
        of: |figures| figures.allocations,
        set: |figures, value| figures.allocations = value,
        places: 2,
    },
    Aspect {
        heading: "Bytes that each request leaves",
        unit: "B left",
        explained_by: Figure::Live,
        of: |figures| figures.retained,
        set: |figures, value| figures.retained = value,
        places: 0,
    },
    Aspect {
        heading: "KiB at most during one request",
        unit: "KiB at most",
        explained_by: Figure::Peak,
        of: |figures| figures.peak,
        set: |figures, value| figures.peak = value,
        places: 0,
    },
];

impl Aspect {
    fn write(&self, value: u64) -> String {
        let whole = 10_u64.pow(self.places as u32);
        let (units, rest) = (value / whole, value % whole);
        if rest == 0 { units.to_string() } else { format!("{units}.{rest:0places$}", places = self.places) }
    }

    fn read(&self, text: &str) -> Option<u64> {
        let (units, rest) = text.split_once('.').unwrap_or((text, ""));
        let rest = format!("{rest:0<places$}", places = self.places);
        format!("{units}{rest}").parse().ok().filter(|_| rest.len() == self.places)
    }
}

impl Table {
    /// The table as it is checked in, below `introduction`.
    pub fn to_markdown(&self, introduction: &str) -> String {
        let mut text = format!("{introduction}\n");
        let mut reasons: Vec<&str> = Vec::new();
        for cell in self.rows.iter().flat_map(|row| &row.cells) {
            if let Cell::Missing(reason) = cell
                && !reasons.contains(&reason.as_str())
            {
                reasons.push(reason);
            }
        }
        for aspect in &ASPECTS {
            let _ = writeln!(text, "## {}\n\n| request | {} |", aspect.heading, COLUMNS.join(" | "));
            let _ = writeln!(text, "| --- |{}", " ---: |".repeat(COLUMNS.len()));
            for row in &self.rows {
                let _ = write!(text, "| {} |", row.name);
                for cell in &row.cells {
                    let shown = match cell {
                        Cell::Figures(figures) => aspect.write((aspect.of)(*figures)),
                        Cell::Missing(reason) => format!("none ({})", mark(&reasons, reason)),
                    };
                    let _ = write!(text, " {shown} |");
                }
                text.push('\n');
            }
            text.push('\n');
        }
        text.push_str("## Where there is none\n\n");
        for reason in &reasons {
            let _ = writeln!(text, "- {}: {reason}", mark(&reasons, reason));
        }
        text
    }

    /// Reads what [`Table::to_markdown`] wrote.
    ///
    /// # Errors
    /// Names the line that cannot be read.
    pub fn from_markdown(text: &str) -> Result<Self, String> {
        let mut table = Self::default();
        let mut aspect = None;
        for (index, line) in text.lines().enumerate() {
            if let Some(heading) = line.strip_prefix("## ") {
                aspect = ASPECTS.iter().find(|aspect| aspect.heading == heading);
            }
            let Some(aspect) = aspect else { continue };
            let Some(inside) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
                continue;
            };
            if inside.starts_with("request |") || inside.starts_with("--- |") {
                continue;
            }
            table.take_line(aspect, inside, text).map_err(|fault| format!("line {}: {fault}", index + 1))?;
        }
        Ok(table)
    }

    fn take_line(&mut self, aspect: &Aspect, inside: &str, text: &str) -> Result<(), String> {
        let mut parts = inside.split(" | ");
        let name = parts.next().unwrap_or_default();
        let parts: Vec<&str> = parts.collect();
        if parts.len() != COLUMNS.len() {
            return Err(format!("`{name}` has {} cells, not {}", parts.len(), COLUMNS.len()));
        }
        let index = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.to_owned(), cells: Vec::new() });
            self.rows.len() - 1
        });
        for (column, part) in parts.into_iter().enumerate() {
            let cells = &mut self.rows[index].cells;
            if let Some(mark) = part.strip_prefix("none (").and_then(|part| part.strip_suffix(')')) {
                let reason = text.lines().find_map(|line| line.strip_prefix(&format!("- {mark}: ")));
                let reason = reason.ok_or_else(|| format!("nothing says what `{part}` means"))?;
                if cells.len() == column {
                    cells.push(Cell::Missing(reason.to_owned()));
                }
                continue;
            }
            let value = aspect.read(part).ok_or_else(|| format!("`{part}` of `{name}` is no figure"))?;
            if cells.len() == column {
                cells.push(Cell::Figures(Figures { allocations: 0, retained: 0, peak: 0 }));
            }
            let Some(Cell::Figures(figures)) = cells.get_mut(column) else {
                return Err(format!("`{name}` is missing over {} in one part only", COLUMNS[column]));
            };
            (aspect.set)(figures, value);
        }
        Ok(())
    }

    /// The cell of `name` in that place among [`COLUMNS`].
    pub fn cell(&self, name: &str, column: usize) -> Option<&Cell> {
        self.rows.iter().find(|row| row.name == name)?.cells.get(column)
    }

    /// Where this is worse than `stated`, or does not have the same cells: one line for each.
    pub fn worse_than(&self, stated: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in &self.rows {
            let Some(known) = stated.rows.iter().find(|known| known.name == row.name) else {
                lines.push(format!("{}: not in the table", row.name));
                continue;
            };
            for ((measured, known), column) in row.cells.iter().zip(&known.cells).zip(COLUMNS) {
                let worse = measured.worse_than(known);
                lines.extend(worse.into_iter().map(|worse| format!("{} over {column}: {worse}", row.name)));
            }
        }
        let is_gone = |known: &&Row| !self.rows.iter().any(|row| row.name == known.name);
        lines.extend(
            stated.rows.iter().filter(is_gone).map(|row| format!("{}: not measured any more", row.name)),
        );
        lines
    }
}

/// The letter of a reason.
fn mark(reasons: &[&str], reason: &str) -> char {
    let place = reasons.iter().position(|known| *known == reason).unwrap_or_default();
    char::from(b'a' + place as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(allocations: u64, retained: u64, peak: u64) -> Table {
        let figures = Cell::Figures(Figures { allocations, retained, peak });
        let missing = |reason: &str| Cell::Missing(reason.to_owned());
        let mut cells = vec![figures; COLUMNS.len()];
        cells[1] = missing("the era has no such method");
        cells[4] = missing("streams end otherwise");
        Table { rows: vec![Row { name: "ping".to_owned(), cells }] }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for figures in [(0, 0, 4), (305, 12, 5_124), (1_900, 1, 0)] {
            let table = table(figures.0, figures.1, figures.2);
            let text = table.to_markdown("# Costs\n");
            assert_eq!(Table::from_markdown(&text), Ok(table), "{text}");
        }
        let text = table(305, 0, 4).to_markdown("# Costs\n");
        assert!(text.contains("| ping | 3.05 | none (a) | 3.05 | 3.05 | none (b) | 3.05 |"), "{text}");
        assert!(text.contains("- b: streams end otherwise"), "{text}");
    }

    #[test]
    fn a_figure_that_is_worse_is_named_with_its_cell_and_by_how_much() {
        let stated = table(300, 0, 64);
        assert_eq!(table(300, 0, 64).worse_than(&stated), Vec::<String>::new());
        assert_eq!(table(100, 0, 8).worse_than(&stated), Vec::<String>::new(), "better is not worse");
        let worse = table(301, 0, 64).worse_than(&stated);
        assert_eq!(worse.len(), 4, "each column with figures: {worse:?}");
        assert_eq!(worse[0], "ping over stdio, modern: 3.01 allocations, the table says 3: 0.01 too many");
        let worse = table(300, 1, 65).worse_than(&stated);
        assert_eq!(worse[0], "ping over stdio, modern: 1 B left, the table says 0: 1 too many");
        assert_eq!(worse[1], "ping over stdio, modern: 65 KiB at most, the table says 64: 1 too many");
    }

    #[test]
    fn the_middle_is_that_of_each_figure() {
        let figures = |allocations, retained, peak| Cell::Figures(Figures { allocations, retained, peak });
        let cells = [figures(100, 0, 9), figures(101, 0, 8), figures(90, 21, 9)];
        assert_eq!(Cell::middle(&cells), figures(100, 0, 9));
        let missing = Cell::Missing("the era has none".to_owned());
        assert_eq!(Cell::middle(&[missing.clone(), missing.clone()]), missing);
    }

    #[test]
    fn a_cell_that_appears_or_goes_is_named() {
        let stated = table(0, 0, 1);
        let mut other = stated.clone();
        other.rows[0].cells.swap(0, 1);
        let lines = other.worse_than(&stated);
        assert!(lines[0].contains("not measured, as the era has no such method"), "{lines:?}");
        assert!(lines[1].contains("the table has none: the era has no such method"), "{lines:?}");
        other.rows[0].name = "pong".to_owned();
        let lines = other.worse_than(&stated);
        assert_eq!(lines, ["pong: not in the table", "ping: not measured any more"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let text = table(0, 0, 1).to_markdown("# Costs\n");
        for (from, to, fault) in [
            ("| ping | 0 | none (a)", "| ping | none (a)", "has 5 cells"),
            ("| ping | 0 |", "| ping | few |", "`few` of `ping` is no figure"),
            ("| ping | 0 |", "| ping | 0.001 |", "is no figure"),
            ("- b: ", "- c: ", "nothing says what `none (b)` means"),
        ] {
            let broken = text.replacen(from, to, 1);
            let error = Table::from_markdown(&broken).expect_err(from);
            assert!(error.contains(fault), "{error}");
        }
    }
}
