//! What the requirements for a server in production mean for a load test: those that show from outside.

use crate::cli::error::CliError;
use crate::load::LoadExpectation;
use crate::monitor::PerformanceRequirements;

/// The expectations of the requirements of that name.
pub(super) fn expectations(name: &str) -> Result<Vec<LoadExpectation>, CliError> {
    if name != "production" {
        return Err(CliError::Usage(format!("no requirements are called {name:?}: write \"production\"")));
    }
    let required = PerformanceRequirements::PRODUCTION;
    let texts = [
        ("p95", format!("{}us", required.max_round_trip_p95_us)),
        ("errors", format!("{}%", required.max_failed_per_million as f64 / 1e4)),
        ("rate", required.min_sustained_messages_per_s.to_string()),
    ];
    let parsed = texts.iter().map(|(name, text)| LoadExpectation::parse(name, text));
    parsed.collect::<Result<_, _>>().map_err(|error| CliError::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_known_and_nothing_else() {
        let expectations = expectations("production").expect("known");
        assert!(expectations.len() == 3 && !expectations.iter().any(LoadExpectation::is_relative));
    }

    #[test]
    fn others_are_refused_by_name() {
        assert!(expectations("staging").expect_err("unknown").to_string().contains("\"staging\""));
    }
}
