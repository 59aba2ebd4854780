//! Reads the bearer token that a client sends from the file that has it.

use super::error::CliError;
use crate::watched_file;
use std::path::Path;

/// The first token of a file, as `serve --token-file` takes it: without the name before a colon.
pub(super) fn read(path: &Path) -> Result<String, CliError> {
    let text = watched_file::read_text(path, watched_file::MAX_BYTES)
        .map_err(|error| CliError::Usage(format!("cannot read {}: {error}", path.display())))?;
    let token = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let token = token.ok_or_else(|| CliError::Usage(format!("there is no token in {}", path.display())))?;
    Ok(token.split_once(':').map_or(token, |(_, token)| token).to_owned())
}
