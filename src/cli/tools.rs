//! The command `mcpool tools`: lists the tools of a server as a table, or as JSON.

use super::cost::Cost;
use super::error::CliError;
use super::parameters::parameters;
use super::peer::{self, Interrupt};
use super::render::one_line;
use super::terminal::{self, columns, padding};
use crate::client::{Client, Tool};
use clap::ArgMatches;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Width of the output if stdout is no terminal.
const FILE_WIDTH: usize = 120;
/// The smallest width; narrower terminals wrap the lines.
const MIN_WIDTH: usize = 60;
/// Width of the longest list of arguments that stays in its column.
const MAX_ARGUMENTS_WIDTH: usize = 36;

/// Lists the tools.
pub(super) fn run(matches: &ArgMatches) -> Result<ExitCode, CliError> {
    let wants_cost = matches.get_flag("cost");
    if wants_cost && !matches.contains_id("server") {
        return show_cost(&Cost::of_settings(matches)?, matches);
    }
    let command = peer::command(matches, "dirs")?;
    let tools = peer::runtime()?.block_on(async {
        let mut interrupt = Interrupt::listen()?;
        let client = interrupt.unless(Client::start(&command, peer::options(matches))).await?;
        let tools = interrupt.unless(client.list_tools()).await;
        client.close().await;
        tools
    })?;
    if wants_cost {
        return show_cost(&Cost::of_server(&tools)?, matches);
    }
    let stdout = io::stdout();
    let width = terminal::width(&stdout, MIN_WIDTH, FILE_WIDTH);
    let mut out = BufWriter::new(stdout.lock());
    if matches.get_flag("json") {
        serde_json::to_writer_pretty(&mut out, &tools).map_err(io::Error::from)?;
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
        serde_json::to_writer_pretty(&mut out, cost).map_err(io::Error::from)?;
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
    let rows: Vec<_> = tools.iter().map(|tool| (one_line(&tool.name, width), show_arguments(tool))).collect();
    let names = rows.iter().map(|(name, _)| columns(name)).max().unwrap_or_default();
    let arguments = rows
        .iter()
        .map(|(_, shown)| columns(shown))
        .filter(|w| *w <= MAX_ARGUMENTS_WIDTH)
        .max()
        .unwrap_or_default();
    let indent = names + 2 + arguments + 2;
    for ((name, shown), tool) in rows.iter().zip(tools) {
        let description = tool.description.as_deref().or(tool.title.as_deref()).unwrap_or_default();
        let description = one_line(description, width.saturating_sub(indent).max(24));
        let (after_name, after_shown) = (padding(name, names), padding(shown, arguments));
        let line = format!("{name}{after_name}  {shown}{after_shown}");
        if columns(&line) > indent - 2 && !description.is_empty() {
            writeln!(out, "{}\n{:indent$}{description}", line.trim_end(), "")?;
        } else {
            writeln!(out, "{}", format!("{line}  {description}").trim_end())?;
        }
    }
    Ok(())
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
    }
}
