//! One word of a report with its meaning.

/// A word of the report, and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LegendEntry {
    /// The labels of tables, charts and sentences that it is about. One that ends with `*` stands for all labels that
    /// begin so.
    pub words: &'static [&'static str],
    /// The fields of the JSON report that hold the same.
    pub fields: &'static [&'static str],
    /// One sentence or two, for somebody who does not know the server.
    pub meaning: &'static str,
}

impl LegendEntry {
    pub(super) fn is_about(&self, label: &str) -> bool {
        self.words.iter().any(|word| match word.strip_suffix('*') {
            Some(beginning) => label.starts_with(beginning),
            None => word.eq_ignore_ascii_case(label),
        })
    }
}
