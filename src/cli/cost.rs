//! `mcpool tools --cost`: what the list of tools costs those who read it, in bytes and in tokens of a model.

use super::assemble;
use super::error::CliError;
use super::peer;
use super::render::one_line;
use super::terminal::{columns, padding, write_wrapped};
use crate::client::Tool;
use crate::limits::units::grouped;
use clap::ArgMatches;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};
use std::path::PathBuf;

/// Bytes of a token, about: English and JSON have three to five, by model.
const TOKEN_BYTES: usize = 4;

/// What a list of tools costs.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    toolsets: Vec<ToolsetCost>,
    #[serde(flatten)]
    total: Amount,
}

/// What the tools of one toolset cost.
#[derive(Debug, Serialize)]
struct ToolsetCost {
    name: String,
    tools: Vec<ToolCost>,
    #[serde(flatten)]
    total: Amount,
}

/// What one tool costs.
#[derive(Debug, Serialize)]
struct ToolCost {
    name: String,
    #[serde(flatten)]
    amount: Amount,
}

/// Bytes, and what they make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Amount {
    /// Bytes in the answer to `tools/list`.
    bytes: usize,
    /// Bytes of what clients give to a model of that: name, description and schema of the arguments.
    model_bytes: usize,
    /// Tokens that these are, about.
    estimated_tokens: usize,
}

impl Amount {
    fn of(tool: &Value) -> Self {
        let length = |value: &Value| value.to_string().len();
        let model_bytes =
            ["name", "description", "inputSchema"].iter().filter_map(|key| tool.get(key)).map(length).sum();
        Self { bytes: length(tool), model_bytes, estimated_tokens: usize::div_ceil(model_bytes, TOKEN_BYTES) }
    }

    fn sum(amounts: impl Iterator<Item = Self>) -> Self {
        amounts.fold(Self::default(), |sum, one| Self {
            bytes: sum.bytes + one.bytes,
            model_bytes: sum.model_bytes + one.model_bytes,
            estimated_tokens: sum.estimated_tokens + one.estimated_tokens,
        })
    }
}

impl Cost {
    /// Of the toolsets that the settings ask for.
    pub(super) fn of_settings(matches: &ArgMatches) -> Result<Self, CliError> {
        let settings = peer::settings(matches)?;
        let dirs: Vec<PathBuf> = matches.get_many("dirs").into_iter().flatten().cloned().collect();
        let listed = assemble::listed(&dirs, &settings)?;
        let toolsets = listed.into_iter().map(|(name, tools)| ToolsetCost::of(name, &tools));
        Self::sum(toolsets.collect())
    }

    /// Of the tools that another server listed.
    pub(super) fn of_server(tools: &[Tool]) -> Result<Self, CliError> {
        Self::sum(vec![ToolsetCost::of("server", tools)])
    }

    fn sum(toolsets: Vec<Result<ToolsetCost, serde_json::Error>>) -> Result<Self, CliError> {
        let toolsets: Vec<_> = toolsets.into_iter().collect::<Result<_, _>>().map_err(io::Error::from)?;
        let total = Amount::sum(toolsets.iter().map(|toolset| toolset.total));
        Ok(Self { toolsets, total })
    }

    /// Writes a line for each toolset and for each of its tools.
    pub(super) fn write_table<W: Write>(&self, out: &mut W) -> io::Result<()> {
        let shown = |toolset: &ToolsetCost| -> Vec<(String, Amount)> {
            let tools = toolset.tools.iter().take(MAX_ROWS);
            tools.map(|tool| (format!("  {}", one_line(&tool.name, MAX_NAME)), tool.amount)).collect()
        };
        let rows: Vec<_> = self.toolsets.iter().map(|toolset| (toolset, shown(toolset))).collect();
        let names = rows.iter().flat_map(|(_, tools)| tools).map(|(name, _)| columns(name));
        let widest = names.max().unwrap_or_default().max(TOTAL.len());
        writeln!(out, "{}  {:>7}  {:>7}  {:>6}", padding("", widest), "bytes", "model", "tokens")?;
        let line = |name: &str, amount: &Amount, out: &mut W| {
            let Amount { bytes, model_bytes, estimated_tokens } = amount;
            let padding = padding(name, widest);
            writeln!(out, "{name}{padding}  {bytes:>7}  {model_bytes:>7}  {estimated_tokens:>6}")
        };
        for (toolset, tools) in &rows {
            line(&toolset.name, &toolset.total, out)?;
            for (name, amount) in tools {
                line(name, amount, out)?;
            }
            if let more @ 1.. = toolset.tools.len() - tools.len() {
                writeln!(out, "  and {} more tools: --json has them all.", grouped(more as u64))?;
            }
        }
        line(TOTAL, &self.total, out)?;
        let meaning = format!(
            "Bytes in tools/list; bytes of name, description and arguments, which clients give to a model; tokens that \
             these are, about ({TOKEN_BYTES} bytes each)."
        );
        writeln!(out)?;
        write_wrapped("", &meaning, FILE_WIDTH, out)
    }
}

/// Columns of the table, of the longest name in it, and its most rows for each toolset; `--json` has all.
const FILE_WIDTH: usize = 80;
const MAX_NAME: usize = 48;
const MAX_ROWS: usize = 500;
const TOTAL: &str = "all";

impl ToolsetCost {
    fn of<T: Serialize>(name: &str, tools: &[T]) -> Result<Self, serde_json::Error> {
        let tools: Vec<_> = tools.iter().map(ToolCost::of).collect::<Result<_, _>>()?;
        let total = Amount::sum(tools.iter().map(|tool| tool.amount));
        Ok(Self { name: name.to_owned(), tools, total })
    }
}

impl ToolCost {
    fn of<T: Serialize>(tool: &T) -> Result<Self, serde_json::Error> {
        let tool = serde_json::to_value(tool)?;
        let name = tool["name"].as_str().unwrap_or_default().to_owned();
        Ok(Self { name, amount: Amount::of(&tool) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_tool_costs_is_added_up() {
        let tool = |name: &str| json!({"name": name, "description": "Says so.", "inputSchema": {"type": "object"}, "annotations": {}});
        let tools: Vec<Tool> =
            serde_json::from_str(&json!([tool("one"), tool("three")]).to_string()).expect("tools");
        let cost = Cost::of_server(&tools).expect("a cost");
        let one = &cost.toolsets[0].tools[0];
        assert_eq!(one.amount.bytes, tool("one").to_string().len());
        assert_eq!(one.amount.model_bytes, r#""one""Says so."{"type":"object"}"#.len());
        assert_eq!(one.amount.estimated_tokens, 8);
        assert_eq!(cost.total, cost.toolsets[0].total);
        assert_eq!(cost.total.bytes, 2 * one.amount.bytes + 2);
        let mut table = Vec::new();
        cost.write_table(&mut table).expect("written");
        let table = String::from_utf8(table).expect("text");
        let want = [
            "           bytes    model  tokens",
            "server       178       66      17",
            "  one         88       32       8",
        ];
        assert_eq!(table.lines().take(3).collect::<Vec<_>>(), want, "{table}");
    }
}
