//! Bearer tokens that the server was given. Only their digests are kept.

use super::{AdmissionError, Principal, Refusal, bearer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use subtle::ConstantTimeEq;

/// Tokens shorter than this can be guessed.
const MIN_TOKEN_BYTES: usize = 16;

/// A list of bearer tokens.
#[derive(Clone)]
pub struct TokenList {
    tokens: Vec<Token>,
}

#[derive(Clone)]
struct Token {
    name: Box<str>,
    digest: [u8; 32],
}

impl fmt::Debug for TokenList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tokens.iter().map(|token| &token.name)).finish()
    }
}

impl TokenList {
    /// Reads tokens: one a line, `NAME:TOKEN` or `TOKEN`; empty lines and those that begin with `#` mean
    /// nothing.
    ///
    /// # Errors
    /// When a token is shorter than 16 bytes or has characters that no header may carry, or when there is none.
    pub fn parse(text: &str) -> Result<Self, AdmissionError> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse = |fault| Err(AdmissionError::Token { line: index + 1, fault });
            let (name, token) = line.split_once(':').unwrap_or(("unnamed", line));
            if token.len() < MIN_TOKEN_BYTES {
                return refuse("a token must have at least 16 characters, or it can be guessed");
            }
            if bearer(Some(format!("Bearer {token}").as_bytes())).is_none() {
                return refuse("a token may have letters, digits and -._~+/= only");
            }
            tokens.push(Token { name: name.into(), digest: Sha256::digest(token).into() });
        }
        if tokens.is_empty() { Err(AdmissionError::NoToken) } else { Ok(Self { tokens }) }
    }

    /// Reads tokens from a file; warns when others can read it too.
    ///
    /// # Errors
    /// When the file cannot be read, and as for [`TokenList::parse`].
    pub fn read(path: &Path) -> Result<Self, AdmissionError> {
        let unreadable = |source| AdmissionError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode();
            if mode & 0o077 != 0 {
                tracing::warn!("{} can be read by others: chmod 600 it", path.display());
            }
        }
        Self::parse(&text)
    }

    /// Who shows one of the tokens. Every token is compared, in a time that depends on none of them.
    pub(super) fn identify(&self, authorization: Option<&[u8]>) -> Result<Principal, Refusal> {
        let refuse = |is_expected| {
            let challenge = if is_expected { "Bearer" } else { r#"Bearer error="invalid_token""# };
            Err(Refusal::Unauthorized { challenge: challenge.into(), is_expected })
        };
        let Some(token) = bearer(authorization) else { return refuse(authorization.is_none()) };
        let shown: [u8; 32] = Sha256::digest(token).into();
        let mut is_known = subtle::Choice::from(0);
        for token in &self.tokens {
            is_known |= token.digest.ct_eq(&shown);
        }
        if bool::from(is_known) { Ok(Principal::of_token(&shown)) } else { refuse(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tokens_come_in_and_each_is_somebody() {
        let list =
            TokenList::parse("# of the team\n\nann:0123456789abcdef\n 9876543210fedcba \n").expect("tokens");
        let identify = |header: &str| list.identify(Some(header.as_bytes()));
        let ann = identify("Bearer 0123456789abcdef").expect("known");
        let other = identify("bearer 9876543210fedcba").expect("known");
        assert_ne!(ann, other);
        for header in
            ["Bearer 0123456789abcdeF", "Bearer ann:0123456789abcdef", "Basic 0123456789abcdef", "Bearer "]
        {
            let refused = identify(header).expect_err(header);
            assert_eq!(refused.status(), 401);
            assert_eq!(refused.challenge(), Some(r#"Bearer error="invalid_token""#));
        }
        let refused = list.identify(None).expect_err("nothing shown");
        assert_eq!((refused.status(), refused.challenge()), (401, Some("Bearer")));
    }

    #[test]
    fn lists_of_no_use_are_refused() {
        for (text, want) in [
            ("", "there is no token"),
            ("# only this", "there is no token"),
            ("short", "line 1 of the tokens: a token must have at least 16"),
            ("ok:0123456789abcdef\nbad:0123456789 abcdef", "line 2 of the tokens: a token may have"),
        ] {
            let error = TokenList::parse(text).expect_err(text).to_string();
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn nothing_prints_a_token() {
        let list = TokenList::parse("ann:0123456789abcdef").expect("a token");
        let error = TokenList::parse("ann:shh-secret").expect_err("short");
        for printed in [format!("{list:?}"), format!("{error:?} {error}")] {
            assert!(!printed.contains("0123456789abcdef") && !printed.contains("shh-secret"), "{printed}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = TokenList::read(Path::new("/nowhere/tokens")).expect_err("missing").to_string();
        assert!(error.starts_with("cannot read /nowhere/tokens"), "{error}");
    }
}
