//! Ethernet II frames: destination, source, type.

use crate::wire::malformed::Malformed;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MacAddr(pub(crate) [u8; 6]);

impl MacAddr {
    /// Everybody on the link.
    pub(crate) const BROADCAST: MacAddr = MacAddr([0xff; 6]);

    /// The group of everybody who listens to a multicast address of IPv4 (RFC 1112 6.4).
    pub(crate) const fn of_group_v4(group: Ipv4Addr) -> MacAddr {
        let [_, b, c, d] = group.octets();
        MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The same for IPv6 (RFC 2464 section 7).
    pub(crate) const fn of_group_v6(group: Ipv6Addr) -> MacAddr {
        let [.., a, b, c, d] = group.octets();
        MacAddr([0x33, 0x33, a, b, c, d])
    }

    /// Whether it names a group, to which the broadcast address belongs.
    pub(crate) const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EtherType {
    Ipv4,
    Arp,
    Ipv6,
    Other(u16),
}

impl From<u16> for EtherType {
    fn from(number: u16) -> EtherType {
        match number {
            0x0800 => EtherType::Ipv4,
            0x0806 => EtherType::Arp,
            0x86dd => EtherType::Ipv6,
            other => EtherType::Other(other),
        }
    }
}

impl From<EtherType> for u16 {
    fn from(ethertype: EtherType) -> u16 {
        match ethertype {
            EtherType::Ipv4 => 0x0800,
            EtherType::Arp => 0x0806,
            EtherType::Ipv6 => 0x86dd,
            EtherType::Other(other) => other,
        }
    }
}

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EtherType::Ipv4 => f.write_str("IPv4"),
            EtherType::Arp => f.write_str("ARP"),
            EtherType::Ipv6 => f.write_str("IPv6"),
            EtherType::Other(_) => f.write_str("Unknown"),
        }
    }
}

/// The header over its bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EthernetBytes {
    dst: [u8; 6],
    src: [u8; 6],
    ethertype: U16,
}

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EthernetHeader {
    pub(crate) dst: MacAddr,
    pub(crate) src: MacAddr,
    pub(crate) ethertype: EtherType,
}

impl EthernetHeader {
    /// The header's length in bytes.
    pub(crate) const LEN: usize = size_of::<EthernetBytes>();

    /// Reads the header at the start of `frame`; the payload follows at [`LEN`](Self::LEN).
    #[inline]
    pub(crate) fn parse(frame: &[u8]) -> Result<EthernetHeader, Malformed> {
        let (bytes, _) = EthernetBytes::ref_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
        let ethertype = EtherType::from(bytes.ethertype.get());
        Ok(EthernetHeader { dst: MacAddr(bytes.dst), src: MacAddr(bytes.src), ethertype })
    }

    /// Writes the header.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8; EthernetHeader::LEN]) {
        let bytes = EthernetBytes { dst: self.dst.0, src: self.src.0, ethertype: u16::from(self.ethertype).into() };
        out.copy_from_slice(bytes.as_bytes());
    }
}

impl fmt::Display for EthernetHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EthernetHeader { dst, src, ethertype } = self;
        write!(f, "{src} > {dst}, ethertype {ethertype} ({:#06x})", u16::from(*ethertype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_as_tcpdump() {
        let (dst, src) = (MacAddr::BROADCAST, MacAddr([2, 0, 0, 0, 0, 1]));
        let header = EthernetHeader { dst, src, ethertype: EtherType::Arp };
        assert_eq!(header.to_string(), "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ethertype ARP (0x0806)");
        assert!(dst.is_multicast() && !src.is_multicast());
        assert_eq!(MacAddr::of_group_v4(Ipv4Addr::new(239, 129, 2, 3)).to_string(), "01:00:5e:01:02:03");
        assert_eq!(MacAddr::of_group_v6("ff02::1:ff12:3456".parse().unwrap()).to_string(), "33:33:ff:12:34:56");
    }

    proptest! {
        #[test]
        fn emit_then_parse_is_identity(dst in any::<[u8; 6]>(), src in any::<[u8; 6]>(), ethertype in any::<u16>()) {
            let header = EthernetHeader { dst: MacAddr(dst), src: MacAddr(src), ethertype: ethertype.into() };
            let mut bytes = [0; EthernetHeader::LEN];
            header.emit(&mut bytes);
            prop_assert_eq!(EthernetHeader::parse(&bytes), Ok(header));
            prop_assert_eq!(EthernetHeader::parse(&bytes[1..]), Err(Malformed::Truncated));
        }
    }
}
