//! An address and a port, of either family, in as few bytes as a table of many flows wants; and the family of a socket.
//!
//! Inside the stack an IPv4 address is an IPv4 address: the form `::ffff:a.b.c.d`, under which a socket of IPv6 sees it,
//! is taken off where the program's addresses come in and put back where they go out.

use crate::stack::error::SocketError;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// A transport with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proto {
    Tcp,
    Udp,
}

/// One end of a flow. It has no scope: a host has one interface, which is the scope of every link-local address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    ip: IpAddr,
    port: u16,
}

impl Endpoint {
    /// This port of this address.
    #[inline]
    pub(crate) const fn new(ip: IpAddr, port: u16) -> Endpoint {
        Endpoint { ip, port }
    }

    /// The address.
    #[inline]
    pub(crate) const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The port.
    #[inline]
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Endpoint {
        Endpoint { ip: addr.ip().to_canonical(), port: addr.port() }
    }
}

/// One word of IPv4, three of IPv6.
impl Hash for Endpoint {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.ip {
            IpAddr::V4(ip) => state.write_u64(word_of(ip, self.port)),
            IpAddr::V6(ip) => {
                let [high, low] = halves(ip);
                state.write_u64(high);
                state.write_u64(low);
                state.write_u64(self.port.into());
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.ip, self.port).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address and port of IPv4 in one word.
#[inline]
pub(crate) fn word_of(ip: Ipv4Addr, port: u16) -> u64 {
    u64::from(ip.to_bits()) << 16 | u64::from(port)
}

/// An address of IPv6 in two.
#[inline]
pub(crate) fn halves(ip: Ipv6Addr) -> [u64; 2] {
    [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64]
}

/// The family that a socket was opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    /// Unless IPV6_V6ONLY is set, it speaks IPv4 as well, and sees those addresses mapped.
    V6 {
        only: bool,
    },
}

impl Family {
    /// The family of a socket that is opened for this address. As Linux's default, one of IPv6 is open to both.
    pub(crate) fn of(addr: &SocketAddr) -> Family {
        if addr.is_ipv4() { Family::V4 } else { Family::V6 { only: false } }
    }

    /// Whether a socket of this family can have to do with an address.
    pub(crate) fn speaks(self, ip: IpAddr) -> bool {
        match self {
            Family::V4 => ip.is_ipv4(),
            Family::V6 { only } => ip.is_ipv6() || !only,
        }
    }

    /// An end as a program sees it that uses a socket of this family.
    pub(crate) fn show(self, end: Endpoint) -> SocketAddr {
        match (self, end.ip) {
            (Family::V6 { .. }, IpAddr::V4(ip)) => (ip.to_ipv6_mapped(), end.port).into(),
            (_, IpAddr::V6(ip)) if needs_scope(ip) => SocketAddrV6::new(ip, end.port, 0, INTERFACE).into(),
            (_, ip) => (ip, end.port).into(),
        }
    }
}

/// A destination as a socket of this family means it. Linux takes "any" for "this host".
pub(crate) fn destination(family: Family, to: SocketAddr) -> Result<Endpoint, SocketError> {
    let end = Endpoint::from(to);
    if !family.speaks(end.ip()) {
        return Err(match family {
            Family::V4 => SocketError::AddrFamilyNotSupported,
            Family::V6 { .. } => SocketError::NetworkUnreachable,
        });
    }
    Ok(match end.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Endpoint::new(Ipv4Addr::LOCALHOST.into(), end.port()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Endpoint::new(Ipv6Addr::LOCALHOST.into(), end.port()),
        _ => end,
    })
}

/// The number of a host's only interface, beside its loopback's 1.
pub(crate) const INTERFACE: u32 = 2;

/// Whether an address means something on one link only (`__ipv6_addr_needs_scope_id`).
pub(crate) fn needs_scope(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.octets();
    ip.is_unicast_link_local() || (first == 0xff && matches!(second & 0x0f, 1 | 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_taken_off_and_put_back() {
        let check = |family: &str, end: &str, shown: &str| {
            let family = Family::of(&family.parse().unwrap());
            assert_eq!(family.show(Endpoint::from(end.parse::<SocketAddr>().unwrap())).to_string(), shown);
        };
        check("0.0.0.0:0", "10.0.0.1:80", "10.0.0.1:80");
        check("0.0.0.0:0", "[::ffff:10.0.0.1]:80", "10.0.0.1:80");
        check("[::]:0", "10.0.0.1:80", "[::ffff:10.0.0.1]:80");
        check("[::]:0", "[fd00::1]:80", "[fd00::1]:80");
        check("[::]:0", "[fe80::1]:80", "[fe80::1%2]:80");
        check("[::]:0", "[ff02::1]:80", "[ff02::1%2]:80");
        check("[::]:0", "[ff05::1]:80", "[ff05::1]:80");
    }

    #[test]
    fn a_socket_of_ipv6_speaks_ipv4_unless_it_was_told_not_to() {
        let (four, six) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from(Ipv6Addr::LOCALHOST));
        assert!(Family::V4.speaks(four) && !Family::V4.speaks(six));
        assert!(Family::V6 { only: false }.speaks(four) && Family::V6 { only: false }.speaks(six));
        assert!(!Family::V6 { only: true }.speaks(four) && Family::V6 { only: true }.speaks(six));
    }

    #[test]
    fn an_end_is_small() {
        assert!(size_of::<Endpoint>() <= 20, "{}", size_of::<Endpoint>());
    }
}
