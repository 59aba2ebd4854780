//! The methods of the tasks extension: a client asks how far a task is, answers its requests, or cancels it.

use crate::protocol::{Capability, ClientCapabilities, Era, IdField, InputResponse, Method, ProtocolError};
use crate::server::answer::envelope::{self, AnswerId};
use crate::server::answer::outcome::Outcome;
use crate::server::incoming::checks::Checked;
use crate::server::state::task_store::Updated;
use crate::server::state::task_table::TaskOwner;
use crate::wire::{Kind, Raw};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Serves the methods of the extension.
pub(crate) fn serve(checked: &Checked<'_, '_>) -> Outcome {
    let Checked { context, message, arena, .. } = *checked;
    let IdField::Valid(id) = message.id else { return Outcome::Silent };
    let capabilities = message
        .meta
        .client_capabilities
        .map_or_else(ClientCapabilities::default, |raw| ClientCapabilities::decode(raw, arena));
    if !capabilities.has(Capability::Tasks) {
        return checked.refuse(&ProtocolError::MissingCapability { required: Capability::Tasks });
    }
    let Some(task) = message.task_id else {
        return checked.refuse(&ProtocolError::InvalidParams("taskId must be a string"));
    };
    let (shared, principal) = (context.shared, context.call.details().principal());
    let refuse_missing = || {
        let why = shared.tasks.why_missing(task, TaskOwner::Principal(principal)).why();
        checked.refuse(&ProtocolError::InvalidParams(why))
    };
    let is_known = match checked.method {
        Some(Method::TasksCancel) => shared.tasks.cancel(task, principal, SystemTime::now()),
        Some(Method::TasksUpdate) => match checked.decode_params::<Update<'_>>() {
            Ok(Update { input_responses }) => {
                if let Some(refusal) = refuse_misfit(checked, task, principal, &input_responses) {
                    return refusal;
                }
                let responses = input_responses.iter().map(|(key, raw)| (*key, raw.as_str()));
                match shared.tasks.update(task, principal, responses, SystemTime::now()) {
                    Updated::Done => true,
                    Updated::Unknown => false,
                    Updated::Full(why) => {
                        return checked.refuse(&ProtocolError::Failed(&why.to_string()));
                    }
                }
            }
            Err(refusal) => return refusal,
        },
        _ => {
            let mut reply = shared.reply();
            envelope::open_result(&mut reply, id.as_json(), Era::Modern);
            if !shared.tasks.write(task, principal, &mut reply) {
                return refuse_missing();
            }
            envelope::close_modern_result(&mut reply, &shared.server_meta);
            return shared.answered(reply, AnswerId::Of(id.as_json()));
        }
    };
    if !is_known {
        return refuse_missing();
    }
    let mut reply = shared.reply();
    envelope::open_acknowledgement(&mut reply, id.as_json());
    envelope::close_modern_result(&mut reply, &shared.server_meta);
    shared.answered(reply, AnswerId::Of(id.as_json()))
}

/// The refusal of answers of which one is of another kind than what was asked for. Those to questions that are not open
/// are ignored later, and are to be objects all the same.
fn refuse_misfit(
    checked: &Checked<'_, '_>,
    task: &str,
    principal: u128,
    responses: &BTreeMap<&str, Raw<'_>>,
) -> Option<Outcome> {
    if responses.values().any(|response| response.kind() != Kind::Object) {
        let why = "each of inputResponses must be an object";
        return Some(checked.refuse(&ProtocolError::InvalidParams(why)));
    }
    let fits = |key: &str, kind| {
        responses.get(key).is_none_or(|response| InputResponse::json_fits(response.as_str(), kind))
    };
    let keys = responses.keys().copied();
    checked.context.shared.tasks.find_misfit(task, principal, keys, fits)?;
    let why = "one of inputResponses is no answer to what was asked for";
    Some(checked.refuse(&ProtocolError::InvalidParams(why)))
}

/// The parameters of `tasks/update`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    #[serde(borrow)]
    input_responses: BTreeMap<&'a str, Raw<'a>>,
}
