//! Which addresses are public: those that any host of the internet could have been asked for.
//!
//! All others are refused by default, as a page could otherwise make the server ask what only it can reach: services of
//! this machine, of its network, or of the cloud that it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Tells whether an address may be asked.
pub(crate) type AddressRule = fn(IpAddr) -> bool;

/// IPv4 networks that are not public, with the length of their prefix.
const PRIVATE_V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    // Carriers share these among their customers; one cloud has its metadata here.
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Link-local; most clouds have their metadata here.
    ([169, 254, 0, 0], 16),
    // Azure has services for its machines at this address.
    ([168, 63, 129, 16], 32),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, then reserved, with the broadcast address.
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
    ([255, 255, 255, 255], 32),
];
/// Anycast services inside those networks.
const PUBLIC_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 9), Ipv4Addr::new(192, 0, 0, 10)];

/// What of `2000::/3`, the only part of IPv6 that is given out, is not public.
const PRIVATE_V6: [([u16; 8], u32); 4] = [
    // Special purposes, among them Teredo, whose addresses carry one of IPv4.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    // 6to4: its addresses carry one of IPv4.
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];
/// Services inside those networks.
const PUBLIC_V6: [([u16; 8], u32); 6] = [
    ([0x2001, 1, 0, 0, 0, 0, 0, 1], 128),
    ([0x2001, 1, 0, 0, 0, 0, 0, 2], 128),
    ([0x2001, 3, 0, 0, 0, 0, 0, 0], 32),
    ([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28),
    ([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28),
];
/// The prefix by which gateways make an address of IPv6 from one of IPv4 (RFC 6052): who is asked is the latter.
const NAT64: ([u16; 8], u32) = ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const GIVEN_OUT: ([u16; 8], u32) = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Domains that are never of the internet, whoever looks them up, and names by which clouds give their metadata.
const PRIVATE_NAMES: [&str; 11] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "svc",
    "home.arpa",
    "lan",
    "metadata.goog",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
];

/// Whether the name `host` is known to be of this machine, of its network or of its cloud. It is refused without being
/// looked up, as a proxy would look it up where this machine cannot see it. An address is not a name.
pub(crate) fn is_private_name(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name.contains(':') || name.parse::<IpAddr>().is_ok() {
        return false;
    }
    // No public host has a name without a dot; `metadata` and `instance-data` are such.
    let is_within = |domain: &&str| {
        name.strip_suffix(*domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    !name.contains('.') || PRIVATE_NAMES.iter().any(is_within)
}

/// Whether `address` is public. One of IPv6 that carries one of IPv4 is as public as that.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None if within_v6(address, NAT64) => is_public_v4(low_v4(address)),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let within = |&(network, length): &([u8; 4], u32)| {
        (address.to_bits() ^ Ipv4Addr::from(network).to_bits()).leading_zeros() >= length
    };
    PUBLIC_V4.contains(&address) || !PRIVATE_V4.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let listed = |networks: &[([u16; 8], u32)]| networks.iter().any(|network| within_v6(address, *network));
    within_v6(address, GIVEN_OUT) && (listed(&PUBLIC_V6) || !listed(&PRIVATE_V6))
}

fn within_v6(address: Ipv6Addr, (network, length): ([u16; 8], u32)) -> bool {
    (address.to_bits() ^ Ipv6Addr::from(network).to_bits()).leading_zeros() >= length
}

fn low_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "168.63.129.15 168.63.129.17 \
        1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
        169.253.255.255 172.15.255.255 172.32.0.0 192.0.0.9 192.0.1.0 192.167.255.255 198.17.255.255 \
        198.20.0.0 223.255.255.255 2606:4700::1111 2001:200::1 2001:4860:4860::8888 2a00:1450::1 \
        2001:20::1 64:ff9b::8.8.8.8 ::ffff:8.8.8.8";
    const PRIVATE: &str = "168.63.129.16 ::ffff:168.63.129.16 \
        0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 169.254.169.254 \
        172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 \
        198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: \
        ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 \
        ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 \
        2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 \
        3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1";

    #[test]
    fn names_that_are_never_public_are_known() {
        for name in "localhost LOCALHOST localhost. localhost.. a.localhost a.b.LocalHost. localhost.localdomain \
            ip6-localhost metadata metadata. metadata.google.internal Metadata.Google.Internal. \
            host.docker.internal instance-data instance-data.ec2.internal printer.local kubernetes.default.svc \
            a.svc.cluster.local router.home.arpa metadata.goog metadata.tencentyun.com metadata.packet.net \
            metadata.platformequinix.com"
            .split_whitespace()
        {
            assert!(is_private_name(name), "{name}");
        }
        for name in
            "example.com localhost.example.com metadata.example.com internal.example mylocalhost.example \
            notlocal.example local.example. 8.8.8.8 127.0.0.1 ::1 [::1] [2606:4700::1111]"
                .split_whitespace()
        {
            assert!(!is_private_name(name), "{name}");
        }
    }

    #[test]
    fn only_public_addresses_are_public() {
        for (addresses, want) in [(PUBLIC, true), (PRIVATE, false)] {
            for address in addresses.split_whitespace() {
                assert_eq!(is_public(address.parse().expect("an address")), want, "{address}");
            }
        }
    }
}
