//! Why a request is refused, and the status and text of the answer.

use super::principal::Principal;
use std::fmt;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    /// A page of another site, by what its browser says (`Sec-Fetch-Site`).
    FetchSite,
    /// A process of another user on a Unix socket without tokens.
    OtherUser,
    /// No token, or one that is not accepted.
    Unauthorized {
        challenge: Box<str>,
        is_expected: bool,
    },
    /// A valid token that lacks a scope.
    #[cfg_attr(not(feature = "oauth"), allow(dead_code, reason = "only access tokens have scopes"))]
    Forbidden {
        challenge: Box<str>,
    },
    TooMany {
        retry_after_seconds: u32,
        principal: Principal,
    },
    /// A batch with more messages than are ever admitted at once.
    TooLong {
        request_burst: usize,
    },
    /// Too many invalid tokens.
    TooManyFailures {
        retry_after_seconds: u32,
    },
}

/// The message to a process of another user.
pub(crate) const OTHER_USER: &str = "This socket is for processes of the server's own user and of root; those of \
    others need a token, sent over HTTP (setting token_file or oauth_issuer)";

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "Host not allowed: this server is not known by that name (setting allowed_hosts)",
            Self::Origin => "Origin not allowed: pages of that origin may not call (setting allowed_origins)",
            Self::FetchSite => {
                "Sec-Fetch-Site not allowed: pages of other sites may not call (setting allowed_origins)"
            }
            Self::OtherUser => OTHER_USER,
            Self::Unauthorized { is_expected: true, .. } => "Authorization required: send a bearer token",
            Self::Unauthorized { .. } => "The bearer token is not accepted",
            Self::Forbidden { .. } => "The bearer token lacks a scope",
            Self::TooMany { .. } => "Too many requests (setting requests_per_second)",
            Self::TooLong { request_burst } => {
                return write!(
                    f,
                    "A batch of more than {request_burst} messages is never let in (setting request_burst)"
                );
            }
            Self::TooManyFailures { .. } => {
                "Too many tokens from this address were not accepted (setting max_auth_failures_per_minute)"
            }
        })
    }
}

impl Refusal {
    /// The status of the answer.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Host | Self::Origin | Self::FetchSite | Self::OtherUser | Self::Forbidden { .. } => 403,
            Self::Unauthorized { .. } => 401,
            Self::TooMany { .. } | Self::TooLong { .. } | Self::TooManyFailures { .. } => 429,
        }
    }

    /// The value of `WWW-Authenticate`.
    pub(crate) fn challenge(&self) -> Option<&str> {
        match self {
            Self::Unauthorized { challenge, .. } | Self::Forbidden { challenge } => Some(challenge),
            _ => None,
        }
    }

    /// After how many seconds another request may be admitted.
    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::TooMany { retry_after_seconds, .. } | Self::TooManyFailures { retry_after_seconds } => {
                Some(*retry_after_seconds)
            }
            _ => None,
        }
    }

    /// Who is refused, where more than the address is known.
    pub(crate) fn principal(&self) -> Option<Principal> {
        match self {
            Self::TooMany { principal, .. } => Some(*principal),
            _ => None,
        }
    }
}
