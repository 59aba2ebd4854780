//! Which requests are admitted: by the host they are addressed to, their origin, their token, and their rate.
//!
//! Admission reads the head of a request and not its body. Invariants: nothing here prints a token, or
//! compares one in a time that depends on it; an admitted request without a new access token allocates nothing.

mod admit;
mod config;
mod error;
mod gate;
mod host_and_origin;
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
#[cfg(feature = "cli")]
pub(crate) use gate::Gate;
pub(crate) use gate::RequestSource;
pub(crate) use principal::{AdmittedPeer, PeerAddress, Principal};
pub(crate) use refusal::{OTHER_USER, Refusal};
