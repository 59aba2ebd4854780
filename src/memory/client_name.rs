//! What a client is called in reports, read from its key.
//!
//! A key holds in its highest bits how the client was identified. The transport makes the keys from these constants.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

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

/// The client with that key, for people. Tokens and subjects are told apart by a few digits of their digests.
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
            kind::TOKEN => write!(f, "token {:08x}", value as u32),
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
}
