//! ICMPv6 messages (RFC 4443): echo, and the errors. Neighbour discovery is [`ndp`](crate::wire::ndp)'s.

use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The codes of destination unreachable.
pub(crate) mod unreachable6 {
    pub(crate) const NO_ROUTE: u8 = 0;
    pub(crate) const PROHIBITED: u8 = 1;
    pub(crate) const BEYOND_SCOPE: u8 = 2;
    pub(crate) const ADDRESS: u8 = 3;
    pub(crate) const PORT: u8 = 4;
    pub(crate) const POLICY: u8 = 5;
    pub(crate) const REJECT: u8 = 6;
}

/// The codes of parameter problem.
pub(crate) mod problem {
    pub(crate) const HEADER_FIELD: u8 = 0;
    pub(crate) const NEXT_HEADER: u8 = 1;
    pub(crate) const OPTION: u8 = 2;
    /// RFC 7112: a first fragment without all headers.
    pub(crate) const INCOMPLETE: u8 = 3;
}

/// The header over its bytes; what `rest` means depends on the type.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Icmpv6Bytes {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    rest: U32,
}

/// A message's header; data, or the packet that an error quotes, follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icmpv6Header {
    EchoRequest {
        ident: u16,
        seq: u16,
    },
    EchoReply {
        ident: u16,
        seq: u16,
    },
    Unreachable {
        code: u8,
    },
    PacketTooBig {
        mtu: u32,
    },
    TimeExceeded {
        code: u8,
    },
    ParameterProblem {
        code: u8,
        pointer: u32,
    },
    /// Whatever else; `rest` is what follows the checksum.
    Other {
        kind: u8,
        code: u8,
        rest: u32,
    },
}

impl Icmpv6Header {
    /// The header's length in bytes.
    pub(crate) const LEN: usize = size_of::<Icmpv6Bytes>();

    /// Reads `message`, which is exactly header and data; the checksum is [verified](verify) apart.
    pub(crate) fn parse(message: &[u8]) -> Result<Icmpv6Header, Malformed> {
        let (bytes, _) = Icmpv6Bytes::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
        let rest = bytes.rest.get();
        let (ident, seq) = ((rest >> 16) as u16, rest as u16);
        Ok(match (bytes.kind, bytes.code) {
            (1, code) => Icmpv6Header::Unreachable { code },
            (2, _) => Icmpv6Header::PacketTooBig { mtu: rest },
            (3, code) => Icmpv6Header::TimeExceeded { code },
            (4, code) => Icmpv6Header::ParameterProblem { code, pointer: rest },
            (128, _) => Icmpv6Header::EchoRequest { ident, seq },
            (129, _) => Icmpv6Header::EchoReply { ident, seq },
            (kind, code) => Icmpv6Header::Other { kind, code, rest },
        })
    }

    /// Whether it is an error rather than a question or an answer (RFC 4443 2.1).
    pub(crate) fn is_error(kind: u8) -> bool {
        kind < 128
    }

    /// Writes the header into the start of `message` and sums the whole of it.
    ///
    /// # Panics
    /// When `message` is shorter than a header.
    pub(crate) fn emit(&self, (src, dst): (Ipv6Addr, Ipv6Addr), message: &mut [u8]) {
        let word = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        let (kind, code, rest) = match *self {
            Icmpv6Header::Unreachable { code } => (1, code, 0),
            Icmpv6Header::PacketTooBig { mtu } => (2, 0, mtu),
            Icmpv6Header::TimeExceeded { code } => (3, code, 0),
            Icmpv6Header::ParameterProblem { code, pointer } => (4, code, pointer),
            Icmpv6Header::EchoRequest { ident, seq } => (128, 0, word(ident, seq)),
            Icmpv6Header::EchoReply { ident, seq } => (129, 0, word(ident, seq)),
            Icmpv6Header::Other { kind, code, rest } => (kind, code, rest),
        };
        let bytes = Icmpv6Bytes { kind, code, checksum: [0; 2], rest: rest.into() };
        message[..Icmpv6Header::LEN].copy_from_slice(bytes.as_bytes());
        let sum = sum(src, dst, message).checksum();
        message[2..4].copy_from_slice(&sum);
    }
}

/// Whether a message arrived as it was sent: the checksum covers the addresses, too (RFC 4443 2.3).
pub(crate) fn verify(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> bool {
    sum(src, dst, message).is_valid()
}

fn sum(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> Sum {
    let mut sum = Sum::pseudo_header(IpAddr::V6(src), IpAddr::V6(dst), protocol::ICMPV6, message.len());
    sum.add(message);
    sum
}

impl fmt::Display for Icmpv6Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unreachable = |code: u8| match code {
            unreachable6::NO_ROUTE => "unreachable route",
            unreachable6::PROHIBITED => "unreachable prohibited",
            unreachable6::BEYOND_SCOPE => "beyond scope of source address",
            unreachable6::ADDRESS => "unreachable address",
            unreachable6::PORT => "unreachable port",
            _ => "unreachable",
        };
        f.write_str("ICMP6, ")?;
        match *self {
            Icmpv6Header::EchoRequest { ident, seq } => write!(f, "echo request, id {ident}, seq {seq}"),
            Icmpv6Header::EchoReply { ident, seq } => write!(f, "echo reply, id {ident}, seq {seq}"),
            Icmpv6Header::Unreachable { code } => write!(f, "destination unreachable, {}", unreachable(code)),
            Icmpv6Header::PacketTooBig { mtu } => write!(f, "packet too big, mtu {mtu}"),
            Icmpv6Header::TimeExceeded { code: 0 } => f.write_str("time exceeded in-transit"),
            Icmpv6Header::TimeExceeded { .. } => f.write_str("ip reassembly time exceeded"),
            Icmpv6Header::ParameterProblem { code, pointer } => {
                let what = match code {
                    problem::HEADER_FIELD => "errorneous",
                    problem::NEXT_HEADER => "next header",
                    problem::INCOMPLETE => "header chain",
                    _ => "option",
                };
                write!(f, "parameter problem, {what} - octet {pointer}")
            }
            Icmpv6Header::Other { kind, .. } => write!(f, "type-#{kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(header: Icmpv6Header, printed: &str) {
        let (src, dst): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let mut message = *b"........and some data";
        header.emit((src, dst), &mut message);
        assert!(verify(src, dst, &message) && !verify(src, src, &message));
        assert_eq!(Icmpv6Header::parse(&message), Ok(header));
        assert_eq!(header.to_string(), printed);
        message[20] ^= 1;
        assert!(!verify(src, dst, &message));
        assert_eq!(Icmpv6Header::parse(&message[..7]), Err(Malformed::Truncated));
    }

    #[test]
    fn emit_then_parse_is_identity() {
        check(Icmpv6Header::EchoRequest { ident: 7, seq: 1 }, "ICMP6, echo request, id 7, seq 1");
        check(Icmpv6Header::EchoReply { ident: 7, seq: 1 }, "ICMP6, echo reply, id 7, seq 1");
        check(Icmpv6Header::Unreachable { code: 4 }, "ICMP6, destination unreachable, unreachable port");
        check(Icmpv6Header::PacketTooBig { mtu: 1280 }, "ICMP6, packet too big, mtu 1280");
        check(Icmpv6Header::TimeExceeded { code: 0 }, "ICMP6, time exceeded in-transit");
        let problem = Icmpv6Header::ParameterProblem { code: 1, pointer: 40 };
        check(problem, "ICMP6, parameter problem, next header - octet 40");
        check(Icmpv6Header::Other { kind: 200, code: 1, rest: 5 }, "ICMP6, type-#200");
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Icmpv6Header::parse(&bytes);
            let _ = verify(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, &bytes);
        }
    }
}
