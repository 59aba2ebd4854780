//! Tests that need several rooms of the server.

pub(crate) mod fair_answers;
mod ledger;
mod reentrancy;
mod streamed;
