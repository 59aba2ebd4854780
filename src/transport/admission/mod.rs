//! Who may come in: names that requests are addressed to, pages that send them, tokens, and how often.
//!
//! Told from the head of a request, before its body is read. Invariants: nothing here prints a token, or
//! compares one in a time that depends on it; an admitted request without a new access token allocates nothing.

mod admit;
mod config;
mod error;
mod names;
#[cfg(feature = "oauth")]
mod oauth;
mod principal;
mod rate;
mod refusal;
mod tokens;

pub use config::{AdmissionConfig, Auth, check_exposure};
pub use error::AdmissionError;
#[cfg(feature = "oauth")]
pub use oauth::{KeySource, OAuthConfig};
pub use tokens::{TokenFile, TokenList};

pub(crate) use admit::{Admission, Credentials};
pub(crate) use principal::{Admitted, PeerAddress, Principal};
pub(crate) use refusal::{OTHER_USER, Refusal};
