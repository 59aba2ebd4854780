//! The flag `mcpool report --at`: one second of the last hour beside the one a minute before.

use super::{meanings, source};
use crate::cli::clock;
use crate::cli::error::CliError;
use crate::memory::History;
use crate::report::Moment;
use crate::visible;
use clap::ArgMatches;
use std::io::Write;

/// Shows the sample of a moment, of a running server or of a file that the black box was written to.
pub(super) fn show(
    at: &str,
    matches: &ArgMatches,
    width: usize,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let history = source::read_history(matches.get_one::<String>("source").map(String::as_str))?;
    let moment = find(&history, at)?;
    if matches.get_flag("json") {
        visible::write_json(&mut *out, &moment)?;
        writeln!(out)?;
        return Ok(());
    }
    moment.write(&clock::clock, width, out)?;
    meanings::write(matches.get_flag("explain"), width, out)?;
    Ok(())
}

fn find(history: &History, at: &str) -> Result<Moment, CliError> {
    let unix_ms = clock::parse_moment(at, history.taken_unix_ms).ok_or_else(|| {
        CliError::Usage(format!(
            "{at:?} is no moment: write 14:03:20, 2026-11-29T14:03:20Z, or -5m for five minutes ago"
        ))
    })?;
    // Nothing was recorded before 1970.
    let found = u64::try_from(unix_ms).ok().and_then(|unix_ms| Moment::of(history, unix_ms));
    found.ok_or_else(|| {
        let (Some(first), Some(last)) = (history.samples.first(), history.samples.last()) else {
            return CliError::Usage("the black box is empty: nothing was recorded yet".to_owned());
        };
        let signed = |unix_ms: u64| i64::try_from(unix_ms).unwrap_or(i64::MAX);
        let [asked, first, last] =
            clock::clocks([unix_ms, signed(first.at_unix_ms), signed(last.at_unix_ms)]);
        CliError::Usage(format!("the black box has nothing of {asked}: it reaches from {first} to {last}"))
    })
}
