//! Finds the name that a person may have meant by a misspelt one.

/// Names that are less similar than this are not suggested.
const ALIKE: f64 = 0.75;

/// The candidate most similar to `name`, if one is similar enough.
pub(super) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// The end of a message that suggests this candidate.
pub(super) fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    nearest(name, candidates).map(|found| format!("; did you mean {found:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let names = ["read_text_file", "write_file", "list_directory"];
        for (name, want) in [
            ("read_txt_file", Some("read_text_file")),
            ("readtextfile", Some("read_text_file")),
            ("wirte_file", Some("write_file")),
            ("list_dir", Some("list_directory")),
            ("zzz", None),
        ] {
            assert_eq!(nearest(name, names), want, "{name}");
        }
    }
}
