//! The IPv6 header (RFC 8200 section 3).

use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;
use std::fmt;
use std::mem::offset_of;
use std::net::Ipv6Addr;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header over its bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Ipv6Bytes {
    /// Version, traffic class, flow label.
    vtc_flow: U32,
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    src: [u8; 16],
    dst: [u8; 16],
}

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv6Header {
    /// DSCP in the upper six bits, ECN in the lower two.
    pub(crate) traffic_class: u8,
    /// 20 bits.
    pub(crate) flow_label: u32,
    /// What follows the header, extension headers included, in bytes.
    pub(crate) payload_len: u16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) src: Ipv6Addr,
    pub(crate) dst: Ipv6Addr,
}

impl Ipv6Header {
    /// The header's length in bytes.
    pub(crate) const LEN: usize = size_of::<Ipv6Bytes>();
    /// Where the length stands.
    pub(crate) const PAYLOAD_LEN_AT: usize = offset_of!(Ipv6Bytes, payload_len);

    /// Reads the header at the start of `packet`, in the order of `ip6_rcv_core`: version, then length.
    #[inline]
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(packet: &[u8]) -> Result<Ipv6Header, Malformed> {
        Ipv6Header::parse_start(packet, packet.len())
    }

    /// The same of a packet of `len` bytes, of which `packet` are the first.
    #[inline]
    pub(crate) fn parse_start(packet: &[u8], len: usize) -> Result<Ipv6Header, Malformed> {
        let header = Ipv6Header::parse_quoted(packet)?;
        if Ipv6Header::LEN + usize::from(header.payload_len) > len {
            return Err(Malformed::Truncated);
        }
        Ok(header)
    }

    /// Reads the header of a packet that an ICMP error quotes, of which not all needs to be there.
    #[inline]
    pub(crate) fn parse_quoted(packet: &[u8]) -> Result<Ipv6Header, Malformed> {
        let (bytes, _) = Ipv6Bytes::ref_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        let vtc_flow = bytes.vtc_flow.get();
        if vtc_flow >> 28 != 6 {
            return Err(Malformed::Header);
        }
        Ok(Ipv6Header {
            traffic_class: (vtc_flow >> 20) as u8,
            flow_label: vtc_flow & 0x000f_ffff,
            payload_len: bytes.payload_len.get(),
            next_header: bytes.next_header,
            hop_limit: bytes.hop_limit,
            src: bytes.src.into(),
            dst: bytes.dst.into(),
        })
    }

    /// Writes the header.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8; Ipv6Header::LEN]) {
        let vtc_flow = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        let bytes = Ipv6Bytes {
            vtc_flow: vtc_flow.into(),
            payload_len: self.payload_len.into(),
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        out.copy_from_slice(bytes.as_bytes());
    }
}

impl fmt::Display for Ipv6Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ipv6Header { traffic_class, flow_label, payload_len, next_header, hop_limit, src, dst } = self;
        let name = match *next_header {
            protocol::TCP => "TCP",
            protocol::UDP => "UDP",
            protocol::ICMPV6 => "ICMPv6",
            _ => "unknown",
        };
        f.write_str("IP6 (")?;
        if *traffic_class != 0 {
            write!(f, "class {traffic_class:#04x}, ")?;
        }
        if *flow_label != 0 {
            write!(f, "flowlabel {flow_label:#07x}, ")?;
        }
        write!(f, "hlim {hop_limit}, next-header {name} ({next_header}) payload length: {payload_len}) {src} > {dst}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Ipv6Header {
        let (src, dst) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        Ipv6Header { traffic_class: 0, flow_label: 0, payload_len: 20, next_header: 6, hop_limit: 64, src, dst }
    }

    #[test]
    fn prints_as_tcpdump() {
        let plain = "IP6 (hlim 64, next-header TCP (6) payload length: 20) fd00::1 > fd00::2";
        assert_eq!(sample().to_string(), plain);
        let marked = Ipv6Header { traffic_class: 3, flow_label: 0xabcde, ..sample() };
        assert!(marked.to_string().starts_with("IP6 (class 0x03, flowlabel 0xabcde, hlim 64, "));
    }

    #[test]
    fn malformed_headers_are_told_apart() {
        let mut bytes = [0; 60];
        sample().emit(bytes.first_chunk_mut().unwrap());
        assert_eq!(Ipv6Header::parse(&bytes), Ok(sample()));
        assert_eq!(Ipv6Header::parse(&bytes[..59]), Err(Malformed::Truncated));
        assert_eq!(Ipv6Header::parse_quoted(&bytes[..59]), Ok(sample()));
        assert_eq!(Ipv6Header::parse(&bytes[..39]), Err(Malformed::Truncated));
        bytes[0] = 0x45;
        assert_eq!(Ipv6Header::parse(&bytes), Err(Malformed::Header));
    }

    proptest! {
        #[test]
        fn emit_then_parse_is_identity(
            (traffic_class, next_header, hop_limit) in any::<(u8, u8, u8)>(), flow_label in 0u32..1 << 20,
            (src, dst) in any::<(u128, u128)>(), payload_len in 0u16..100,
        ) {
            let (src, dst) = (src.into(), dst.into());
            let header = Ipv6Header { traffic_class, flow_label, payload_len, next_header, hop_limit, src, dst };
            let mut bytes = [0; 140];
            header.emit(bytes.first_chunk_mut().unwrap());
            prop_assert_eq!(Ipv6Header::parse(&bytes), Ok(header));
        }

        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Ipv6Header::parse(&bytes);
        }
    }
}
