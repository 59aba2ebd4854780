//! One table of cases over every transport: Streamable HTTP over TCP and over a Unix socket, and newline-framed
//! messages over a Unix socket. It covers what the official conformance suite leaves out.
//!
//! The server is the one of `examples/conformance`; every answer is checked against the official schema's shape
//! where the tests of the protocol do it, and here for what is particular to a transport: status, headers, streams.

#[path = "transports/cases.rs"]
mod cases;
#[path = "../examples/conformance/definitions.rs"]
mod definitions;
#[path = "transports/half_closed.rs"]
mod half_closed;
#[path = "transports/host.rs"]
mod host;
#[path = "transports/in_flight.rs"]
mod in_flight;
#[path = "../examples/conformance/inputs.rs"]
mod inputs;
#[path = "../examples/conformance/prompts.rs"]
mod prompts;
#[path = "../examples/conformance/resources.rs"]
mod resources;
#[path = "transports/sessions.rs"]
mod sessions;
#[path = "transports/streams.rs"]
mod streams;
#[path = "../examples/conformance/tasks.rs"]
mod tasks;
#[path = "../examples/conformance/tools.rs"]
mod tools;
#[path = "transports/wrong_types.rs"]
mod wrong_types;
