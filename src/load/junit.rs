//! Reports as the XML of `JUnit`, which build servers show: a test case for each expectation.

use super::markup::escape;
use super::report::LoadTestReport;
use std::io::{self, Write};

/// Writes reports as a suite of `JUnit` for each: a case for each expectation and one for the full time, or, without
/// expectations, one for the right answer to each request.
///
/// ```
/// use mcpool::load::{LoadTestReport, write_junit};
///
/// fn show(found: &[LoadTestReport]) -> std::io::Result<()> {
///     write_junit(found, &mut std::io::stdout())
/// }
/// ```
///
/// # Errors
/// When `out` refuses it.
pub fn write_junit(reports: &[LoadTestReport], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"mcpool load\">")?;
    for report in reports {
        let cases = cases(report);
        let failed = cases.iter().filter(|case| case.failure.is_some()).count();
        let (name, seconds) = (escape(&report.scenario.name), report.measured_ms / 1e3);
        writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" time=\"{seconds:.3}\">",
            cases.len()
        )?;
        for Case { name: case, failure } in cases {
            write!(out, "    <testcase classname=\"{name}\" name=\"{}\"", escape(&case))?;
            match failure {
                Some(why) => writeln!(out, "><failure message=\"{}\"/></testcase>", escape(&why))?,
                None => writeln!(out, "/>")?,
            }
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

struct Case {
    name: String,
    failure: Option<String>,
}

fn cases(report: &LoadTestReport) -> Vec<Case> {
    let full_time =
        Case { name: "the test has its full time".to_owned(), failure: report.ended_early.clone() };
    let mut cases = vec![full_time];
    cases.extend(report.expectations.iter().map(|expectation| {
        let bound = expectation.bound.as_deref().map(|bound| format!(", bound {bound}")).unwrap_or_default();
        let failure = (!expectation.is_met).then(|| format!("found {}{bound}", expectation.found));
        Case { name: expectation.expected.clone(), failure }
    }));
    if report.expectations.is_empty() {
        let counts = &report.requests;
        let failure = (!report.is_flawless()).then(|| {
            format!(
                "{} answered, {} failed, {} dropped, {} unanswered, {} messages that nobody asked for, {} failed in the warm-up",
                counts.answered,
                counts.failed,
                counts.dropped,
                counts.unanswered,
                counts.unexpected,
                counts.warm_up_failed
            )
        });
        cases.push(Case { name: "each request has its right answer".to_owned(), failure });
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::super::report::ExpectationReport;
    use super::super::sample;
    use super::*;

    #[test]
    fn each_expectation_is_a_case() {
        let right = sample::report(1_000.0, 100.0, 0.0);
        let mut missed = right.clone();
        missed.scenario.name = "a \"b\" <c>".to_owned();
        missed.expectations = [true, false]
            .map(|is_met| ExpectationReport {
                expected: "p99 <= 5ms".to_owned(),
                found: "6.00 ms".to_owned(),
                bound: Some("5.00 ms".to_owned()),
                is_met,
            })
            .to_vec();
        let mut text = Vec::new();
        write_junit(&[right, missed], &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        assert!(
            text.contains("<testsuite name=\"sample\" tests=\"2\" failures=\"0\" time=\"60.000\">"),
            "{text}"
        );
        assert!(
            text.contains("<testsuite name=\"a &quot;b&quot; &lt;c&gt;\" tests=\"3\" failures=\"1\""),
            "{text}"
        );
        assert!(
            text.contains("name=\"p99 &lt;= 5ms\"><failure message=\"found 6.00 ms, bound 5.00 ms\"/>"),
            "{text}"
        );
    }
}
