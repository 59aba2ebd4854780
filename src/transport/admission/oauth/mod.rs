//! The server as an OAuth 2.1 resource server: access tokens (JWT, RFC 9068) checked, and metadata (RFC 9728)
//! that tells clients where to get them.
//!
//! A token that was found good is remembered by its digest until it expires or its key goes, so that the next
//! request with it costs a hash. Keys come from a file or a URL and follow their rotation; while a URL fails, its last
//! keys stay in force. `token` checks tokens and `jwk` keys; every MUST of the RFCs has a row in their tests. A
//! principal is the pair of subject and client: RFC 9068 demands both of every token, and a client that registered
//! itself under a user's name is still not that user.

#[cfg(test)]
mod clauses;
#[cfg(test)]
mod issuer;
mod jwk;
mod key_store;
mod resource_server;
mod settings;
mod strict_json;
mod token;

pub use settings::{KeySource, OAuthConfig};

pub(super) use resource_server::ResourceServer;
