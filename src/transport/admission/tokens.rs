//! Bearer tokens that the server was given. Only their digests are kept.
//!
//! A token file is read again when it changes: a token that was removed is refused from the next request on. A file
//! that is invalid or holds no token changes nothing: an editor's half-finished write must not lock all clients out.

use super::error::AdmissionError;
use super::principal::Principal;
use super::refusal::Refusal;
use crate::memory::name_tokens;
use crate::watched_file::{self, WatchedFile};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use subtle::ConstantTimeEq;

/// Tokens shorter than this can be guessed.
const MIN_TOKEN_BYTES: usize = 16;

/// A list of bearer tokens.
///
/// ```
/// use mcpool::transport::admission::TokenList;
///
/// assert!(TokenList::parse("anna:a-token-that-nobody-guesses").is_ok());
/// assert!(TokenList::parse("short").is_err());
/// ```
#[derive(Clone, PartialEq)]
pub struct TokenList {
    tokens: Vec<Token>,
}

#[derive(Clone, PartialEq)]
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
    /// nothing. Reports and logs call who comes with a token by its name, if that has at most 32 visible characters.
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
            let (name, token) = line.split_once(':').unwrap_or(("", line));
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

    /// Reads tokens from a file, once; warns when others can read it too.
    ///
    /// # Errors
    /// When the file cannot be read, and as for [`TokenList::parse`].
    pub fn read(path: &Path) -> Result<Self, AdmissionError> {
        let unreadable = |source| AdmissionError::Unreadable { path: path.to_owned(), source };
        let (bytes, metadata) =
            watched_file::read_with_metadata(path, watched_file::MAX_BYTES).map_err(unreadable)?;
        let list = Self::parse(&watched_file::text(bytes).map_err(unreadable)?)?;
        if can_be_read_by_others(&metadata) {
            tracing::warn!("{} can be read by others: chmod 600 it", path.display());
        }
        Ok(list)
    }

    /// Has reports and logs call the tokens by their names.
    pub(super) fn tell_names(&self) {
        name_tokens(self.tokens.iter().map(|token| (Principal::of_token(&token.digest).key(), &*token.name)));
    }

    fn principals(&self) -> impl Iterator<Item = Principal> + '_ {
        self.tokens.iter().map(|token| Principal::of_token(&token.digest))
    }

    /// The principal of the token in the header. Every token is compared, in a time that depends on none of them.
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

#[cfg(unix)]
fn can_be_read_by_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

/// A file of tokens, read again when it changes. Clones share what was read.
///
/// ```no_run
/// use mcpool::transport::admission::{AdmissionConfig, Auth, TokenFile};
///
/// let auth = Auth::TokenFile(TokenFile::open("tokens".as_ref())?);
/// let config = AdmissionConfig { auth, ..AdmissionConfig::default() };
/// # Ok::<(), mcpool::transport::admission::AdmissionError>(())
/// ```
#[derive(Clone)]
pub struct TokenFile {
    shared: Arc<Shared>,
}

struct Shared {
    followed: WatchedFile<TokenList>,
    /// How often tokens were removed from the file.
    removals: AtomicU64,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenFile").field(&self.shared.followed.path()).finish()
    }
}

impl TokenFile {
    /// Reads the file for the first time; warns when others can read it too.
    ///
    /// # Errors
    /// As for [`TokenList::read`].
    pub fn open(path: &Path) -> Result<Self, AdmissionError> {
        let followed = WatchedFile::open(path, TokenList::read)?;
        followed.current().tell_names();
        Ok(Self { shared: Arc::new(Shared { followed, removals: AtomicU64::new(0) }) })
    }

    /// The principal of the token in the header, if the file holds the token now.
    pub(super) fn identify(&self, authorization: Option<&[u8]>) -> Result<Principal, Refusal> {
        self.follow(false);
        self.shared.followed.current().identify(authorization)
    }

    /// Reads the file again if it has changed, or anyway.
    pub(super) fn follow(&self, is_forced: bool) {
        let Some(before) = self.shared.followed.reload(is_forced, TokenList::read) else { return };
        let path = self.shared.followed.path().display();
        let removed = before.principals().filter(|principal| !self.knows(*principal)).count();
        self.shared.followed.current().tell_names();
        tracing::info!(%path, removed, "the tokens were read again");
        if removed > 0 {
            self.shared.removals.fetch_add(1, Ordering::Release);
        }
    }

    /// How often tokens were removed from the file. When the number changes, some principals are no longer admitted.
    pub(super) fn removals(&self) -> u64 {
        self.shared.removals.load(Ordering::Acquire)
    }

    /// Whether the token of a principal is in the file.
    pub(super) fn knows(&self, principal: Principal) -> bool {
        self.shared.followed.current().principals().any(|known| known == principal)
    }
}

/// The token of an `Authorization` header: one, of the characters that RFC 6750 allows.
pub(super) fn bearer(authorization: Option<&[u8]>) -> Option<&[u8]> {
    const MAX_TOKEN_BYTES: usize = 8 * 1024;
    let (scheme, token) = authorization?.split_at_checked(7)?;
    let token = token.trim_ascii();
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let is_good = scheme.eq_ignore_ascii_case(b"Bearer ")
        && (1..=MAX_TOKEN_BYTES).contains(&token.len())
        && token.iter().all(is_token);
    is_good.then_some(token)
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

    /// Each content of the file takes effect at once, with no state in between.
    #[test]
    fn a_file_is_followed_and_what_cannot_be_used_changes_nothing() {
        const ANN: &str = "ann-0123456789abcdef";
        const BOB: &str = "bob-0123456789abcdef";
        let folder = tempfile::tempdir().expect("a folder");
        let (path, next) = (folder.path().join("tokens"), folder.path().join("next"));
        let write = |text: &[u8]| std::fs::write(&path, text).expect("written");
        let replace = |text: &[u8]| {
            std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, &path)).expect("replaced");
        };
        write(ANN.as_bytes());
        let tokens = TokenFile::open(&path).expect("tokens");
        let comes_in = |token: &str| tokens.identify(Some(format!("Bearer {token}").as_bytes())).is_ok();
        let both = format!("{ANN}\n{BOB}\n");
        let huge = vec![b'#'; 2 << 20];
        for (what, text, want) in [
            ("one more", both.as_bytes(), [true, true]),
            ("one less", BOB.as_bytes(), [false, true]),
            ("nothing", b"", [false, true]),
            ("no token", b"# all gone\n", [false, true]),
            ("a short one", b"short", [false, true]),
            ("no text", b"\xff\xfe", [false, true]),
            ("too much", &huge, [false, true]),
            ("back again", ANN.as_bytes(), [true, false]),
            ("and again", BOB.as_bytes(), [false, true]),
        ] {
            for change in [&write as &dyn Fn(&[u8]), &replace] {
                change(text);
                assert_eq!([comes_in(ANN), comes_in(BOB)], want, "{what}");
            }
        }
        assert_eq!(tokens.removals(), 3, "ann left twice, bob once");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!([comes_in(ANN), comes_in(BOB)], [false, true], "gone");
        std::fs::create_dir(&path).expect("made");
        assert_eq!([comes_in(ANN), comes_in(BOB)], [false, true], "a folder");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = TokenList::read(Path::new("/nowhere/tokens")).expect_err("missing").to_string();
        assert!(error.starts_with("cannot read /nowhere/tokens"), "{error}");
    }
}
