//! The IPv4 header (RFC 791). Options are skipped on input and never written.

use crate::wire::checksum;
use crate::wire::malformed::Malformed;
use std::fmt;
use std::mem::offset_of;
use std::net::Ipv4Addr;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a packet carries, by IANA's numbers.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMPV6: u8 = 58;
}

/// The header over its bytes, without options.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Ipv4Bytes {
    version_ihl: u8,
    tos: u8,
    total_len: U16,
    ident: U16,
    flags_fragment: U16,
    ttl: u8,
    protocol: u8,
    checksum: [u8; 2],
    src: [u8; 4],
    dst: [u8; 4],
}

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ipv4Header {
    /// DSCP in the upper six bits, ECN in the lower two.
    pub(crate) tos: u8,
    pub(crate) ident: u16,
    pub(crate) dont_fragment: bool,
    pub(crate) more_fragments: bool,
    /// In units of eight bytes.
    pub(crate) fragment_offset: u16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
    /// With options, in bytes.
    pub(crate) header_len: u8,
    /// Header and payload, in bytes.
    pub(crate) total_len: u16,
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

impl Ipv4Header {
    /// The length of a header without options, in bytes.
    pub(crate) const LEN: usize = size_of::<Ipv4Bytes>();
    /// Where the fields stand that differ from packet to packet.
    pub(crate) const TOTAL_LEN_AT: usize = offset_of!(Ipv4Bytes, total_len);
    pub(crate) const IDENT_AT: usize = offset_of!(Ipv4Bytes, ident);
    pub(crate) const CHECKSUM_AT: usize = offset_of!(Ipv4Bytes, checksum);

    /// The header of a packet that we send: no options, not to be fragmented.
    ///
    /// Its identification is 0: a packet that is never fragmented needs none (RFC 6864), and Linux's GRO takes a fixed
    /// one for a sign that packets belong together.
    pub(crate) fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload_len: usize) -> Ipv4Header {
        Ipv4Header {
            tos: 0,
            ident: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: 64,
            protocol,
            src,
            dst,
            header_len: Ipv4Header::LEN as u8,
            total_len: (Ipv4Header::LEN + payload_len) as u16,
        }
    }

    /// Reads and verifies the header at the start of `packet`, in the order of `ip_rcv`: version, length, checksum,
    /// total length.
    #[inline]
    #[cfg(any(test, fuzzing))]
    pub(crate) fn parse(packet: &[u8]) -> Result<Ipv4Header, Malformed> {
        Ipv4Header::parse_start(packet, packet.len())
    }

    /// The same of a packet of `len` bytes, of which `packet` are the first.
    #[inline]
    pub(crate) fn parse_start(packet: &[u8], len: usize) -> Result<Ipv4Header, Malformed> {
        let header = Ipv4Header::parse_quoted(packet)?;
        let header_len = usize::from(header.header_len);
        let is_valid = match packet.first_chunk::<{ Ipv4Header::LEN }>() {
            // A length that is known saves most of it.
            Some(plain) if header_len == Ipv4Header::LEN => checksum::is_valid(plain),
            _ => checksum::is_valid(packet.get(..header_len).ok_or(Malformed::Truncated)?),
        };
        if !is_valid {
            return Err(Malformed::Checksum);
        }
        if usize::from(header.total_len) > len {
            return Err(Malformed::Truncated);
        }
        if usize::from(header.total_len) < header_len {
            return Err(Malformed::Header);
        }
        Ok(header)
    }

    /// Reads the header of a packet that an ICMP error quotes: neither its checksum nor its length hold any more.
    #[inline]
    pub(crate) fn parse_quoted(packet: &[u8]) -> Result<Ipv4Header, Malformed> {
        let (bytes, _) = Ipv4Bytes::ref_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        let header_len = (bytes.version_ihl & 0x0f) * 4;
        if bytes.version_ihl >> 4 != 4 || usize::from(header_len) < Ipv4Header::LEN {
            return Err(Malformed::Header);
        }
        let flags_fragment = bytes.flags_fragment.get();
        Ok(Ipv4Header {
            tos: bytes.tos,
            ident: bytes.ident.get(),
            dont_fragment: flags_fragment & DONT_FRAGMENT != 0,
            more_fragments: flags_fragment & MORE_FRAGMENTS != 0,
            fragment_offset: flags_fragment & 0x1fff,
            ttl: bytes.ttl,
            protocol: bytes.protocol,
            src: bytes.src.into(),
            dst: bytes.dst.into(),
            header_len,
            total_len: bytes.total_len.get(),
        })
    }

    /// Writes the header with its checksum, without options.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8; Ipv4Header::LEN]) {
        let flags = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        let more = if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        let flags_fragment = flags | more | self.fragment_offset & 0x1fff;
        let words = [
            u32::from_be_bytes([0x45, self.tos, 0, 0]) | u32::from(self.total_len),
            u32::from(self.ident) << 16 | u32::from(flags_fragment),
            u32::from_be_bytes([self.ttl, self.protocol, 0, 0]),
            self.src.to_bits(),
            self.dst.to_bits(),
        ];
        let bytes = Ipv4Bytes {
            version_ihl: 0x45,
            tos: self.tos,
            total_len: self.total_len.into(),
            ident: self.ident.into(),
            flags_fragment: flags_fragment.into(),
            ttl: self.ttl,
            protocol: self.protocol,
            checksum: checksum::checksum_of_words(words.iter().map(|&word| u64::from(word)).sum()),
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        out.copy_from_slice(bytes.as_bytes());
    }

    /// Whether it is a piece of a packet.
    pub(crate) const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// How many bytes the packet carries after its header.
    #[cfg(test)]
    pub(crate) fn payload_len(&self) -> usize {
        usize::from(self.total_len).saturating_sub(usize::from(self.header_len))
    }
}

impl fmt::Display for Ipv4Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = match (self.dont_fragment, self.more_fragments) {
            (false, false) => "none",
            (true, false) => "DF",
            (false, true) => "+",
            (true, true) => "+, DF",
        };
        let protocol = match self.protocol {
            protocol::ICMP => "ICMP",
            protocol::TCP => "TCP",
            protocol::UDP => "UDP",
            _ => "unknown",
        };
        write!(
            f,
            "IP (tos {:#x}, ttl {}, id {}, offset {}, flags [{flags}], proto {protocol} ({}), length {}) {} > {}",
            self.tos,
            self.ttl,
            self.ident,
            self.fragment_offset * 8,
            self.protocol,
            self.total_len,
            self.src,
            self.dst
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn emitted(header: &Ipv4Header, payload_len: usize) -> Vec<u8> {
        let mut bytes = [0; Ipv4Header::LEN];
        header.emit(&mut bytes);
        [&bytes[..], &vec![0; payload_len]].concat()
    }

    fn sample() -> Ipv4Header {
        Ipv4Header::new(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), protocol::TCP, 20)
    }

    #[test]
    fn prints_as_tcpdump() {
        let expected = "IP (tos 0x0, ttl 64, id 0, offset 0, flags [DF], proto TCP (6), length 40) 10.0.0.1 > 10.0.0.2";
        assert_eq!(sample().to_string(), expected);
    }

    /// The checks of ip_rcv, each with the one byte that breaks it.
    #[test]
    fn malformed_headers_are_told_apart() {
        let good = emitted(&sample(), 20);
        let fix = |mut bytes: Vec<u8>| {
            bytes[10..12].fill(0);
            let sum = checksum::checksum(&bytes[..20]);
            bytes[10..12].copy_from_slice(&sum);
            bytes
        };
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(Ipv4Header::parse(&good), Ok(sample()));
        assert_eq!(Ipv4Header::parse(&good[..19]), Err(Malformed::Truncated));
        assert_eq!(Ipv4Header::parse(&good[..39]), Err(Malformed::Truncated), "total length");
        assert_eq!(Ipv4Header::parse(&fix(with(0, 0x65))), Err(Malformed::Header), "version");
        assert_eq!(Ipv4Header::parse(&fix(with(0, 0x44))), Err(Malformed::Header), "header length");
        assert_eq!(Ipv4Header::parse(&with(8, 63)), Err(Malformed::Checksum));
        assert_eq!(Ipv4Header::parse(&fix(with(3, 19))), Err(Malformed::Header), "total length below header");
        assert_eq!(Ipv4Header::parse(&with(0, 0x4f)), Err(Malformed::Truncated), "options beyond the packet");
    }

    proptest! {
        #[test]
        fn emit_then_parse_is_identity(
            (tos, ident, ttl, protocol) in any::<(u8, u16, u8, u8)>(), (src, dst) in any::<(u32, u32)>(),
            (dont_fragment, more_fragments) in any::<(bool, bool)>(), fragment_offset in 0u16..0x2000, len in 0usize..100,
        ) {
            let new = Ipv4Header::new(src.into(), dst.into(), protocol, len);
            let header = Ipv4Header { tos, ident, ttl, dont_fragment, more_fragments, fragment_offset, ..new };
            prop_assert_eq!(Ipv4Header::parse(&emitted(&header, len)), Ok(header));
            prop_assert_eq!(header.payload_len(), len);
        }

        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Ipv4Header::parse(&bytes);
            let _ = Ipv4Header::parse_quoted(&bytes);
        }
    }
}
