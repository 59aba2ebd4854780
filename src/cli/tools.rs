//! The command `mcpool tools`: lists the tools of a server as a table, or as JSON.

use super::cost::Cost;
use super::error::CliError;
use super::parameters::parameters;
use super::peer;
use super::render::one_line;
use super::terminal::{self, columns, padding, wrap};
use crate::client::Tool;
use crate::limits::units::grouped;
use crate::visible;
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 80;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 60;
/// Width of the longest list of arguments that stays in its column.
const MAX_ARGUMENTS_WIDTH: usize = 24;
/// Columns before what does not fit beside its tool.
const INDENT: usize = 4;
/// Columns that a description has at least beside its arguments, and below its tool.
const MIN_BESIDE_WIDTH: usize = 36;
const MIN_BELOW_WIDTH: usize = 24;
/// Characters of the longest description in the table; `--json` has them whole.
const MAX_DESCRIPTION: usize = 240;
/// The most tools in the table, and their width; `--json` has them all.
const MAX_ROWS: usize = 500;
const MAX_NAME: usize = 64;

/// Lists the tools.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let wants_cost = matches.get_flag("cost");
    if wants_cost && !peer::is_other(matches, "dirs") {
        return show_cost(&Cost::of_settings(matches)?, matches);
    }
    let list = peer::peer(matches, "dirs")?.list(matches)?;
    if let [first, rest @ ..] = &list.unreadable[..] {
        let (title, more) = (first.title(), rest.len());
        let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
        tracing::warn!(
            "the server lists what is no tool: {title}: {}{more}; `mcpool lint` has them all",
            first.why
        );
    }
    let tools = list.tools;
    if wants_cost {
        return show_cost(&Cost::of_server(&tools)?, matches);
    }
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, &tools)?;
        writeln!(out)?;
    } else {
        write_table(&mut out, &tools, width)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn show_cost(cost: &Cost, matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let mut out = BufWriter::new(io::stdout().lock());
    if matches.get_flag("json") {
        visible::write_json(&mut out, cost)?;
        writeln!(out)?;
    } else {
        cost.write_table(&mut out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Name, arguments (optional ones in brackets), first sentence of the description.
fn write_table(out: &mut impl Write, tools: &[Tool], width: usize) -> io::Result<()> {
    if tools.is_empty() {
        return writeln!(out, "The server has no tools.");
    }
    let (tools, more) = tools.split_at(tools.len().min(MAX_ROWS));
    let max_name = width.min(MAX_NAME);
    let rows: Vec<_> =
        tools.iter().map(|tool| (one_line(&tool.name, max_name), show_arguments(tool))).collect();
    let names = rows.iter().map(|(name, _)| columns(name)).max().unwrap_or_default();
    let arguments = rows
        .iter()
        .map(|(_, shown)| columns(shown))
        .filter(|w| *w <= MAX_ARGUMENTS_WIDTH)
        .max()
        .unwrap_or_default();
    let indent = names + 2 + arguments + 2;
    // Where the columns leave no room for it, what a tool does stands below it.
    let is_beside = indent + MIN_BESIDE_WIDTH <= width;
    for ((name, shown), tool) in rows.iter().zip(tools) {
        let description = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or_default();
        let description = one_line(description, MAX_DESCRIPTION);
        let name = format!("{name}{}", padding(name, names));
        if is_beside && columns(shown) <= arguments {
            let head = format!("{name}  {shown}{}", padding(shown, arguments));
            let lines = wrap(&description, width - indent);
            writeln!(out, "{}", format!("{head}  {}", lines[0]).trim_end())?;
            write_indented(out, &lines[1..], indent)?;
        } else {
            let head = wrap(&format!("{name}  {shown}"), width);
            writeln!(out, "{}", head[0].trim_end())?;
            let indent = if names + 2 + MIN_BELOW_WIDTH <= width { names + 2 } else { INDENT };
            for text in [head[1..].join(" "), description].iter().filter(|text| !text.is_empty()) {
                write_indented(out, &wrap(text, width - indent), indent)?;
            }
        }
    }
    if !more.is_empty() {
        writeln!(out, "and {} more tools: --json has them all.", grouped(more.len() as u64))?;
    }
    let is_cut = |tool: &Tool| columns(&visible::line(&tool.name)) > max_name;
    if tools.iter().any(is_cut) { writeln!(out, "--json has the names whole.") } else { Ok(()) }
}

fn write_indented(out: &mut impl Write, lines: &[String], indent: usize) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "{:indent$}{line}", ""))
}

fn show_arguments(tool: &Tool) -> String {
    let names: Vec<_> = parameters(tool)
        .iter()
        .map(|parameter| {
            let name = one_line(parameter.name, MAX_ARGUMENTS_WIDTH);
            if parameter.required { name } else { format!("[{name}]") }
        })
        .collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_lines_up_and_gives_way_to_long_lists_of_arguments() {
        let listed = json!([
            {"name": "read", "description": "Reads a file. And more.", "inputSchema": {
                "properties": {"path": {"type": "string"}, "head": {}}, "required": ["path"]}},
            {"name": "list_all", "title": "Lists", "inputSchema": {}},
            {"name": "many", "description": "Takes much.", "inputSchema": {"properties": {
                "first_argument": {}, "second_argument": {}, "third_argument": {}}}}
        ]);
        let tools: Vec<Tool> = serde_json::from_str(&listed.to_string()).expect("tools");
        let mut out = Vec::new();
        write_table(&mut out, &tools, 80).expect("written");
        let want = "\
read      path [head]  Reads a file.
list_all               Lists
many      [first_argument] [second_argument] [third_argument]
          Takes much.
";
        assert_eq!(String::from_utf8(out).expect("text"), want);
        let mut out = Vec::new();
        write_table(&mut out, &tools, 30).expect("written");
        let narrow = String::from_utf8(out).expect("text");
        assert!(narrow.lines().all(|line| columns(line) <= 30), "{narrow}");
        for argument in ["[first_argument]", "[second_argument]", "[third_argument]", "Takes much."] {
            assert!(narrow.contains(argument), "nothing is cut: {narrow}");
        }
    }

    #[test]
    fn what_is_described_at_length_is_wrapped() {
        let text = "one two three four five six seven eight nine ten ".repeat(3);
        let listed = json!([{"name": "read", "description": text, "inputSchema": {}}]);
        let tools: Vec<Tool> = serde_json::from_str(&listed.to_string()).expect("tools");
        let mut out = Vec::new();
        write_table(&mut out, &tools, 60).expect("written");
        let shown = String::from_utf8(out).expect("text");
        assert!(shown.lines().count() > 2 && shown.lines().all(|line| columns(line) <= 60), "{shown}");
        let want = "read one two three four five six seven eight nine ten one";
        assert!(shown.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(want), "{shown}");
    }

    #[test]
    fn a_list_without_end_has_a_bound_and_says_so() {
        let long = format!("\u{9b}2J{}", "n".repeat(300));
        let named = |n: usize| json!({"name": format!("{long}{n}"), "description": "\u{202e}evil", "inputSchema": {}});
        let tools: Vec<Tool> =
            (0..2_500).map(|n| serde_json::from_str(&named(n).to_string()).expect("a tool")).collect();
        let mut out = Vec::new();
        write_table(&mut out, &tools, 80).expect("written");
        let shown = String::from_utf8(out).expect("text");
        assert!(visible::is_harmless(&shown), "{shown:?}");
        assert!(
            shown.ends_with("\nand 2,000 more tools: --json has them all.\n--json has the names whole.\n"),
            "{}",
            &shown[shown.len() - 100..]
        );
        assert!(shown.lines().all(|line| columns(line) <= 80));
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        let mut out = Vec::new();
        write_table(&mut out, &[], 60).expect("written");
        let want = "The server has no tools.\n";
        assert_eq!(String::from_utf8(out).expect("text"), want);
    }
}
