//! Numbers in arguments, and in what is said.

use super::error::FsError;

/// A whole number in that range, if one was given.
///
/// # Errors
/// When it is none, or lies outside.
pub(super) fn whole(
    name: &'static str,
    given: Option<f64>,
    min: u64,
    max: u64,
) -> Result<Option<u64>, FsError> {
    let in_range = |given: f64| given.fract() == 0.0 && given >= min as f64 && given <= max as f64;
    match given {
        None => Ok(None),
        Some(given) if in_range(given) => Ok(Some(given as u64)),
        Some(_) => Err(FsError::NotInRange { name, min, max }),
    }
}

/// The verb behind a number of things.
pub(super) fn are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// A number of things, with their name.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Entries that were not looked at, as the beginning of why.
pub(super) fn unseen(entries: u64) -> String {
    if entries == 1 {
        "1 entry and what is below it, as its directory has".to_owned()
    } else {
        format!("{entries} entries and what is below them, as their directories have")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_and_several_are() {
        let said = [0, 1, 2].map(|count| format!("{} {}", counted(count, "line", "lines"), are(count)));
        assert_eq!(said, ["0 lines are", "1 line is", "2 lines are"]);
        assert_eq!(unseen(1), "1 entry and what is below it, as its directory has");
        assert_eq!(unseen(2), "2 entries and what is below them, as their directories have");
    }
}
