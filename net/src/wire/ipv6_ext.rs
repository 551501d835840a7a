//! IPv6 extension headers (RFC 8200 section 4): the walk from the IPv6 header to what the packet carries.
//!
//! The walk has bounds of its own: so many headers, so many options, so many bytes. A packet that wants more is dropped,
//! as it would be by Linux's `max_dst_opts_cnt` and `max_hbh_opts_cnt`.

use crate::wire::ipv4::protocol;
use crate::wire::malformed::Malformed;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The numbers of extension headers.
pub(crate) mod ext {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const NO_NEXT: u8 = 59;
    pub(crate) const DESTINATION: u8 = 60;
}

/// Where the walk has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    /// A transport begins at `offset` from the start of the IPv6 header; `previous` is where the number stands that says
    /// so.
    Upper { protocol: u8, offset: usize, previous: usize },
    /// A fragment header stands at `offset`; what follows it may be a piece from the middle.
    Fragment { header: FragmentHeader, offset: usize, previous: usize },
    /// Nothing follows (next header 59).
    Nothing,
}

/// Why a walk ended early, and which ICMPv6 parameter problem that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A header is longer than the packet, or there are too many of them: dropped without an answer.
    Malformed,
    /// Code 0, erroneous header field, at an offset.
    Header(usize),
    /// Code 1, unrecognized next header, at an offset.
    NextHeader(usize),
    /// Code 2, unrecognized option, at an offset; `to_multicast` says whether to tell when the packet was for a group.
    Option { at: usize, to_multicast: bool },
    /// An unrecognized option that asks for silence.
    Silently,
    /// Code 3, a first fragment that does not have all headers.
    Incomplete,
}

impl From<Malformed> for Refused {
    fn from(_: Malformed) -> Refused {
        Refused::Malformed
    }
}

/// How many extension headers a packet may have.
const HEADERS_MAX: usize = 8;
/// How many options, padding aside, one of them may have (`max_dst_opts_cnt`).
const OPTIONS_MAX: usize = 8;
/// How many bytes of padding may stand together (RFC 4942 2.1.9.5).
const PADDING_MAX: usize = 7;

/// Follows the headers of `packet`, which begins with its IPv6 header, whose next header is `first`, and ends where
/// that header says.
pub(crate) fn walk(packet: &[u8], first: u8) -> Result<Walked, Refused> {
    let (mut protocol, mut previous, mut offset) = (first, NEXT_HEADER_AT, IPV6_LEN);
    for n in 0..=HEADERS_MAX {
        match protocol {
            ext::HOP_BY_HOP if n > 0 => return Err(Refused::NextHeader(previous)),
            ext::HOP_BY_HOP | ext::DESTINATION | ext::ROUTING => {
                let header = bounded(packet, offset)?;
                match protocol {
                    ext::ROUTING => check_routing(header, offset)?,
                    _ => check_options(header, offset)?,
                }
                (protocol, previous, offset) = (header[0], offset, offset + header.len());
            }
            ext::FRAGMENT => {
                let header = FragmentHeader::parse(&packet[offset..])?;
                return Ok(Walked::Fragment { header, offset, previous });
            }
            ext::NO_NEXT => return Ok(Walked::Nothing),
            protocol => return Ok(Walked::Upper { protocol, offset, previous }),
        }
    }
    Err(Refused::Malformed)
}

/// Where a packet's transport begins, whatever its options ask for: for a packet that is looked at but not received, and
/// need not be whole (`ipv6_skip_exthdr`). `None` for a fragment from the middle.
pub(crate) fn upper(packet: &[u8], first: u8) -> Option<(u8, usize)> {
    let (mut protocol, mut offset) = (first, IPV6_LEN);
    for _ in 0..=HEADERS_MAX {
        match protocol {
            ext::HOP_BY_HOP | ext::DESTINATION | ext::ROUTING => {
                let header = bounded(packet, offset).ok()?;
                (protocol, offset) = (header[0], offset + header.len());
            }
            ext::FRAGMENT => {
                let header = FragmentHeader::parse(packet.get(offset..)?).ok()?;
                if header.offset != 0 {
                    return None;
                }
                (protocol, offset) = (header.next_header, offset + FragmentHeader::LEN);
            }
            ext::NO_NEXT => return None,
            protocol => return Some((protocol, offset)),
        }
    }
    None
}

/// RFC 7112: whether a first fragment has all headers, the transport's included, so that whoever looks at it knows what the
/// packet is (`ipv6frag_thdr_truncated`).
pub(crate) fn has_whole_chain(packet: &[u8], first: u8) -> bool {
    upper(packet, first).is_some_and(|(protocol, offset)| {
        let least = match protocol {
            protocol::TCP => 20,
            protocol::UDP | protocol::ICMPV6 => 8,
            _ => 1,
        };
        packet.len() >= offset + least
    })
}

/// Where the next header's number stands in the IPv6 header.
const NEXT_HEADER_AT: usize = 6;
const IPV6_LEN: usize = 40;

/// The extension header at `offset`, by its own length.
fn bounded(packet: &[u8], offset: usize) -> Result<&[u8], Refused> {
    let len = packet.get(offset + 1).map(|&units| (usize::from(units) + 1) * 8).ok_or(Refused::Malformed)?;
    packet.get(offset..offset + len).ok_or(Refused::Malformed)
}

/// RFC 8200 4.4 and RFC 5095: a header with nowhere left to go is skipped, any other, type 0 above all, is refused.
fn check_routing(header: &[u8], offset: usize) -> Result<(), Refused> {
    let segments_left = header[3];
    if segments_left == 0 { Ok(()) } else { Err(Refused::Header(offset + 2)) }
}

/// RFC 8200 4.2: what an unknown option asks for with its upper two bits.
fn check_options(header: &[u8], offset: usize) -> Result<(), Refused> {
    let (mut at, mut options, mut padding) = (2, 0, 0);
    while let Some(&kind) = header.get(at) {
        let len = match kind {
            PAD1 => 1,
            _ => 2 + usize::from(*header.get(at + 1).ok_or(Refused::Malformed)?),
        };
        if at + len > header.len() {
            return Err(Refused::Malformed);
        }
        if matches!(kind, PAD1 | PADN) {
            padding += len;
            if padding > PADDING_MAX {
                return Err(Refused::Malformed);
            }
        } else {
            (options, padding) = (options + 1, 0);
            if options > OPTIONS_MAX {
                return Err(Refused::Malformed);
            }
            if kind != ROUTER_ALERT {
                refuse_option(kind, offset + at)?;
            }
        }
        at += len;
    }
    Ok(())
}

const PAD1: u8 = 0;
const PADN: u8 = 1;
/// RFC 2711: for routers, so a host skips it.
const ROUTER_ALERT: u8 = 5;

fn refuse_option(kind: u8, at: usize) -> Result<(), Refused> {
    match kind >> 6 {
        0 => Ok(()),
        1 => Err(Refused::Silently),
        2 => Err(Refused::Option { at, to_multicast: true }),
        _ => Err(Refused::Option { at, to_multicast: false }),
    }
}

/// The fragment header over its bytes (RFC 8200 4.5).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct FragmentBytes {
    next_header: u8,
    reserved: u8,
    offset_more: U16,
    ident: U32,
}

/// The fragment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FragmentHeader {
    pub(crate) next_header: u8,
    /// In units of eight bytes.
    pub(crate) offset: u16,
    pub(crate) more: bool,
    pub(crate) ident: u32,
}

impl FragmentHeader {
    /// The header's length in bytes.
    pub(crate) const LEN: usize = size_of::<FragmentBytes>();

    /// Reads the header at the start of `bytes`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<FragmentHeader, Malformed> {
        let (bytes, _) = FragmentBytes::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let offset_more = bytes.offset_more.get();
        let (offset, more) = (offset_more >> 3, offset_more & 1 != 0);
        Ok(FragmentHeader { next_header: bytes.next_header, offset, more, ident: bytes.ident.get() })
    }

    /// Writes the header.
    pub(crate) fn emit(&self, out: &mut [u8; FragmentHeader::LEN]) {
        let bytes = FragmentBytes {
            next_header: self.next_header,
            reserved: 0,
            offset_more: (self.offset << 3 | u16::from(self.more)).into(),
            ident: self.ident.into(),
        };
        out.copy_from_slice(bytes.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(first: u8, rest: &[u8], expected: Result<Walked, Refused>) {
        let packet = [&[0; 40], rest].concat();
        assert_eq!(walk(&packet, first), expected, "{first} {rest:?}");
    }

    fn up(protocol: u8, offset: usize, previous: usize) -> Result<Walked, Refused> {
        Ok(Walked::Upper { protocol, offset, previous })
    }

    #[test]
    fn the_walk_ends_at_the_transport() {
        let pad = [6, 0, 1, 4, 0, 0, 0, 0];
        check(6, &[], up(6, 40, 6));
        check(ext::HOP_BY_HOP, &pad, up(6, 48, 40));
        check(ext::DESTINATION, &pad, up(6, 48, 40));
        check(ext::ROUTING, &[17, 0, 2, 0, 0, 0, 0, 0], up(17, 48, 40));
        check(ext::HOP_BY_HOP, &[60, 0, 5, 2, 0, 0, 1, 0, 17, 0, 0, 0, 0, 0, 0, 0], up(17, 56, 48));
        check(ext::NO_NEXT, &[], Ok(Walked::Nothing));
        let header = FragmentHeader { next_header: 17, offset: 2, more: true, ident: 7 };
        let fragment = [17, 0, 0, 17, 0, 0, 0, 7];
        check(ext::FRAGMENT, &fragment, Ok(Walked::Fragment { header, offset: 40, previous: 6 }));
        let behind = [&[44, 0, 1, 4, 0, 0, 0, 0], &fragment[..]].concat();
        check(ext::DESTINATION, &behind, Ok(Walked::Fragment { header, offset: 48, previous: 40 }));
    }

    #[test]
    fn what_is_refused_says_where() {
        check(ext::ROUTING, &[6, 2, 0, 1, 0, 0, 0, 0], Err(Refused::Malformed));
        check(ext::ROUTING, &[6, 0, 0, 1, 0, 0, 0, 0], Err(Refused::Header(42)));
        check(ext::DESTINATION, &[0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0], Err(Refused::NextHeader(40)));
        check(ext::DESTINATION, &[6, 0, 0x41, 4, 0, 0, 0, 0], Err(Refused::Silently));
        check(ext::DESTINATION, &[6, 0, 0x81, 4, 0, 0, 0, 0], Err(Refused::Option { at: 42, to_multicast: true }));
        check(ext::DESTINATION, &[6, 0, 0xc1, 4, 0, 0, 0, 0], Err(Refused::Option { at: 42, to_multicast: false }));
        check(ext::DESTINATION, &[6, 0, 0x01, 5, 0, 0, 0, 0], Err(Refused::Malformed));
        check(ext::DESTINATION, &[6], Err(Refused::Malformed));
        check(ext::FRAGMENT, &[17, 0, 0, 1], Err(Refused::Malformed));
    }

    #[test]
    fn chains_options_and_padding_are_bounded() {
        let link = [60, 0, 1, 4, 0, 0, 0, 0];
        let chain = |n: usize| [link.repeat(n - 1), vec![6, 0, 1, 4, 0, 0, 0, 0]].concat();
        check(ext::DESTINATION, &chain(8), up(6, 104, 96));
        check(ext::DESTINATION, &chain(9), Err(Refused::Malformed));
        let options = [&[6, 2][..], &[0x1e, 0].repeat(9), &[1, 2, 0, 0]].concat();
        check(ext::DESTINATION, &options, Err(Refused::Malformed));
        check(ext::DESTINATION, &[&[6, 1][..], &[0; 14]].concat(), Err(Refused::Malformed));
    }

    #[test]
    fn a_packet_that_is_only_looked_at_is_not_judged() {
        let check = |first: u8, rest: &[u8], expected: Option<(u8, usize)>| {
            assert_eq!(upper(&[&[0; 40], rest].concat(), first), expected, "{first} {rest:?}");
        };
        check(58, &[], Some((58, 40)));
        check(60, &[58, 0, 0xc1, 4, 0, 0, 0, 0], Some((58, 48)));
        check(44, &[17, 0, 0, 1, 0, 0, 0, 7], Some((17, 48)));
        check(44, &[17, 0, 0, 9, 0, 0, 0, 7], None);
        check(60, &[58, 1, 0, 0, 0, 0, 0, 0], None);
        check(59, &[], None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 40..140), first in 0u8..62) {
            let _ = upper(&bytes, first);
            match walk(&bytes, first) {
                Ok(Walked::Upper { offset, .. }) => prop_assert!(offset <= bytes.len()),
                Ok(Walked::Fragment { offset, .. }) => prop_assert!(offset + 8 <= bytes.len()),
                _ => {}
            }
        }
    }
}
