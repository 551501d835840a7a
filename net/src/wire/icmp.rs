//! ICMP messages (RFC 792): echo, and the errors that concern a transport.

use crate::wire::checksum;
use crate::wire::malformed::Malformed;
use std::fmt;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The codes of destination unreachable.
pub(crate) mod unreachable {
    pub(crate) const NET: u8 = 0;
    pub(crate) const HOST: u8 = 1;
    pub(crate) const PROTOCOL: u8 = 2;
    pub(crate) const PORT: u8 = 3;
    pub(crate) const FRAGMENTATION_NEEDED: u8 = 4;
    pub(crate) const PROHIBITED: u8 = 13;
}

/// The header over its bytes; what `rest` means depends on the type.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct IcmpBytes {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    rest: [U16; 2],
}

/// A message's header; data, or the packet that an error quotes, follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpHeader {
    EchoRequest { ident: u16, seq: u16 },
    EchoReply { ident: u16, seq: u16 },
    Unreachable { code: u8, mtu: u16 },
    TimeExceeded { code: u8 },
    ParameterProblem { code: u8, pointer: u8 },
    Other { kind: u8, code: u8 },
}

impl IcmpHeader {
    /// The header's length in bytes.
    pub(crate) const LEN: usize = size_of::<IcmpBytes>();

    /// Reads and verifies `message`, which is exactly header and data.
    pub(crate) fn parse(message: &[u8]) -> Result<IcmpHeader, Malformed> {
        let (bytes, _) = IcmpBytes::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
        if !checksum::is_valid(message) {
            return Err(Malformed::Checksum);
        }
        let [ident, seq] = bytes.rest.map(U16::get);
        Ok(match (bytes.kind, bytes.code) {
            (8, 0) => IcmpHeader::EchoRequest { ident, seq },
            (0, 0) => IcmpHeader::EchoReply { ident, seq },
            (3, code) => IcmpHeader::Unreachable { code, mtu: seq },
            (11, code) => IcmpHeader::TimeExceeded { code },
            (12, code) => IcmpHeader::ParameterProblem { code, pointer: (ident >> 8) as u8 },
            (kind, code) => IcmpHeader::Other { kind, code },
        })
    }

    /// Writes the header into the start of `message` and sums the whole of it.
    ///
    /// # Panics
    /// When `message` is shorter than a header.
    pub(crate) fn emit(&self, message: &mut [u8]) {
        let (kind, code, rest) = match *self {
            IcmpHeader::EchoRequest { ident, seq } => (8, 0, [ident, seq]),
            IcmpHeader::EchoReply { ident, seq } => (0, 0, [ident, seq]),
            IcmpHeader::Unreachable { code, mtu } => (3, code, [0, mtu]),
            IcmpHeader::TimeExceeded { code } => (11, code, [0, 0]),
            IcmpHeader::ParameterProblem { code, pointer } => (12, code, [u16::from(pointer) << 8, 0]),
            IcmpHeader::Other { kind, code } => (kind, code, [0, 0]),
        };
        let bytes = IcmpBytes { kind, code, checksum: [0; 2], rest: rest.map(U16::from) };
        message[..IcmpHeader::LEN].copy_from_slice(bytes.as_bytes());
        let sum = checksum::checksum(message);
        message[2..4].copy_from_slice(&sum);
    }
}

impl fmt::Display for IcmpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IcmpHeader::EchoRequest { ident, seq } => write!(f, "ICMP echo request, id {ident}, seq {seq}"),
            IcmpHeader::EchoReply { ident, seq } => write!(f, "ICMP echo reply, id {ident}, seq {seq}"),
            IcmpHeader::Unreachable { code: unreachable::NET, .. } => f.write_str("ICMP net unreachable"),
            IcmpHeader::Unreachable { code: unreachable::HOST, .. } => f.write_str("ICMP host unreachable"),
            IcmpHeader::Unreachable { code: unreachable::PROTOCOL, .. } => f.write_str("ICMP protocol unreachable"),
            IcmpHeader::Unreachable { code: unreachable::PORT, .. } => f.write_str("ICMP port unreachable"),
            IcmpHeader::Unreachable { code: unreachable::FRAGMENTATION_NEEDED, mtu } => {
                write!(f, "ICMP unreachable - need to frag (mtu {mtu})")
            }
            IcmpHeader::Unreachable { code, .. } => write!(f, "ICMP unreachable - #{code}"),
            IcmpHeader::TimeExceeded { code: 1 } => f.write_str("ICMP ip reassembly time exceeded"),
            IcmpHeader::TimeExceeded { .. } => f.write_str("ICMP time exceeded in-transit"),
            IcmpHeader::ParameterProblem { pointer, .. } => write!(f, "ICMP parameter problem - octet {pointer}"),
            IcmpHeader::Other { kind, .. } => write!(f, "ICMP type-#{kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(header: IcmpHeader, printed: &str) {
        let mut message = *b"........and some data";
        header.emit(&mut message);
        assert_eq!(IcmpHeader::parse(&message), Ok(header));
        assert_eq!(header.to_string(), printed);
        message[20] ^= 1;
        assert_eq!(IcmpHeader::parse(&message), Err(Malformed::Checksum));
        assert_eq!(IcmpHeader::parse(&message[..7]), Err(Malformed::Truncated));
    }

    #[test]
    fn emit_then_parse_is_identity() {
        check(IcmpHeader::EchoRequest { ident: 7, seq: 1 }, "ICMP echo request, id 7, seq 1");
        check(IcmpHeader::EchoReply { ident: 7, seq: 1 }, "ICMP echo reply, id 7, seq 1");
        check(IcmpHeader::Unreachable { code: 3, mtu: 0 }, "ICMP port unreachable");
        check(IcmpHeader::Unreachable { code: 4, mtu: 1400 }, "ICMP unreachable - need to frag (mtu 1400)");
        check(IcmpHeader::TimeExceeded { code: 0 }, "ICMP time exceeded in-transit");
        check(IcmpHeader::TimeExceeded { code: 1 }, "ICMP ip reassembly time exceeded");
        check(IcmpHeader::ParameterProblem { code: 0, pointer: 20 }, "ICMP parameter problem - octet 20");
        check(IcmpHeader::Other { kind: 13, code: 0 }, "ICMP type-#13");
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = IcmpHeader::parse(&bytes);
        }
    }
}
