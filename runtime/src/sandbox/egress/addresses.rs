//! Which addresses may a guest reach? Those of the public internet, and what the operator adds. Everything that IANA
//! keeps for special purposes is blocked, where clouds answer their machines above all. Pure. Source: V11.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A network that is blocked.
#[derive(Debug, PartialEq, Eq)]
pub struct Blocked {
    pub network: IpNet,
    /// What it is for, and who says so.
    pub purpose: &'static str,
}

/// What is blocked of IPv4. Source: IANA's registry of special-purpose addresses, and as noted.
const BLOCKED_V4: [Blocked; 17] = [
    v4([0, 0, 0, 0], 8, "this network, RFC 791"),
    v4([10, 0, 0, 0], 8, "a private network, RFC 1918"),
    v4([100, 64, 0, 0], 10, "shared behind a carrier, and one cloud's metadata, RFC 6598"),
    v4([127, 0, 0, 0], 8, "this machine, RFC 1122"),
    v4([168, 63, 129, 16], 32, "a cloud's services for its machines, Azure's documentation"),
    v4([169, 254, 0, 0], 16, "link-local, and clouds' metadata, RFC 3927"),
    v4([172, 16, 0, 0], 12, "a private network, RFC 1918"),
    v4([192, 0, 0, 0], 24, "protocol assignments, and one cloud's metadata, RFC 6890"),
    v4([192, 0, 2, 0], 24, "documentation, RFC 5737"),
    v4([192, 88, 99, 0], 24, "6to4 relays, RFC 7526"),
    v4([192, 168, 0, 0], 16, "a private network, RFC 1918"),
    v4([198, 18, 0, 0], 15, "benchmarks, RFC 2544"),
    v4([198, 51, 100, 0], 24, "documentation, RFC 5737"),
    v4([203, 0, 113, 0], 24, "documentation, RFC 5737"),
    v4([224, 0, 0, 0], 4, "multicast, RFC 5771"),
    v4([255, 255, 255, 255], 32, "broadcast, RFC 919"),
    v4([240, 0, 0, 0], 4, "reserved, RFC 1112"),
];

/// What is blocked of IPv6; the last is all that is not global unicast. Source: as above.
const BLOCKED_V6: [Blocked; 16] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "no address, RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "this machine, RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible, RFC 4291"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "a local translation to IPv4, RFC 8215"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discarded, RFC 6666"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo tunnels to IPv4, RFC 4380"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments, RFC 2928"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation, RFC 3849"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4 tunnels to IPv4, RFC 3056"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation, RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing, RFC 9602"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a private network, and one cloud's metadata, RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local, RFC 4291"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local, RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast, RFC 4291"),
    NOT_GLOBAL,
];

const NOT_GLOBAL: Blocked = v6([0, 0, 0, 0, 0, 0, 0, 0], 0, "not global unicast, RFC 4291");

/// What is global unicast. Source: IANA's IPv6 address space.
const GLOBAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Behind these 96 bits is an IPv4 address to which a gateway translates. Source: RFC 6052.
const TRANSLATED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

const fn v4(octets: [u8; 4], length: u8, purpose: &'static str) -> Blocked {
    let address = Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]);
    Blocked { network: IpNet::V4(Ipv4Net::new_assert(address, length)), purpose }
}

const fn v6(s: [u16; 8], length: u8, purpose: &'static str) -> Blocked {
    let address = Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
    Blocked { network: IpNet::V6(Ipv6Net::new_assert(address, length)), purpose }
}

/// The address to connect to, if a guest may: an IPv4 address that is written in IPv6 is that address. `allowed` are
/// the operator's exceptions.
pub fn check(address: IpAddr, allowed: &[IpNet]) -> Result<IpAddr, &'static Blocked> {
    let address = address.to_canonical();
    if allowed.iter().any(|network| network.contains(&address)) {
        return Ok(address);
    }
    match blocked(address) {
        None => Ok(address),
        Some(blocked) => Err(blocked),
    }
}

fn blocked(address: IpAddr) -> Option<&'static Blocked> {
    match address {
        IpAddr::V4(_) => BLOCKED_V4.iter().find(|blocked| blocked.network.contains(&address)),
        IpAddr::V6(v6) if TRANSLATED.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            // The operator's exceptions are for this machine's side, not for the gateway's.
            blocked(Ipv4Addr::new(a, b, c, d).into())
        }
        IpAddr::V6(v6) => {
            let is_global = |blocked: &&Blocked| blocked.network.prefix_len() == 0 && GLOBAL.contains(&v6);
            BLOCKED_V6.iter().find(|blocked| blocked.network.contains(&address) && !is_global(blocked))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test] // V11
    fn the_first_and_the_last_address_of_each_network_are_blocked() {
        for Blocked { network, .. } in BLOCKED_V4.iter().chain(&BLOCKED_V6) {
            for address in [network.network(), network.broadcast()] {
                assert!(check(address, &[]).is_err(), "{address} of {network}");
            }
        }
    }

    #[test] // V11
    fn what_is_beside_a_blocked_network_is_not_blocked() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.0.1",
            "198.20.0.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2600::1",
            "2606:4700::1111",
            "3ffe:ffff::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            check(address(text), &[]).expect(text);
        }
    }

    #[test] // V11
    fn an_ipv4_address_is_judged_however_it_is_wrapped() {
        for inner in
            ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.168.0.1", "0.0.0.0"]
        {
            let [a, b, c, d] = inner.parse::<Ipv4Addr>().expect("an address").octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for wrapped in [
                format!("::ffff:{inner}"),
                format!("::{inner}"),
                format!("::ffff:0:{inner}"),
                format!("64:ff9b::{inner}"),
                format!("64:ff9b:1::{inner}"),
                format!("2002:{high:x}:{low:x}::1"),
                format!("2001:0:{high:x}:{low:x}::{:x}:{:x}", !high, !low),
            ] {
                assert!(check(address(&wrapped), &[]).is_err(), "{wrapped}");
            }
        }
    }

    #[test] // V11
    fn where_clouds_answer_their_machines_is_blocked() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fe80::a9fe:a9fe",
            "fd20:ce::254",
        ] {
            assert!(check(address(text), &[]).is_err(), "{text}");
        }
    }

    #[test] // V11
    fn an_exception_is_for_its_network_only() {
        let allowed = ["127.0.0.1/32", "10.0.0.0/8"].map(|text| text.parse().expect("a network"));
        for (text, is_allowed) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.9.9.9", true),
            ("::1", false),
            ("64:ff9b::127.0.0.1", false),
            ("::127.0.0.1", false),
            ("192.168.0.1", false),
        ] {
            assert_eq!(check(address(text), &allowed).is_ok(), is_allowed, "{text}");
        }
        assert_eq!(check(address("::ffff:127.0.0.1"), &allowed), Ok(address("127.0.0.1")));
    }

    #[test] // V11
    fn a_block_says_what_it_is() {
        let said = check(address("fd00:ec2::254"), &[]).expect_err("it is blocked");
        assert_eq!((said.network.to_string().as_str(), said.purpose.contains("metadata")), ("fc00::/7", true));
    }
}
