//! From a frame to the handler of its method.
//!
//! Everything here runs before the first await of the request: the envelope and a tool's arguments are
//! decoded, and all methods but a tool's own work are answered on the spot. The order of checks is that of
//! the specification's error table: JSON, shape, era, `_meta`, version, method, parameters.

use crate::protocol::{ArgumentsAt, MessageDecoder, Method};
use crate::server::answer::outcome::Finished;
use crate::server::handler::tool::Toolset;
use crate::server::handler::tool_request::ToolRequest;
use crate::server::incoming::checks::Unchecked;
use crate::server::incoming::route::Route;
use crate::server::serving::core::Core;
use crate::server::serving::methods::serve_method;
use crate::server::serving::routed::Routed;
use bumpalo::Bump;

/// Decodes a frame and finds who serves it.
pub(crate) fn dispatch<'f, T: Toolset>(
    core: &'f Core<T>,
    route: Route<'f>,
    arena: &'f Bump,
) -> Routed<'f, impl Future<Output = Finished> + Send + 'f> {
    let mut decoder = match MessageDecoder::new(route.frame.bytes(), arena) {
        Ok(decoder) => decoder,
        Err(error) => return Routed::from(route.refuse_unreadable(error)),
    };
    let arguments_at = match decoder.begin() {
        Ok(arguments_at) => arguments_at,
        Err(error) => return Routed::from(route.refuse_unreadable(error)),
    };
    let message = decoder.message();
    if arguments_at == ArgumentsAt::End && message.method != Some(Method::ToolsCall.as_str()) {
        return match Unchecked::new(&route, message, arena).check() {
            Ok(checked) => serve_method(core, checked),
            Err(refusal) => Routed::from(refusal),
        };
    }
    let index = message.name.and_then(|name| core.shared.catalog.load().tool(name));
    let request = ToolRequest { route, decoder, arguments_at, index };
    match index {
        // The arguments belong to no type: they are skipped, and what the checks find comes first.
        None => Routed::from(request.refuse_unknown()),
        Some(index) => Routed::Call { call: core.toolset.call(index, request) },
    }
}
