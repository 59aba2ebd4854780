//! Paths in the documents: a reader finds each file that is named.

use crate::source::Breach;
use regex::Regex;
use std::path::Path;

/// The source files that `text` names with their folders, and that are neither below `root` nor below its `src`.
pub(crate) fn missing_files(path: &str, text: &str, root: &Path) -> Vec<Breach> {
    let named = Regex::new(r"\b(?:\w+/)+\w+\.(?:rs|md|mjs|json)\b").expect("a pattern");
    let breaches = text.lines().enumerate().flat_map(|(index, line)| {
        let missing = named.find_iter(line).map(|found| found.as_str()).filter(|file| {
            let is_address = line.contains(&format!("://{file}")) || line.contains(&format!(".{file}"));
            !is_address && !root.join(file).exists() && !root.join("src").join(file).exists()
        });
        let breaches = missing.map(move |file| Breach::new(path, index + 1, format!("there is no `{file}`")));
        breaches.collect::<Vec<_>>()
    });
    breaches.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_moved_is_found_missing() {
        let root = crate::source::root();
        let text = "`src/lib.rs` and wire/lexer.rs are there,\n`src/knock.rs` is not.";
        let breaches: Vec<String> =
            missing_files("a.md", text, &root).iter().map(ToString::to_string).collect();
        assert_eq!(breaches.len(), 1, "{breaches:?}");
        assert!(breaches[0].contains("a.md:2") && breaches[0].contains("src/knock.rs"), "{breaches:?}");
    }
}
