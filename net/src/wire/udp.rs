//! The UDP header (RFC 768).

use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;
use std::fmt;
use std::mem::offset_of;
use std::net::IpAddr;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The header over its bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct UdpBytes {
    src_port: U16,
    dst_port: U16,
    len: U16,
    checksum: [u8; 2],
}

/// The header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UdpHeader {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    /// Header and payload, in bytes.
    pub(crate) len: u16,
    /// Whether the sender has summed; over IPv4 it need not.
    pub(crate) has_checksum: bool,
}

impl UdpHeader {
    /// The header's length in bytes.
    pub(crate) const LEN: usize = size_of::<UdpBytes>();

    /// Reads the header at the start of `datagram` and checks its length; the checksum is
    /// [verified](UdpHeader::verify) apart.
    #[inline]
    pub(crate) fn parse(datagram: &[u8]) -> Result<UdpHeader, Malformed> {
        let header = UdpHeader::parse_quoted(datagram)?;
        if usize::from(header.len) < UdpHeader::LEN {
            return Err(Malformed::Header);
        }
        if usize::from(header.len) > datagram.len() {
            return Err(Malformed::Truncated);
        }
        Ok(header)
    }

    /// Reads the header of a datagram that an ICMP error quotes, of which only the header needs to be there.
    pub(crate) fn parse_quoted(datagram: &[u8]) -> Result<UdpHeader, Malformed> {
        let (bytes, _) = UdpBytes::ref_from_prefix(datagram).map_err(|_| Malformed::Truncated)?;
        Ok(UdpHeader {
            src_port: bytes.src_port.get(),
            dst_port: bytes.dst_port.get(),
            len: bytes.len.get(),
            has_checksum: bytes.checksum != [0; 2],
        })
    }

    /// Whether a datagram's checksum holds; `datagram` is exactly header and payload.
    pub(crate) fn verify(&self, src: IpAddr, dst: IpAddr, datagram: &[u8]) -> bool {
        let mut sum = Sum::pseudo_header(src, dst, protocol::UDP, datagram.len());
        sum.add(datagram);
        !self.has_checksum || sum.is_valid()
    }

    /// Where the length stands in the header; the checksum is behind it.
    pub(crate) const LEN_AT: usize = offset_of!(UdpBytes, len);

    /// Where the checksum stands in the header.
    pub(crate) const CHECKSUM_OFFSET: u16 = 6;

    /// Writes the pseudo-header's sum where the device will store the checksum of `datagram`.
    #[inline]
    pub(crate) fn seed_checksum(datagram: &mut [u8], seed: Sum) {
        let at = usize::from(UdpHeader::CHECKSUM_OFFSET);
        datagram[at..at + 2].copy_from_slice(&seed.folded());
    }

    /// Writes the header. With `sums`, the pseudo-header's and the payload's, it gets a checksum.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8; UdpHeader::LEN], sums: Option<Sum>) {
        let mut bytes = UdpBytes {
            src_port: self.src_port.into(),
            dst_port: self.dst_port.into(),
            len: self.len.into(),
            checksum: [0; 2],
        };
        if let Some(mut sum) = sums {
            sum.add(bytes.as_bytes());
            bytes.checksum = match sum.checksum() {
                // RFC 768: a checksum that comes out as zero is sent as all ones; zero means that there is none.
                [0, 0] => [0xff; 2],
                checksum => checksum,
            };
        }
        out.copy_from_slice(bytes.as_bytes());
    }
}

impl fmt::Display for UdpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UDP, length {}", usize::from(self.len).saturating_sub(UdpHeader::LEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SRC: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const DST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn datagram(header: UdpHeader, payload: &[u8]) -> Vec<u8> {
        let mut sum = Sum::pseudo_header(SRC, DST, protocol::UDP, UdpHeader::LEN + payload.len());
        sum.add(payload);
        let mut bytes = [0; UdpHeader::LEN];
        header.emit(&mut bytes, header.has_checksum.then_some(sum));
        [&bytes[..], payload].concat()
    }

    #[test]
    fn lengths_are_checked() {
        let header = UdpHeader { src_port: 1, dst_port: 2, len: 12, has_checksum: true };
        let good = datagram(header, b"data");
        assert_eq!(header.to_string(), "UDP, length 4");
        assert_eq!(UdpHeader::parse(&good[..11]), Err(Malformed::Truncated));
        assert_eq!(UdpHeader::parse(&good[..7]), Err(Malformed::Truncated));
        let short = datagram(UdpHeader { len: 7, ..header }, b"data");
        assert_eq!(UdpHeader::parse(&short), Err(Malformed::Header));
    }

    proptest! {
        #[test]
        fn emit_then_parse_is_identity(
            (src_port, dst_port, has_checksum) in any::<(u16, u16, bool)>(),
            payload in prop::collection::vec(any::<u8>(), 0..50), broken in any::<prop::sample::Index>(),
        ) {
            let header = UdpHeader { src_port, dst_port, len: 8 + payload.len() as u16, has_checksum };
            let mut bytes = datagram(header, &payload);
            prop_assert_eq!(UdpHeader::parse(&bytes), Ok(header));
            prop_assert!(header.verify(SRC, DST, &bytes));
            if !payload.is_empty() && has_checksum {
                bytes[8 + broken.index(payload.len())] ^= 0x10;
                prop_assert!(!header.verify(SRC, DST, &bytes));
            }
        }

        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = UdpHeader::parse(&bytes);
        }
    }
}
