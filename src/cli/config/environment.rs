//! Variables of the environment that look like settings and are none.

use super::setting::Setting;
use crate::cli::nearest::nearest;
use crate::limits::LimitOption;
use std::ffi::OsString;

/// The variable that names the file.
pub(super) const FILE_VARIABLE: &str = "MCPOOL_CONFIG";
/// What the variables of all settings begin with.
const PREFIX: &str = "MCPOOL_";

/// A sentence for each variable that was meant to be a setting, by its beginning, and has no effect.
pub(in crate::cli) fn misspelt(variables: impl Iterator<Item = OsString>) -> Vec<String> {
    let unknown: Vec<String> = variables
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(PREFIX) && !is_known(name))
        .collect();
    // Most processes have none, and the list of all names is not made.
    if unknown.is_empty() {
        return Vec::new();
    }
    let limits = || LimitOption::ALL.iter().map(|option| option.name);
    let known = || limits().chain(Setting::ALL.iter().map(|setting| setting.name)).chain(["config"]);
    // Without what all have in common, which would make any two of them alike.
    let sentence = |name: String| match nearest(&name[PREFIX.len()..].to_ascii_lowercase(), known()) {
        Some(meant) => {
            let meant = meant.to_ascii_uppercase();
            format!("the variable {name} is no setting and has no effect; did you mean {PREFIX}{meant}?")
        }
        None => format!(
            "the variable {name} is no setting and has no effect: `mcpool config` lists those that are"
        ),
    };
    unknown.into_iter().map(sentence).collect()
}

fn is_known(variable: &str) -> bool {
    let is_meant = |name: &str| {
        let rest = &variable[PREFIX.len()..];
        rest.len() == name.len() && rest.bytes().zip(name.bytes()).all(|(a, b)| a == b.to_ascii_uppercase())
    };
    variable == FILE_VARIABLE
        || LimitOption::ALL.iter().any(|option| is_meant(option.name))
        || Setting::ALL.iter().any(|setting| is_meant(setting.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_variables_are_said_with_what_was_meant() {
        let said = |names: &[&str]| misspelt(names.iter().map(OsString::from));
        assert_eq!(said(&["PATH", "MCPOOL_CONFIG", "MCPOOL_HTTP", "MCPOOL_MAX_FRAME_BYTES"]), [""; 0]);
        assert_eq!(
            said(&["MCPOOL_MAX_FRAM_BYTES", "MCPOOL_http"]),
            [
                "the variable MCPOOL_MAX_FRAM_BYTES is no setting and has no effect; did you mean MCPOOL_MAX_FRAME_BYTES?",
                "the variable MCPOOL_http is no setting and has no effect; did you mean MCPOOL_HTTP?"
            ]
        );
        let far = said(&["MCPOOL_"]);
        assert!(far.len() == 1 && far[0].contains("no effect"), "{far:?}");
    }
}
