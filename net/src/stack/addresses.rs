//! The addresses of a host's interface: which are its own, which mean everybody on the link, and from which a packet is
//! sent.
//!
//! Loopback addresses belong to every host and are not listed.

use crate::wire::ethernet::MacAddr;
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    pub(crate) addr: IpAddr,
    pub(crate) prefix_len: u8,
}

impl Cidr {
    /// Whether `addr` is of the same network.
    pub(crate) fn contains(&self, addr: IpAddr) -> bool {
        common_prefix(self.addr, addr).is_some_and(|bits| bits >= self.prefix_len)
    }
}

/// `192.168.7.2/24`, or an address alone, which is then a network of its own.
impl FromStr for Cidr {
    type Err = NotCidr;

    fn from_str(text: &str) -> Result<Cidr, NotCidr> {
        let (addr, prefix_len) = match text.split_once('/') {
            Some((addr, len)) => (addr, Some(len.parse().map_err(|_| NotCidr)?)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| NotCidr)?;
        let longest = if addr.is_ipv4() { 32 } else { 128 };
        let prefix_len = prefix_len.unwrap_or(longest);
        if prefix_len > longest { Err(NotCidr) } else { Ok(Cidr { addr, prefix_len }) }
    }
}

/// The text is no address with a length of prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotCidr;

/// How many leading bits two addresses of one family share.
fn common_prefix(a: IpAddr, b: IpAddr) -> Option<u8> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros() as u8),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros() as u8),
        _ => None,
    }
}

/// See the [module](self). The first address of a family is the one that the host is known by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    v4: SmallVec<[V4; 1]>,
    v6: SmallVec<[V6; 2]>,
    /// Whole networks that the host takes for its own (routes of the type `local`).
    local: Vec<Cidr>,
}

#[derive(Clone, Copy, Debug)]
struct V4 {
    addr: Ipv4Addr,
    /// `None` where a network has no such address.
    broadcast: Option<Ipv4Addr>,
    prefix_len: u8,
}

#[derive(Clone, Copy, Debug)]
struct V6 {
    addr: Ipv6Addr,
    prefix_len: u8,
    /// Its preferred lifetime is over (RFC 4862 5.5.4).
    is_deprecated: bool,
}

impl Addresses {
    /// These addresses.
    #[cfg(test)]
    pub(crate) fn new(addrs: &[Cidr]) -> Addresses {
        let mut addresses = Addresses::default();
        addrs.iter().for_each(|&addr| addresses.add(addr));
        addresses
    }

    /// Adds an address.
    pub(crate) fn add(&mut self, Cidr { addr, prefix_len }: Cidr) {
        match addr {
            IpAddr::V4(addr) => {
                let host_bits = u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
                // RFC 3021: a network of two addresses needs none for both.
                let broadcast = (prefix_len < 31).then(|| Ipv4Addr::from_bits(addr.to_bits() | host_bits));
                self.v4.push(V4 { addr, broadcast, prefix_len });
            }
            IpAddr::V6(addr) => self.v6.push(V6 { addr, prefix_len, is_deprecated: false }),
        }
    }

    /// Removes an address of IPv6, and says how it was added.
    pub(crate) fn remove(&mut self, addr: IpAddr) -> Option<Cidr> {
        let at = self.v6.iter().position(|own| IpAddr::V6(own.addr) == addr)?;
        let V6 { prefix_len, .. } = self.v6.remove(at);
        Some(Cidr { addr, prefix_len })
    }

    /// Whether an address of IPv6 is only used where there is no better one.
    pub(crate) fn set_deprecated(&mut self, addr: Ipv6Addr, is_deprecated: bool) {
        for own in self.v6.iter_mut().filter(|own| own.addr == addr) {
            own.is_deprecated = is_deprecated;
        }
    }

    /// Whether `addr` is one of this host's, loopback addresses included.
    #[inline]
    pub(crate) fn is_own(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(addr) => self.is_own_v4(addr) || addr.is_loopback(),
            IpAddr::V6(addr) => self.is_own_v6(addr) || addr.is_loopback(),
        }
    }

    /// Takes every address of a network for the host's own.
    pub(crate) fn add_local(&mut self, network: Cidr) {
        if !self.local.contains(&network) {
            self.local.push(network);
        }
    }

    /// Undoes [`add_local`](Self::add_local).
    pub(crate) fn remove_local(&mut self, network: Cidr) {
        self.local.retain(|own| *own != network);
    }

    #[inline]
    fn is_local(&self, addr: IpAddr) -> bool {
        !self.local.is_empty() && self.local.iter().any(|network| network.contains(addr))
    }

    /// Whether the interface has `addr`.
    #[inline]
    pub(crate) fn is_own_v4(&self, addr: Ipv4Addr) -> bool {
        self.v4.iter().any(|own| own.addr == addr) || self.is_local(addr.into())
    }

    /// The same for IPv6.
    #[inline]
    pub(crate) fn is_own_v6(&self, addr: Ipv6Addr) -> bool {
        self.v6.iter().any(|own| own.addr == addr) || self.is_local(addr.into())
    }

    /// Whether `addr` means everybody on the link.
    #[inline]
    pub(crate) fn is_broadcast(&self, addr: Ipv4Addr) -> bool {
        addr.is_broadcast() || self.v4.iter().any(|own| own.broadcast == Some(addr))
    }

    /// The address from which a packet to `dst` is sent, if there is one.
    #[inline]
    pub(crate) fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        match dst {
            IpAddr::V4(dst) => self.source_v4(dst).map(IpAddr::V4),
            IpAddr::V6(dst) => self.source_v6(dst).map(IpAddr::V6),
        }
    }

    /// `inet_select_addr`: the first of the same network, or else the first.
    fn source_v4(&self, dst: Ipv4Addr) -> Option<Ipv4Addr> {
        if dst.is_loopback() {
            return Some(Ipv4Addr::LOCALHOST);
        }
        if self.is_own_v4(dst) {
            return Some(dst);
        }
        let near = |own: &&V4| Cidr { addr: own.addr.into(), prefix_len: own.prefix_len }.contains(dst.into());
        self.v4.iter().find(near).or(self.v4.first()).map(|own| own.addr)
    }

    /// RFC 6724 section 5, the rules that mean something with one interface: 1 (the same address), 2 (scope), 3 (not
    /// deprecated), 8 (longest common prefix).
    fn source_v6(&self, dst: Ipv6Addr) -> Option<Ipv6Addr> {
        if dst.is_loopback() {
            return Some(Ipv6Addr::LOCALHOST);
        }
        let wanted = scope(dst);
        let rank = |own: &&V6| {
            let (same, scope) = (own.addr == dst, scope(own.addr));
            // Rule 2: the smallest scope that is large enough, or else the largest.
            let fits = scope >= wanted;
            let nearness = if fits { u8::MAX - scope } else { scope };
            let common = common_prefix(own.addr.into(), dst.into()).unwrap_or(0).min(own.prefix_len);
            (same, fits, nearness, !own.is_deprecated, common)
        };
        // The first of equals, where `max_by_key` gives the last.
        self.v6.iter().rev().max_by_key(rank).map(|own| own.addr)
    }

    /// All of them, IPv4 first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Cidr> + '_ {
        let v4 = self.v4.iter().map(|own| Cidr { addr: own.addr.into(), prefix_len: own.prefix_len });
        v4.chain(self.v6.iter().map(|own| Cidr { addr: own.addr.into(), prefix_len: own.prefix_len }))
    }

    /// Those of IPv6.
    pub(crate) fn iter_v6(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.v6.iter().map(|own| own.addr)
    }
}

/// How far an address reaches (RFC 4291 2.7): 2 the link, 14 everywhere.
fn scope(addr: Ipv6Addr) -> u8 {
    const LINK: u8 = 2;
    const GLOBAL: u8 = 14;
    if addr.is_multicast() {
        addr.octets()[1] & 0x0f
    } else if addr.is_unicast_link_local() || addr.is_loopback() {
        LINK
    } else {
        GLOBAL
    }
}

/// The link-local address that a station gives itself (RFC 4291 appendix A).
pub(crate) fn link_local(mac: MacAddr) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(interface_id(mac)))
}

/// The modified EUI-64 of a station.
pub(crate) fn interface_id(MacAddr([a, b, c, d, e, f]): MacAddr) -> u64 {
    u64::from_be_bytes([a ^ 0x02, b, c, 0xff, 0xfe, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(addr: &str, prefix_len: u8) -> Cidr {
        Cidr { addr: addr.parse().unwrap(), prefix_len }
    }

    fn sample() -> Addresses {
        Addresses::new(&[
            cidr("10.0.0.1", 16),
            cidr("192.168.7.2", 24),
            cidr("fd00::1", 64),
            cidr("2001:db8::5", 48),
            cidr("fe80::ff:fe00:1", 64),
        ])
    }

    #[test]
    fn the_source_is_of_the_destinations_network_and_reach() {
        let check = |dst: &str, source: &str| {
            let found = sample().source_for(dst.parse().unwrap());
            assert_eq!(found, Some(source.parse().unwrap()), "{dst}");
        };
        check("10.0.9.9", "10.0.0.1");
        check("192.168.7.9", "192.168.7.2");
        check("192.168.7.2", "192.168.7.2");
        check("8.8.8.8", "10.0.0.1");
        check("127.0.0.9", "127.0.0.1");
        check("fd00::9", "fd00::1");
        check("2001:db8:0:7::1", "2001:db8::5");
        check("fe80::9", "fe80::ff:fe00:1");
        check("ff02::1", "fe80::ff:fe00:1");
        check("ff0e::1", "fd00::1");
        check("::1", "::1");
        check("2001:db8::5", "2001:db8::5");
        assert_eq!(Addresses::new(&[]).source_for("10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn own_addresses_and_everybodys_are_told_apart() {
        let addresses = sample();
        for own in ["10.0.0.1", "192.168.7.2", "127.5.5.5", "fd00::1", "fe80::ff:fe00:1", "::1"] {
            assert!(addresses.is_own(own.parse().unwrap()), "{own}");
        }
        for other in ["10.0.0.2", "192.168.7.1", "fd00::2", "::"] {
            assert!(!addresses.is_own(other.parse().unwrap()), "{other}");
        }
        for (addr, broadcast) in [("10.0.255.255", true), ("192.168.7.255", true), ("10.0.0.255", false)] {
            assert_eq!(addresses.is_broadcast(addr.parse().unwrap()), broadcast, "{addr}");
        }
        assert!(!Addresses::new(&[cidr("10.0.0.1", 31)]).is_broadcast("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn prefixes_are_read_as_ip_prints_them() {
        assert_eq!("192.168.7.2/24".parse(), Ok(cidr("192.168.7.2", 24)));
        assert_eq!("fd00::1".parse(), Ok(cidr("fd00::1", 128)));
        for wrong in ["", "10.0.0.1/33", "10.0.0.1/", "10.0.0/8", "fd00::/129", "10.0.0.1/-1", "host/8"] {
            assert_eq!(wrong.parse::<Cidr>(), Err(NotCidr), "{wrong}");
        }
    }

    #[test]
    fn a_station_makes_its_own_link_local_address() {
        assert_eq!(link_local(MacAddr([2, 0, 0, 0, 0, 1])).to_string(), "fe80::ff:fe00:1");
        assert_eq!(link_local(MacAddr([0x52, 0x54, 0, 1, 2, 3])).to_string(), "fe80::5054:ff:fe01:203");
    }
}
