//! What a client is called in reports, read from its key.
//!
//! A key holds in its highest bits how the client was identified. The transport makes the keys from these constants.

use crate::lock::lock;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;

/// Where the bits begin that say how a client was identified, so that no two ways give the same key.
pub(crate) const KIND_SHIFT: u32 = 124;

/// Ways to identify a client.
pub(crate) mod kind {
    pub(crate) const THIS_MACHINE: u128 = 1;
    pub(crate) const IPV4: u128 = 2;
    /// The network of an address, its first 64 bits.
    pub(crate) const IPV6: u128 = 3;
    pub(crate) const UNIX: u128 = 4;
    /// A digest of the token.
    pub(crate) const TOKEN: u128 = 5;
    /// A digest of issuer and subject.
    pub(crate) const SUBJECT: u128 = 6;
}

/// The longest name of a token that is shown.
const MAX_NAME_BYTES: usize = 32;
/// So many tokens are known by name.
const MAX_NAMES: usize = 1_024;

/// Keys of tokens and the names that the operator gave them, in the order of the keys. One list for the process: a key
/// stands for one token, whichever server knows it.
static TOKEN_NAMES: Mutex<Vec<(u128, Box<str>)>> = Mutex::new(Vec::new());

/// Has tokens called by their names from now on: those that are short and of visible characters.
pub(crate) fn name_tokens<'n>(names: impl Iterator<Item = (u128, &'n str)>) {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let mut known = lock(&TOKEN_NAMES);
    for (key, name) in names {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
            continue;
        }
        match known.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => known[at].1 = name.into(),
            Err(at) if known.len() < MAX_NAMES => known.insert(at, (key, name.into())),
            Err(_) => {}
        }
    }
}

/// A name, without the lock of the list.
struct Name {
    bytes: [u8; MAX_NAME_BYTES],
    len: usize,
}

impl Name {
    fn of_token(key: u128) -> Option<Self> {
        let known = lock(&TOKEN_NAMES);
        let at = known.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        let name = known[at].1.as_bytes();
        let mut bytes = [0; MAX_NAME_BYTES];
        bytes[..name.len()].copy_from_slice(name);
        Some(Self { bytes, len: name.len() })
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// The client with that key, for people. Tokens without a name and subjects are told apart by a few digits of their digests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientName(pub(crate) u128);

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0 & ((1 << KIND_SHIFT) - 1);
        match self.0 >> KIND_SHIFT {
            kind::THIS_MACHINE => f.write_str("this machine"),
            kind::IPV4 => write!(f, "{}", Ipv4Addr::from(value as u32)),
            kind::IPV6 => write!(f, "{}/64", Ipv6Addr::from(value << 64)),
            kind::UNIX => write!(f, "unix, user {value}"),
            kind::TOKEN => match Name::of_token(self.0) {
                Some(name) => write!(f, "token {}", name.as_str()),
                None => write!(f, "token {:08x}", value as u32),
            },
            kind::SUBJECT => write!(f, "subject {:08x}", value as u32),
            _ => f.write_str("the owner"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_called_by_what_identifies_it() {
        for (kind, value, want) in [
            (kind::THIS_MACHINE, 0, "this machine"),
            (kind::IPV4, 0x7f00_0102, "127.0.1.2"),
            (kind::IPV6, 0x2001_0db8_0000_0007, "2001:db8:0:7::/64"),
            (kind::UNIX, 1_000, "unix, user 1000"),
            (kind::TOKEN, 0xabc_1234_5678, "token 12345678"),
            (kind::SUBJECT, 0x1, "subject 00000001"),
            (0, 0, "the owner"),
        ] {
            assert_eq!(ClientName(kind << KIND_SHIFT | value).to_string(), want);
        }
    }

    #[test]
    fn tokens_have_the_names_that_the_operator_gave_them() {
        let key = |number: u128| kind::TOKEN << KIND_SHIFT | 0xfeed_0000_0000 | number;
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        let shown = |number| ClientName(key(number)).to_string();
        name_tokens(
            [(key(2), "bob"), (key(1), "ann"), (key(3), "a \"b"), (key(4), &*long), (key(5), "")].into_iter(),
        );
        assert_eq!([shown(1), shown(2), shown(3)], ["token ann", "token bob", "token 00000003"]);
        assert_eq!([shown(4), shown(5)], ["token 00000004", "token 00000005"]);
        name_tokens([(key(1), &long[1..])].into_iter());
        assert_eq!([shown(1), shown(2)], [format!("token {}", &long[1..]), "token bob".to_owned()]);
    }
}
