//! Who a request comes from: its address, and the principal that stands for its sender.

use crate::memory::{KIND_SHIFT, kind};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerAddress {
    Ip(IpAddr),
    /// A process of that user, as the system reports it.
    Unix {
        uid: u32,
    },
}

impl PeerAddress {
    /// Whether the peer may do what this process may anyway, as a process of the same user or of root. The mode of
    /// the socket does not tell: a service manager or `chmod` may have opened it to all users.
    pub(crate) fn is_own_user(self) -> bool {
        match self {
            Self::Unix { uid } => uid == 0 || uid == rustix::process::geteuid().as_raw(),
            Self::Ip(_) => false,
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { uid } => write!(f, "user {uid}"),
        }
    }
}

/// The addresses of `localhost`.
const THIS_MACHINE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The sender of a request, as a key to compare. It is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Principal(u128);

impl Principal {
    fn new(kind: u128, digest: u128) -> Self {
        Self(kind << KIND_SHIFT | digest & ((1 << KIND_SHIFT) - 1))
    }

    /// The principal of a connection that is known by its address alone.
    pub(crate) fn of_peer(peer: PeerAddress) -> Self {
        match peer {
            // One machine has two loopback addresses: both are the same principal.
            PeerAddress::Ip(address) if THIS_MACHINE.contains(&address) => Self::new(kind::THIS_MACHINE, 0),
            PeerAddress::Ip(IpAddr::V4(address)) => Self::new(kind::IPV4, u128::from(u32::from(address))),
            // With IPv6, a machine has many addresses of one network and changes them.
            PeerAddress::Ip(IpAddr::V6(address)) => Self::new(kind::IPV6, u128::from(address) >> 64),
            PeerAddress::Unix { uid } => Self::new(kind::UNIX, u128::from(uid)),
        }
    }

    pub(super) fn of_token(digest: &[u8; 32]) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self::new(kind::TOKEN, u128::from_be_bytes(key))
    }

    pub(super) fn is_of_token(self) -> bool {
        self.0 >> KIND_SHIFT == kind::TOKEN
    }

    #[cfg(feature = "oauth")]
    pub(super) fn of_subject(digest: &[u8; 32]) -> Self {
        Self::new(kind::SUBJECT, Self::of_token(digest).0)
    }

    /// The principal of a key that [`Principal::key`] gave.
    pub(super) fn of_key(key: u128) -> Self {
        Self(key)
    }

    pub(crate) fn key(self) -> u128 {
        self.0
    }
}

/// An admitted sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdmittedPeer {
    pub(crate) principal: Principal,
    /// Whether it may read what concerns the operator.
    pub(crate) is_admin: bool,
}
