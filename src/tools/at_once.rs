//! Calls that are answered at once, where they come in: their tools wait for nothing.

use crate::server::{CallContext, Finished, ToolError, ToolRequest};
use serde::Deserialize;

/// Admits a call, and has `run` answer it.
pub(crate) fn serve<'f, A: Deserialize<'f>>(
    request: ToolRequest<'f>,
    run: impl FnOnce(A, &mut CallContext) -> Result<(), ToolError>,
) -> Finished {
    match request.admit::<A>() {
        Ok((arguments, mut call)) => {
            let result = run(arguments, &mut call);
            call.finish(result)
        }
        Err(refused) => refused,
    }
}
