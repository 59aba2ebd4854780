//! Tables of figures, for people (Markdown) and for machines (JSON), from one list of rows.

use serde_json::{Map, Value, json};
use std::fmt;

/// A table with a title.
#[derive(Debug, Clone)]
pub struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One field of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A figure, and how many digits behind the point people see.
    Figure(f64, usize),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(figure: u64) -> Self {
        Self::Figure(figure as f64, 0)
    }
}

impl From<i64> for Cell {
    fn from(figure: i64) -> Self {
        Self::Figure(figure as f64, 0)
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Figure(figure, digits) => write!(out, "{figure:.digits$}"),
        }
    }
}

impl Table {
    /// An empty table; units belong into the columns' names.
    pub fn new(title: &str, columns: &[&'static str]) -> Self {
        Self { title: title.to_owned(), columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When it has not as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "cells of {}", self.title);
        self.rows.push(cells);
    }

    /// The table as an object: its title, and an object for each row.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|cells| {
                let members = self.columns.iter().zip(cells).map(|(name, cell)| {
                    let value = match cell {
                        Cell::Text(text) => json!(text),
                        Cell::Figure(figure, _) => json!(figure),
                    };
                    ((*name).to_owned(), value)
                });
                Value::Object(members.collect::<Map<_, _>>())
            })
            .collect();
        json!({ "title": self.title, "rows": rows })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n{}\n\n| {} |", self.title, self.columns.join(" | "))?;
        writeln!(out, "|{}", " --- |".repeat(self.columns.len()))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

/// Prints tables: as Markdown, or as one JSON array.
pub fn print(tables: &[Table], as_json: bool) {
    if as_json {
        println!("{}", Value::Array(tables.iter().map(Table::json).collect()));
    } else {
        for table in tables {
            print!("{table}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_machines_see_the_same_rows() {
        let mut table = Table::new("Speed", &["server", "requests/s"]);
        table.row(vec!["a".into(), Cell::Figure(1234.56, 1)]);
        assert_eq!(table.to_string(), "\nSpeed\n\n| server | requests/s |\n| --- | --- |\n| a | 1234.6 |\n");
        let rows = json!([{ "server": "a", "requests/s": 1234.56 }]);
        assert_eq!(table.json(), json!({ "title": "Speed", "rows": rows }));
    }
}
