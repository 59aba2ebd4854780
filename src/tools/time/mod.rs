//! The time tools: a drop-in for `mcp-server-time`.
//!
//! Names, arguments, answers and errors are those of the reference server. What differs, on purpose:
//! - The time zones are part of the program, so answers do not depend on what the machine has. Names that are no zone,
//!   such as those of directories of the database, are refused as other unknown names are.
//! - A time that the clock of the source shows twice on that day is the first of the two, as in the reference; here a
//!   second text says so.
//! - Zones that were asked for are kept for the next call, [`MAX_ZONES`] of them.
//!
//! ```text
//! mod        the toolset: definitions, arguments, answers
//! answers    pure functions: what the answer is at a given moment
//! zones      zones by name, the latest of them kept
//! ```

mod answers;
mod zones;

pub use zones::MAX_ZONES;

use super::at_once::serve;
use super::json_text;
use crate::protocol::ToolDefinition;
use crate::server::{CallContext, Finished, ToolError, ToolRequest, Toolset};
use answers::Refusal;
use jiff::Timestamp;
use serde::Deserialize;
use std::future::Future;
use thiserror::Error;
use zones::Zones;

/// The answer to `tools/list`, word for word that of the reference server, with [`LOCAL_ZONE`] for the local zone.
const DEFINITIONS: &str = include_str!("definitions.json");
/// Stands in [`DEFINITIONS`] for the name of the local zone.
const LOCAL_ZONE: &str = "LOCAL_ZONE";

/// The tools `get_current_time` and `convert_time`.
///
/// ```
/// use mcpool::tools::time::Time;
/// use mcpool::Server;
/// use mcpool::toolsets::Toolset;
///
/// let time = Time::new(Some("Europe/Berlin"))?;
/// assert_eq!(time.definitions()[0].name(), "get_current_time");
/// let server = Server::builder("time", "1.0.0").toolset(time).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Time {
    zones: Zones,
    local_zone: Box<str>,
}

/// Why the time tools cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimeError {
    /// The local zone is none of the IANA database.
    #[error("invalid --local-timezone {name:?}: not a known IANA timezone name")]
    LocalZone {
        /// What was given.
        name: String,
    },
}

impl Time {
    /// Makes the tools. They name `local_zone` to the model as the zone of the user: an IANA name, case included; by
    /// default the zone of `TZ` or of the system, or UTC where neither has a name.
    ///
    /// # Errors
    /// When there is no such zone.
    pub fn new(local_zone: Option<&str>) -> Result<Self, TimeError> {
        let local_zone = match local_zone {
            Some(name) => match zones::canonical(name) {
                Some(name) => name.into(),
                None => return Err(TimeError::LocalZone { name: name.to_owned() }),
            },
            None => zones::local_name(),
        };
        Ok(Self { zones: Zones::default(), local_zone })
    }

    fn answer_current(&self, arguments: &CurrentTime<'_>, call: &mut CallContext) -> Result<(), ToolError> {
        match answers::current(&self.zones, arguments.timezone, Timestamp::now()) {
            Ok(answer) => json_text::answer(call, &answer),
            Err(refusal) => Err(failed("get_current_time", &refusal)),
        }
    }

    fn answer_converted(&self, arguments: &ConvertTime<'_>, call: &mut CallContext) -> Result<(), ToolError> {
        let ConvertTime { source_timezone, time, target_timezone } = *arguments;
        let now = Timestamp::now();
        match answers::converted(&self.zones, source_timezone, time, target_timezone, now) {
            Ok((answer, twice)) => {
                json_text::answer(call, &answer)?;
                if let Some(twice) = twice {
                    call.text_with(|text| twice.write(text));
                }
                Ok(())
            }
            Err(refusal) => Err(failed("convert_time", &refusal)),
        }
    }
}

/// In the words of the reference server.
#[cold]
fn failed(tool: &str, refusal: &Refusal) -> ToolError {
    ToolError::failed(format_args!("Error executing tool {tool}: {refusal}"))
}

/// `get_current_time`.
#[derive(Debug, Clone, Copy, Deserialize)]
struct CurrentTime<'a> {
    timezone: &'a str,
}

/// `convert_time`.
#[derive(Debug, Clone, Copy, Deserialize)]
struct ConvertTime<'a> {
    source_timezone: &'a str,
    time: &'a str,
    target_timezone: &'a str,
}

impl Toolset for Time {
    fn definitions(&self) -> Vec<ToolDefinition> {
        let text = DEFINITIONS.replace(LOCAL_ZONE, &self.local_zone);
        // invariant: the text is part of the program, and a test reads it; names of zones need no escapes.
        ToolDefinition::parse_list(&text).expect("the definitions are readable")
    }

    fn call<'f>(
        &'f self,
        index: usize,
        request: ToolRequest<'f>,
    ) -> impl Future<Output = Finished> + Send + 'f {
        let finished = match index {
            0 => serve(request, |arguments, call| self.answer_current(&arguments, call)),
            1 => serve(request, |arguments, call| self.answer_converted(&arguments, call)),
            _ => request.refuse_unknown(),
        };
        std::future::ready(finished)
    }

    fn state_bytes(&self) -> usize {
        self.zones.bytes() + self.local_zone.len()
    }

    fn report_state(&self, enter: &mut dyn FnMut(&'static str, usize)) {
        enter("time tools", self.state_bytes());
    }
}
