//! Numbers in arguments.

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
