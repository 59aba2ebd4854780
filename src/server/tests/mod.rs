//! Tests that need several rooms of the server.

mod ledger;
mod reentrancy;
mod streamed;
